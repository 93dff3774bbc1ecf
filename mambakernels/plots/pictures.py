"""Figures of results as files: results of `collect` or `bench` in, PNG, PDF or SVG out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mambakernels import plots
from mambakernels.bench import saving
from mambakernels.bench.pairs import pairs
from mambakernels.errors import InvalidRequestError, RunError
from mambakernels.plots import Theme
from mambakernels.runs import results
from mambakernels.system.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Form = Literal["png", "pdf", "svg"]
FORMS: tuple[Form, ...] = ("png", "pdf", "svg")
_PAIRED = "These results were not measured in rounds, side by side, so there are no ratios to draw."

FIGURES: Mapping[str, Callable[[pd.DataFrame, Theme], Figure]] = {
    "gflops": lambda frame, theme: plots.gflops_by_size(frame, theme=theme),
    "ratios": lambda frame, theme: plots.paired_ratios(_pairs(frame), frame, theme=theme),
    "threads": lambda frame, theme: plots.thread_scaling(frame, theme=theme),
    "roofline": lambda frame, theme: plots.roofline(frame, theme=theme),
    "accuracy": lambda frame, theme: plots.accuracy_against_speed(frame, theme=theme),
    "paths": lambda frame, theme: plots.code_paths(frame, theme=theme),
    "summary": lambda frame, theme: plots.summary_page(
        frame, pairs(frame) if _in_rounds(frame) else None, threads=frame, variants=frame, theme=theme
    ),
}
"""Each figure by its name: how it is drawn from a frame of results."""


@dataclass(frozen=True)
class Drawn:
    """The files that were written, by the figure's name, and why others could not be drawn from these results."""

    files: Mapping[str, Path] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def draw(
    sources: Sequence[str | Path],
    output: Path,
    *,
    figures: Sequence[str] = (),
    theme: Theme = "light",
    form: Form = "png",
) -> Drawn:
    """Draw figures (all that can be, by default) of results: notebooks, or one file that `collect` or `bench` wrote.

    InvalidRequestError for a figure that there is not, or that was named and cannot be drawn from these results, or if
    none can.
    """
    if unknown := [name for name in figures if name not in FIGURES]:
        raise InvalidRequestError(f"There is no figure {unknown[0]!r}.", next_step=f"There are: {', '.join(FIGURES)}.")
    frame = read(sources)
    files, left_out = {}, {}
    for name in figures or FIGURES:
        try:
            figure = FIGURES[name](frame, theme)
        except InvalidRequestError as error:
            if figures:
                raise
            left_out[name] = error.what
            continue
        files[name] = output.expanduser().absolute() / f"{name}.{form}"
        write_atomically(files[name], _encoded(figure, form))
    if not files:
        raise InvalidRequestError("Nothing can be drawn from these results.", next_step=next(iter(left_out.values())))
    return Drawn(files, left_out)


def read(sources: Sequence[str | Path]) -> pd.DataFrame:
    """Read results from one file of `bench` or `collect`, or from executed notebooks and their folders."""
    file = Path(sources[0]) if len(sources) == 1 else Path()
    readers = _READERS.get(file.suffix.lower(), ())
    for reader in readers:
        try:
            return reader(file)
        except RunError:
            if reader is readers[-1]:
                raise
    return results.collect([str(source) for source in sources])


def _of_bench(file: Path) -> pd.DataFrame:
    return saving.load(file).frame


_READERS: Mapping[str, tuple[Callable[[Path], pd.DataFrame], ...]] = {
    ".json": (_of_bench,),
    ".parquet": (_of_bench, results.load),
    ".csv": (results.load,),
}


def _in_rounds(frame: pd.DataFrame) -> bool:
    return "round" in frame.columns


def _pairs(frame: pd.DataFrame) -> pd.DataFrame:
    if not _in_rounds(frame):
        raise InvalidRequestError(_PAIRED, next_step="Measure them with: mambakernels bench --save FILE")
    return pairs(frame)


def _encoded(figure: Figure, form: Form) -> bytes:
    if form == "png":
        return plots.png(figure)
    stream = BytesIO()
    figure.savefig(stream, format=form)
    return stream.getvalue()
