"""Sheets: panels in rows and columns, with a legend above and a caption below."""

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

SheetName = Literal["wide", "narrow", "screen"]

PANEL_INCHES = (3.5, 2.75)
_PAD_INCHES = 0.09
_LETTER_INCHES = 0.0079  # of the legend, per point of its size
_LINE_INCHES = 0.021  # of text, per point of its size
_HANDLE_INCHES = 0.75  # of the legend: the line before a name, and the gap behind it


@dataclass(frozen=True)
class Sheet:
    """The most panels in a row, the least width in inches, and how many letters of the caption that width holds."""

    columns: int
    inches: float
    letters: int


SHEETS: Mapping[SheetName, Sheet] = {
    "wide": Sheet(3, 7.0, 120),
    "narrow": Sheet(1, 4.2, 68),
    "screen": Sheet(2, 7.0, 120),  # larger letters next to JupyterLab's side bar
}


@dataclass(frozen=True)
class Surroundings:
    """The handles of the legend above the panels, and the paragraphs of the caption below them."""

    handles: Sequence[Artist]
    paragraphs: Sequence[str]

    def caption(self, letters: int) -> str:
        """Return the caption in lines of at most `letters` letters."""
        return "\n".join(
            textwrap.fill(paragraph, letters, break_on_hyphens=False) for paragraph in self.paragraphs if paragraph
        )


def lay_out(
    count: int,
    around: Surroundings,
    palette: Palette,
    *,
    sheet: SheetName = "wide",
    columns: int | None = None,
    panel_height: float = PANEL_INCHES[1],
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` empty panels, its legend and its caption; matplotlib places them when it draws.

    `columns` limits the panels in a row further than the sheet does.
    """
    layout = SHEETS[sheet]
    if columns is not None:
        layout = replace(layout, columns=min(columns, layout.columns))
    in_row = min(layout.columns, count)
    rows, width = math.ceil(count / in_row), max(in_row * PANEL_INCHES[0], layout.inches)
    caption = around.caption(round(layout.letters * width / layout.inches))
    lines = _wrap(around.handles, width)
    legend_rows = lines if lines > len(around.handles) else math.ceil(lines / _legend_columns(around.handles, width))
    margin = 0.25 + _LINE_INCHES * (LABEL * legend_rows + TINY * len(caption.splitlines()))
    engine = ConstrainedLayoutEngine(w_pad=_PAD_INCHES, h_pad=_PAD_INCHES)
    figure = Figure(figsize=(width, rows * panel_height + margin), layout=engine, facecolor=palette.paper)
    axes = list(figure.subplots(rows, in_row, squeeze=False).flat)
    for unused in axes[count:]:
        unused.remove()
    surround(figure, around.handles, caption, palette)
    return figure, axes[:count]


def surround(figure: Figure, handles: Sequence[Artist], caption: str, palette: Palette) -> None:
    """Put the legend above and the caption below what is drawn."""
    if handles:
        _wrap(handles, figure.get_figwidth())
        figure.legend(
            handles=list(handles), loc="outside upper left", frameon=False, fontsize=LABEL, labelcolor=palette.ink,
            handlelength=3, ncols=_legend_columns(handles, figure.get_figwidth()),
        )  # fmt: skip
    figure.supxlabel(caption, fontsize=TINY, color=palette.ink)


def _legend_columns(handles: Sequence[Artist], width: float) -> int:
    """Return the most columns in which a legend is no wider than `width` inches."""
    labels = [len(str(handle.get_label())) for handle in handles]  # a wrapped label is too long for two columns
    fitting = (count for count in range(len(labels), 1, -1) if _legend_inches(labels, count) <= width)
    return next(fitting, 1)


def _wrap(handles: Sequence[Artist], width: float) -> int:
    """Wrap labels that are wider than `width` inches, and return how many lines all labels have together."""
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
