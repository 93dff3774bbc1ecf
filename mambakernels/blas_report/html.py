"""The report: one HTML file with the machine, what ran, how fast, whether it can be trusted, and what failed."""

from __future__ import annotations

import base64
import datetime as dt
import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mambakernels.bench.agreement import check_controls
from mambakernels.bench.summaries import libraries, summary, wide
from mambakernels.runs.records import Run
from mambakernels.system.files import write_atomically

if TYPE_CHECKING:
    from pandas import DataFrame

    from mambakernels.plots import SheetName, Theme

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_FACTS = {
    "cpu": "Processor",
    "cores": "Cores",
    "system": "System",
    "host": "Host",
    "numpy": "NumPy",
    "python": "Python",
    "threads": "Threads",
    "notebook": "Notebook",
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


def write_blas_report(frame: DataFrame, runs: Sequence[Run], path: str | os.PathLike[str]) -> Path:
    """Write a self-contained HTML report on the measurements and the runs they come from; return its path.

    The page loads nothing from the network; its links to the executed notebooks are relative to its own folder.
    Raises `StorageError` if the file cannot be written; a failed write leaves no partial file.
    """
    file = Path(path).expanduser().absolute()
    write_atomically(file, render(frame, runs, folder=file.parent))
    return file


def render(frame: DataFrame, runs: Sequence[Run], *, folder: Path) -> str:
    """Return the report as HTML, with links relative to `folder`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: "-" if value is None else value,
    )
    environment.filters.update(
        duration=_duration,
        moment=_moment,
        number=_number,
        link=lambda path: quote(Path(os.path.relpath(path, folder)).as_posix()),
    )
    page = environment.get_template("page.html.j2")
    return page.render(title="BLAS libraries compared", measured=_measured(frame) if len(frame) else None, runs=runs)


def _measured(frame: DataFrame) -> dict[str, Any]:
    """Return what the page shows of the measurements; tables are groups of rows that share an operation."""
    facts = {label: ", ".join(map(str, frame[column].dropna().unique())) for column, label in _FACTS.items()}
    ratios, table = wide(frame, "ratio"), summary(frame)
    return {
        "machine": {label: value for label, value in facts.items() if value},
        "libraries": _records(libraries(frame)),
        "controls": check_controls(frame),
        "rates": _pictures(frame[frame["gflops"].notna()]),
        "kernels": list(ratios.columns[3:]),
        "ratios": _by_operation(ratios),
        "rows": len(table),
        "summary": _by_operation(table),
    }


def _pictures(rated: DataFrame) -> dict[str, str]:
    """Return the picture of the rates for each media query, as a data URL."""
    from mambakernels.plots import gflops_by_size, png

    if not len(rated):
        return {}
    drawn = {media: png(gflops_by_size(rated, theme=theme, sheet=sheet)) for media, (theme, sheet) in _PICTURES.items()}
    return {media: f"data:image/png;base64,{base64.b64encode(picture).decode()}" for media, picture in drawn.items()}


def _by_operation(table: DataFrame) -> list[list[dict[str, Any]]]:
    return [list(rows) for _, rows in groupby(_records(table), key=lambda row: row["operation"])]


def _records(table: DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dicts, None where a value is missing."""
    objects = table.astype(object)
    rows = objects.where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _moment(started: str) -> str:
    """Return an ISO 8601 time in UTC, as people write it."""
    return f"{dt.datetime.fromisoformat(started).astimezone(dt.timezone.utc):%Y-%m-%d %H:%M:%S}"


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else form.format(value)


def _duration(seconds: float) -> str:
    """Return a time with three digits in the unit that suits it."""
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if seconds >= scale), _UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"
