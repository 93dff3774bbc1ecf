"""GFLOP/s against n."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mambakernels.plots import sheets
from mambakernels.plots.appearance import Appearance, appearances
from mambakernels.plots.captions import caption
from mambakernels.plots.frames import Limit, Name, as_dicts, groups, per_panel, points, rate_in_words, rated
from mambakernels.plots.frames import peak as peak_of
from mambakernels.plots.hover import hint
from mambakernels.plots.sheets import SheetName, Surroundings
from mambakernels.plots.style import (
    PALETTES,
    Palette,
    Theme,
    cross_out,
    dress,
    entitle,
    label_plainly,
    reach,
    shade_beyond,
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
    are made of, and crosses mark wrong results. What lies beyond the theoretical peak is shaded, if that is known
    (`peak`, in GFLOP/s per core for float64, or as probed) and not far away. Operations whose flops are unknown have no
    rate and no panel. A narrow sheet, for a telephone, stacks the panels in one column.

    Needs kernel, operation, dtype, size, flops and gflops; samples, threads, blas, blas_version, architecture, cpu,
    cores, numpy and python are used if present. Raises `InvalidRequestError` if nothing is left to draw.
    """
    rows, palette = rated(frame, figure="GFLOP/s against n"), PALETTES[theme]
    parts = per_panel(rows, "operation", "dtype")
    known = appearances(rows, ("kernel", "threads"))
    around = Surroundings([one.handle(palette) for one in known.values()], caption(frame, rows, _READING))
    figure, axes = sheets.lay_out(len(parts), around, palette, sheet=sheet)
    for axis, part in zip(axes, parts, strict=True):
        draw(axis, part, known, palette, peak=peak)
    return figure


def draw(
    axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette, *, peak: float | None
) -> None:
    """Draw one operation with one dtype; the keys of `known` are (kernel, threads)."""
    first, sizes = rows.iloc[0], sorted(rows["size"].unique())
    dress(axis, palette, x="n" if len(sizes) > 1 else f"n = {first['size']}", y="GFLOP/s")
    curves = {key: points(mine.sort_values("size"), "size") for key, mine in groups(rows, "kernel", "threads")}
    if len(sizes) > 1:
        for key, curve in curves.items():
            _curve(axis, curve, known[key], palette)
        axis.set_xscale("log", base=2)
        label_plainly(axis.xaxis, _ticks(sizes))
        axis.margins(x=0.08)
    else:
        for place, (key, curve) in enumerate(curves.items()):
            _point(axis, place, curve.iloc[0], known[key], palette)
        axis.set_xticks([])
        axis.set_xlim(-0.7, len(curves) - 0.3)
    best = max(float(curve[["rate", "high"]].max().max()) for curve in curves.values())
    _end(axis, best, peak_of(rows, peak), palette)
    notes = [str(first["dtype"]), *(word for column, word in _NOTES.items() if rows[column].any())]
    entitle(axis, palette, str(first["operation"]), ", ".join(notes))


def _curve(axis: Axes, curve: pd.DataFrame, one: Appearance, palette: Palette) -> None:
    color = palette.color(one.mark)
    axis.fill_between(curve["size"], curve["low"], curve["high"], color=color, alpha=0.18, linewidth=0)
    axis.plot(curve["size"], curve["rate"], label=one.label, zorder=3, **one.strokes(palette))
    for point in as_dicts(curve):
        _hint(axis, point["size"], point, one)
    wrong = curve[~curve["correct"]]
    cross_out(axis, palette, wrong["size"], wrong["rate"])


def _point(axis: Axes, place: int, point: pd.Series[Any], one: Appearance, palette: Palette) -> None:
    """Draw the only point of a kernel at a place where no other kernel's is."""
    bars = reach(point["rate"], point["low"], point["high"])
    strokes = one.strokes(palette) | {"linestyle": ""}
    axis.errorbar(place, point["rate"], yerr=bars, elinewidth=1, label=one.label, zorder=3, **strokes)
    _hint(axis, place, {str(name): value for name, value in point.items()}, one)
    if not point["correct"]:
        cross_out(axis, palette, place, point["rate"])


def _hint(axis: Axes, place: float, point: Mapping[str, Any], one: Appearance) -> None:
    hint(axis, place, point["rate"], f"{one.label}, n = {point['size']}: {rate_in_words(point)}")


def _end(axis: Axes, best: float, top: Limit | None, palette: Palette) -> None:
    """End the axis above the best rate, or above the peak unless all rates are far below it."""
    if top is None or best < _FAR_BELOW * top.value:
        axis.set_ylim(0, best * _ROOM_ABOVE)
        return
    axis.set_ylim(0, max(best, top.value) * _ROOM_ABOVE)
    shade_beyond(axis, palette, axis.get_xlim(), [top.value] * 2, top.words)


def _ticks(sizes: Sequence[int]) -> list[float]:
    """Choose measured sizes, evenly spread if there are many."""
    step = math.ceil(len(sizes) / _MOST_TICKS)
    return [float(size) for size in sizes[::-1][::step]]
