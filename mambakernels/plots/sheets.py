"""How panels are laid out on a sheet, with room for a legend above and a caption below."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mambakernels.plots.style import LABEL, TINY, Palette

SheetName = Literal["wide", "narrow"]

PANEL_INCHES = (3.5, 2.75)
_PAD_INCHES = 0.09
_LETTER_INCHES = 0.0079  # of the legend, per point of its size
_LINE_INCHES = 0.021  # of text, per point of its size
_HANDLE_INCHES = 0.75  # of the legend: the line before a name, and the gap behind it


@dataclass(frozen=True)
class Sheet:
    """Most panels in a row, least width in inches, and how many letters of the caption fit into a line."""

    columns: int
    inches: float
    letters: int


SHEETS: Mapping[SheetName, Sheet] = {"wide": Sheet(3, 7.0, 120), "narrow": Sheet(1, 4.2, 68)}


@dataclass(frozen=True)
class Frame:
    """What stands around the panels: handles of the legend, and the caption."""

    handles: Sequence[Artist]
    caption: str


def letters(sheet: SheetName, count: int, *, columns: int | None = None) -> int:
    """Return how many letters of the caption fit into a line below so many panels."""
    layout = _layout(sheet, columns)
    return round(layout.letters * _width(layout, count) / layout.inches)


def panels(
    count: int,
    frame: Frame,
    palette: Palette,
    *,
    sheet: SheetName = "wide",
    columns: int | None = None,
    panel_height: float = PANEL_INCHES[1],
) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many empty panels, its legend and its caption; all of it finds its place when drawn.

    `columns` is how many panels there are in a row at most, if not as many as fit onto the sheet.
    """
    layout = _layout(sheet, columns)
    in_row = min(layout.columns, count)
    rows, width = math.ceil(count / in_row), _width(layout, count)
    lines = _wrap(frame.handles, width)
    legend_rows = lines if lines > len(frame.handles) else math.ceil(lines / legend_columns(frame.handles, width))
    margin = 0.25 + _LINE_INCHES * (LABEL * legend_rows + TINY * len(frame.caption.splitlines()))
    engine = ConstrainedLayoutEngine(w_pad=_PAD_INCHES, h_pad=_PAD_INCHES)
    figure = Figure(figsize=(width, rows * panel_height + margin), layout=engine, facecolor=palette.paper)
    axes = list(figure.subplots(rows, in_row, squeeze=False).flat)
    for unused in axes[count:]:
        unused.remove()
    surround(figure, frame, palette)
    return figure, axes[:count]


def surround(figure: Figure, frame: Frame, palette: Palette) -> None:
    """Put legend and caption around what is drawn."""
    if frame.handles:
        _wrap(frame.handles, figure.get_figwidth())
        figure.legend(
            handles=list(frame.handles), loc="outside upper left", frameon=False, fontsize=LABEL,
            labelcolor=palette.ink, handlelength=3, ncols=legend_columns(frame.handles, figure.get_figwidth()),
        )  # fmt: skip
    figure.supxlabel(frame.caption, fontsize=TINY, color=palette.ink)


def _layout(sheet: SheetName, columns: int | None) -> Sheet:
    layout = SHEETS[sheet]
    return layout if columns is None else replace(layout, columns=min(columns, layout.columns))


def _width(layout: Sheet, count: int) -> float:
    return max(min(layout.columns, count) * PANEL_INCHES[0], layout.inches)


def legend_columns(handles: Sequence[Artist], width: float) -> int:
    """Return into how many columns a legend has to be broken to be no wider than so many inches."""
    labels = [len(str(handle.get_label())) for handle in handles]  # a broken one is too long for two columns
    fitting = (count for count in range(len(labels), 1, -1) if _legend_inches(labels, count) <= width)
    return next(fitting, 1)


def _wrap(handles: Sequence[Artist], width: float) -> int:
    """Break labels that are wider than so many inches, and return how many lines all of them have together."""
    most = int((width - _HANDLE_INCHES) / (_LETTER_INCHES * LABEL))
    for handle in handles:
        handle.set_label(textwrap.fill(str(handle.get_label()), most))
    return sum(len(str(handle.get_label()).splitlines()) for handle in handles)


def _legend_inches(labels: Sequence[int], columns: int) -> float:
    """Return how wide a legend is; matplotlib fills its columns one after the other, the first ones fuller."""
    rows, fuller = divmod(len(labels), columns)
    ends = [number * rows + min(number, fuller) for number in range(columns + 1)]
    longest = (max(labels[begin:end]) for begin, end in pairwise(ends))
    return sum(_HANDLE_INCHES + letters * _LETTER_INCHES * LABEL for letters in longest)
