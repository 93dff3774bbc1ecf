"""GFLOP/s against n."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from mambakernels.plots import sheets
from mambakernels.plots.captions import caption
from mambakernels.plots.frames import Limit, Name, groups, limit, panels, points, rated
from mambakernels.plots.looks import Look, looks
from mambakernels.plots.sheets import Frame, SheetName
from mambakernels.plots.style import PALETTES, Palette, Theme, dress, entitle, write

WORDS = {"nominal": "flops_nominal", "control": "control"}  # word in a panel's corner: the column that says so
READING = "More is better. Points: medians; bands: quartiles of the samples; crosses: wrong results."

_MOST_TICKS = 6
_ROOM_ABOVE = 1.12
_FAR_BELOW = 0.2  # of the peak: less than that on an axis up to the peak is no longer read


def gflops_by_size(
    frame: pd.DataFrame, *, theme: Theme = "light", sheet: SheetName = "wide", peak: float | None = None
) -> Figure:
    """Draw GFLOP/s against n: a panel per operation and dtype, a line per kernel, coloured by its BLAS.

    Points are medians, bands reach from the lower to the upper quartile of the raw samples, and crosses mark wrong
    results. Each axis ends at the theoretical peak if `peak` gives it (GFLOP/s per core, float64), or else at the
    best seen. Operations whose flops are not known have no rate and no panel. A narrow sheet, for a telephone, has the
    panels below one another.

    Needs kernel, operation, dtype, size, flops and gflops; samples, threads, blas, blas_version, architecture, cpu,
    cores, numpy and python are used if they are there. Raises `InvalidRequestError` if nothing is left to draw.
    """
    rows, palette = rated(frame, figure="GFLOP/s against n"), PALETTES[theme]
    parts = panels(rows, ("operation", "dtype"))
    known = looks(rows, ("kernel", "threads"))
    below = caption(rows, READING, letters=sheets.letters(sheet, len(parts)))
    around = Frame([look.handle(palette) for look in known.values()], below)
    figure, axes = sheets.panels(len(parts), around, palette, sheet=sheet)
    for axis, part in zip(axes, parts, strict=True):
        draw(axis, part, known, palette, peak=peak)
    return figure


def draw(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Look], palette: Palette, *, peak: float | None) -> None:
    """Draw one operation with one dtype; `known` has a look for each (kernel, threads)."""
    for key, mine in groups(rows, "kernel", "threads"):
        _curve(axis, points(mine.sort_values("size"), ["size"]), known[key], palette)
    dress(axis, palette, x="n", y="GFLOP/s")
    _count_in_powers(axis, rows)
    _end_at(axis, rows, palette, peak=peak)
    first = rows.iloc[0]
    notes = [str(first["dtype"]), *(word for word, column in WORDS.items() if rows[column].any())]
    entitle(axis, palette, str(first["operation"]), ", ".join(notes))


def top_of(rows: pd.DataFrame, peak: float | None) -> Limit:
    """Return where the axis ends: at the peak, unless all that was measured would lie at the bottom then."""
    highest, best = limit(rows, peak), limit(rows, None)
    if peak is None or best.gflops >= _FAR_BELOW * highest.gflops:
        return highest
    return Limit(best.gflops, f"{best.words} ({best.gflops / highest.gflops:.1%} of the theoretical peak)")


def _curve(axis: Axes, curve: pd.DataFrame, look: Look, palette: Palette) -> None:
    color = palette.color(look.mark)
    axis.fill_between(curve["size"], curve["low"], curve["high"], color=color, alpha=0.18, linewidth=0)
    axis.plot(curve["size"], curve["rate"], label=look.label, zorder=3, **look.strokes(palette))
    wrong = curve[~curve["correct"]]
    axis.plot(wrong["size"], wrong["rate"], linestyle="", marker="x", color=palette.ink, markersize=10, zorder=4)


def _count_in_powers(axis: Axes, rows: pd.DataFrame) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(_ticks(sorted(rows["size"].unique())))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.margins(x=0.08)


def _end_at(axis: Axes, rows: pd.DataFrame, palette: Palette, *, peak: float | None) -> None:
    end = top_of(rows, peak)
    axis.set_ylim(0, end.gflops * _ROOM_ABOVE)
    axis.axhline(end.gflops, color=palette.muted, linewidth=1, linestyle=(0, (6, 2)), zorder=1)
    place = (0.01, (1 + 1 / _ROOM_ABOVE) / 2)
    write(axis, palette, place, end.words, transform=axis.transAxes, ha="left", va="center")


def _ticks(sizes: Sequence[int]) -> list[int]:
    """Choose sizes that were measured, evenly spread if they are many."""
    step = math.ceil(len(sizes) / _MOST_TICKS)
    return [int(size) for size in sizes[::-1][::step]]
