"""Figures as files: results of `measurements` or `bench` in, PNG, PDF or SVG out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from mambakernels.bench import published
from mambakernels.bench.measured import Measured
from mambakernels.bench.pairs import pairs
from mambakernels.errors import InvalidRequestError, RunError
from mambakernels.paths import PathLike, storage_errors
from mambakernels.plots.accuracy import accuracy_against_speed
from mambakernels.plots.architectures import code_paths
from mambakernels.plots.page import summary_page
from mambakernels.plots.rates import gflops_by_size
from mambakernels.plots.ratios import paired_ratios
from mambakernels.plots.roof import roofline
from mambakernels.plots.scaling import thread_scaling
from mambakernels.plots.sheets import SheetName
from mambakernels.plots.style import Theme
from mambakernels.system.files import write_atomically

FigureFormat = Literal["png", "pdf", "svg"]
FIGURES: Mapping[str, Callable[[pd.DataFrame, Theme, SheetName], Figure]] = {
    "gflops": lambda frame, theme, sheet: gflops_by_size(frame, theme=theme, sheet=sheet),
    "ratios": lambda frame, theme, sheet: paired_ratios(_pairs(frame), frame, theme=theme, sheet=sheet),
    "threads": lambda frame, theme, sheet: thread_scaling(frame, theme=theme, sheet=sheet),
    "roofline": lambda frame, theme, sheet: roofline(frame, theme=theme, sheet=sheet),
    "accuracy": lambda frame, theme, sheet: accuracy_against_speed(frame, theme=theme, sheet=sheet),
    "paths": lambda frame, theme, sheet: code_paths(frame, theme=theme, sheet=sheet),
    "summary": lambda frame, theme, _: summary_page(frame, pairs(frame) if _in_rounds(frame) else None, theme=theme),
}
_COLORS = 256


@dataclass(frozen=True)
class Drawn:
    """The files that were written, by figure, and the reasons why other figures could not be drawn."""

    files: Mapping[str, Path] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


@storage_errors
def plot(
    *sources: PathLike,
    output: PathLike = ".",
    figures: Sequence[str] = (),
    theme: Theme = "light",
    format: FigureFormat = "png",  # noqa: A002 (the word of the command line and of matplotlib)
) -> Drawn:
    """Draw results as one file per figure in the folder `output`.

    `sources` is one file that `measurements` or `bench` wrote, or executed notebooks and folders of them. `figures` is
    any of gflops, ratios, threads, roofline, accuracy, paths and summary; by default all that these results allow.
    InvalidRequestError for an unknown figure, for a requested one that these results do not allow, and if none can be
    drawn.
    """
    if unknown := [name for name in figures if name not in FIGURES]:
        raise InvalidRequestError(
            f"There is no figure {unknown[0]!r}.", next_step=f"Known figures: {', '.join(FIGURES)}."
        )
    frame = _read(sources)
    files: dict[str, Path] = {}
    errors: dict[str, InvalidRequestError] = {}
    for name in figures or FIGURES:
        try:
            figure = FIGURES[name](frame, theme, "wide")
        except InvalidRequestError as error:
            if figures:
                raise
            errors[name] = error
            continue
        files[name] = Path(output).expanduser().absolute() / f"{name}.{format}"
        write_atomically(files[name], _encoded(figure, format))
    if not files:
        raise next(iter(errors.values()))
    return Drawn(files, {name: error.what for name, error in errors.items()})


def png(figure: Figure, *, dpi: int = 144) -> bytes:
    """Return the figure as a PNG file with a palette: a third of the size, with no visible difference."""
    from PIL import Image

    compact = BytesIO()
    with Image.open(BytesIO(_saved(figure, "png", dpi=dpi))) as picture:
        few = picture.convert("RGB").quantize(_COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(compact, format="png", optimize=True, dpi=(dpi, dpi))
    return compact.getvalue()


def _read(sources: Sequence[PathLike]) -> pd.DataFrame:
    """Read results from one file of `bench` or `measurements`, or from executed notebooks and their folders."""
    file = Path(sources[0]) if len(sources) == 1 else Path()
    readers = _READERS.get(file.suffix.lower(), ())
    for reader in readers:
        try:
            return reader(file)
        except RunError:
            if reader is readers[-1]:
                raise
    return published.measurements(sources)


def _of_bench(file: Path) -> pd.DataFrame:
    return Measured.load(file).frame


_READERS: Mapping[str, tuple[Callable[[Path], pd.DataFrame], ...]] = {
    ".json": (_of_bench,),
    ".parquet": (_of_bench, published.load),
    ".csv": (published.load,),
}


def _in_rounds(frame: pd.DataFrame) -> bool:
    return "round" in frame.columns


def _pairs(frame: pd.DataFrame) -> pd.DataFrame:
    if not _in_rounds(frame):
        raise InvalidRequestError(
            "These results were not measured in rounds, side by side, so there are no ratios to draw.",
            next_step="Measure them with: mambakernels bench --save FILE",
        )
    return pairs(frame)


def _encoded(figure: Figure, format: FigureFormat) -> bytes:  # noqa: A002 (as in `plot`)
    return png(figure) if format == "png" else _saved(figure, format)


def _saved(figure: Figure, format: FigureFormat, dpi: float = 100) -> bytes:  # noqa: A002 (as in `plot`)
    stream = BytesIO()
    figure.savefig(stream, format=format, dpi=dpi)
    return stream.getvalue()
