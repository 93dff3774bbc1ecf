"""The report: one HTML file with the conclusion, the kernels side by side, what ran, and what failed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mambakernels.bench.comparison import Comparison
from mambakernels.bench.summaries import estimate_in_words
from mambakernels.blas_report import tables
from mambakernels.paths import PathLike, absolute
from mambakernels.runs.records import Run
from mambakernels.system.files import write_atomically

if TYPE_CHECKING:
    from pandas import DataFrame

    from mambakernels.plots import SheetName, Theme

_FACTS = {
    "cpu": "Processor",
    "cores": "Cores",
    "system": "System",
    "numpy": "NumPy",
    "python": "Python",
    "threads": "Threads",
}
_NARROW = "(max-width: 600px)"
_DARK = "(prefers-color-scheme: dark)"
# A browser shows the first whose media query matches; the last is for all others.
_PICTURES: Mapping[str, tuple[Theme, SheetName]] = {
    f"{_DARK} and {_NARROW}": ("dark", "narrow"),
    _DARK: ("dark", "wide"),
    _NARROW: ("light", "narrow"),
    "": ("light", "wide"),
}


def write_blas_report(found: Comparison | None, runs: Sequence[Run], path: PathLike) -> Path:
    """Write a self-contained HTML report on a comparison, and runs of notebooks on its kernels; return its path.

    It begins with what went wrong and with the conclusion. The page loads nothing from the network; its links to the
    executed notebooks are relative to its own folder. Raises `StorageError` if the file cannot be written; a failed
    write leaves no partial file.
    """
    file = absolute(path)
    write_atomically(file, render(found, runs, folder=file.parent))
    return file


def render(found: Comparison | None, runs: Sequence[Run], *, folder: Path) -> str:
    """Return the report as HTML, with links relative to `folder`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2")
    return page.render(
        title="BLAS libraries compared",
        measured=None if found is None else _measured(found),
        failed=[run for run in runs if run.error],
        runs=tables.of_runs(runs, folder),
    )


def _measured(found: Comparison) -> dict[str, Any]:
    """Return what the page shows of the measurements."""
    frame = found.frame
    facts = {label: ", ".join(map(str, frame[column].dropna().unique())) for column, label in _FACTS.items()}
    return {
        "conclusion": found.conclusion,
        "estimate": estimate_in_words(frame),
        "notes": [item.text for item in found.diagnosis],
        "compared": tables.of_rates(found),
        "pictures": _pictures(frame[frame["gflops"].notna()]),
        "controls": tables.of_controls(found),
        "kernels": tables.of_kernels(frame),
        "machine": {label: value for label, value in facts.items() if value},
        "figures": tables.of_figures(found),
    }


def _pictures(rated: DataFrame) -> dict[str, str]:
    """Return the picture of the rates for each media query, as a data URL."""
    from mambakernels.plots import gflops_by_size, png

    if not len(rated):
        return {}
    drawn = {media: png(gflops_by_size(rated, theme=theme, sheet=sheet)) for media, (theme, sheet) in _PICTURES.items()}
    return {media: f"data:image/png;base64,{base64.b64encode(picture).decode()}" for media, picture in drawn.items()}
