"""GFLOP/s against n."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mambakernels.plots import sheets
from mambakernels.plots.appearance import Appearance, appearances
from mambakernels.plots.captions import facts
from mambakernels.plots.frames import Limit, Name, groups, limit, per_panel, points, rated
from mambakernels.plots.sheets import SheetName, Surroundings
from mambakernels.plots.style import (
    DASHES,
    PALETTES,
    Palette,
    Theme,
    cross_out,
    dress,
    entitle,
    label_plainly,
    remark,
)

_READING = (
    "More is better. Points: estimates (lower quartile of CPU time or of undisturbed samples); bands: down to the rate "
    "at the upper quartile; crosses: wrong results."
)
_NOTES = {"flops_nominal": "nominal", "control": "control"}  # a column that is true: the word in the panel's corner
_MOST_TICKS = 6
_ROOM_ABOVE = 1.12
_FAR_BELOW = 0.2  # of the peak: lower rates could no longer be read on an axis that ends at the peak


def gflops_by_size(
    frame: pd.DataFrame, *, theme: Theme = "light", sheet: SheetName = "wide", peak: float | None = None
) -> Figure:
    """Draw GFLOP/s against n: a panel per operation and dtype, a line per kernel, coloured by its BLAS.

    Points are the estimates that tables show, bands reach down to the rate at the upper quartile of the samples they
    are made of, and crosses mark wrong results. Each axis ends at the theoretical peak if `peak` gives it (GFLOP/s per
    core, float64), otherwise at the best seen. Operations whose flops are unknown have no rate and no panel. A narrow
    sheet, for a telephone, stacks the panels in one column.

    Needs kernel, operation, dtype, size, flops and gflops; samples, threads, blas, blas_version, architecture, cpu,
    cores, numpy and python are used if present. Raises `InvalidRequestError` if nothing is left to draw.
    """
    rows, palette = rated(frame, figure="GFLOP/s against n"), PALETTES[theme]
    parts = per_panel(rows, "operation", "dtype")
    known = appearances(rows, ("kernel", "threads"))
    around = Surroundings([one.handle(palette) for one in known.values()], (facts(rows), _READING))
    figure, axes = sheets.lay_out(len(parts), around, palette, sheet=sheet)
    for axis, part in zip(axes, parts, strict=True):
        draw(axis, part, known, palette, peak=peak)
    return figure


def draw(
    axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette, *, peak: float | None
) -> None:
    """Draw one operation with one dtype; the keys of `known` are (kernel, threads)."""
    for key, mine in groups(rows, "kernel", "threads"):
        _curve(axis, points(mine.sort_values("size"), "size"), known[key], palette)
    dress(axis, palette, x="n", y="GFLOP/s")
    axis.set_xscale("log", base=2)
    label_plainly(axis.xaxis, _ticks(sorted(rows["size"].unique())))
    axis.margins(x=0.08)
    _end_at(axis, _top(rows, peak), palette)
    first = rows.iloc[0]
    notes = [str(first["dtype"]), *(word for column, word in _NOTES.items() if rows[column].any())]
    entitle(axis, palette, str(first["operation"]), ", ".join(notes))


def _top(rows: pd.DataFrame, peak: float | None) -> Limit:
    """Return where the axis ends: at the peak, or at the best seen if all rates are far below a given peak."""
    highest = limit(rows, peak)
    if peak is None or (best := limit(rows, None)).value >= _FAR_BELOW * highest.value:
        return highest
    return Limit(best.value, f"{best.words} ({best.value / highest.value:.1%} of the theoretical peak)")


def _curve(axis: Axes, curve: pd.DataFrame, one: Appearance, palette: Palette) -> None:
    color = palette.color(one.mark)
    axis.fill_between(curve["size"], curve["low"], curve["high"], color=color, alpha=0.18, linewidth=0)
    axis.plot(curve["size"], curve["rate"], label=one.label, zorder=3, **one.strokes(palette))
    wrong = curve[~curve["correct"]]
    cross_out(axis, palette, wrong["size"], wrong["rate"])


def _end_at(axis: Axes, end: Limit, palette: Palette) -> None:
    axis.set_ylim(0, end.value * _ROOM_ABOVE)
    axis.axhline(end.value, color=palette.muted, linewidth=1, linestyle=DASHES, zorder=1)
    place = (0.01, (1 + 1 / _ROOM_ABOVE) / 2)
    remark(axis, palette, place, end.words, transform=axis.transAxes, ha="left", va="center")


def _ticks(sizes: Sequence[int]) -> list[float]:
    """Choose measured sizes, evenly spread if there are many."""
    step = math.ceil(len(sizes) / _MOST_TICKS)
    return [float(size) for size in sizes[::-1][::step]]
