"""Accuracy against speed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from mambakernels.plots import sheets
from mambakernels.plots.appearance import Appearance, appearances
from mambakernels.plots.captions import caption
from mambakernels.plots.frames import (
    Name,
    as_dicts,
    groups,
    largest_common,
    nothing,
    per_panel,
    points,
    rate_in_words,
    rated,
    usual_threads,
)
from mambakernels.plots.hover import hint
from mambakernels.plots.sheets import SheetName, Surroundings
from mambakernels.plots.style import DASHES, PALETTES, Palette, Theme, cross_out, dress, entitle, reach, remark

_READING = (
    "Best: bottom right. Residual: how wrong the result is relative to its operands, the worst of all checks; rate: "
    "estimate, bars: quartiles. Dashed: the largest residual of a correct result; crosses: wrong. Exact results are at "
    "the bottom."
)
_CEILING = 1.0  # a residual above that is nonsense; how large the nonsense is does not matter
_DECADES = 2.0
_CLEAR = 3.0  # times as high as the axis' end


def accuracy_against_speed(frame: pd.DataFrame, *, theme: Theme = "light", sheet: SheetName = "wide") -> Figure:
    """Draw residual against GFLOP/s: a panel per operation at its largest n, a mark per kernel and dtype.

    Needs kernel, operation, dtype, size, flops, gflops and residual; residual_bound, correct and samples are used if
    present. Raises `InvalidRequestError` if no measurement has both a residual and a rate.
    """
    rows, palette = drawable(frame), PALETTES[theme]
    parts = per_panel(rows, "operation")
    known = appearances(rows)
    around = Surroundings([one.handle(palette) for one in known.values()], caption(frame, rows, _READING))
    figure, axes = sheets.lay_out(len(parts), around, palette, sheet=sheet)
    for axis, part in zip(axes, parts, strict=True):
        draw(axis, part, known, palette)
    return figure


def drawable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with rate and residual, at one number of threads."""
    known = rated(frame, ("residual",), figure="accuracy against speed")
    rows = known[known["residual"].notna() | ~known["correct"].astype(bool)]
    if rows.empty:
        raise nothing("no measurement was checked", "Measure operations that have a residual, such as gemm.")
    products = rows[~rows["control"].astype(bool)]
    return usual_threads(rows if products.empty else products)


def draw(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette) -> None:
    """Draw one operation: each dtype at its largest size."""
    parts = [largest_common(part) for part in per_panel(rows, "dtype")]
    floor, ceiling = _ends(pd.concat(parts))
    dress(axis, palette, x="GFLOP/s", y="residual (relative)")
    axis.set_yscale("log")
    axis.set_ylim(floor, ceiling)
    for part in parts:
        for kernel, mine in groups(part, "kernel"):
            _mark(axis, mine, known[kernel], palette, floor=floor)
    axis.set_xlim(0, axis.get_xlim()[1] * 1.06)
    for part in parts:
        _bound(axis, part, palette)
    sizes = dict.fromkeys(int(part["size"].iloc[0]) for part in parts)
    entitle(axis, palette, str(rows["operation"].iloc[0]), f"n = {', '.join(map(str, sizes))}")


def _mark(axis: Axes, rows: pd.DataFrame, one: Appearance, palette: Palette, *, floor: float) -> None:
    (point,) = as_dicts(points(rows, "kernel"))
    height = min(max(_worst(rows), floor * 1.6), _CEILING)
    bars = reach(point["rate"], point["low"], point["high"])
    strokes = one.strokes(palette) | {"linestyle": ""}
    axis.errorbar(point["rate"], height, xerr=bars, elinewidth=1, label=one.label, zorder=3, clip_on=False, **strokes)
    hint(
        axis,
        point["rate"],
        height,
        f"{one.label}, {rows['dtype'].iloc[0]}: residual {_worst(rows):.1e}, {rate_in_words(point)}",
    )
    if not point["correct"]:
        cross_out(axis, palette, point["rate"], height)


def _bound(axis: Axes, rows: pd.DataFrame, palette: Palette) -> None:
    dtype, bound = rows["dtype"].iloc[0], _bounds(rows).max()
    known = not math.isnan(bound)
    if known:
        axis.axhline(bound, color=palette.muted, linewidth=1, linestyle=DASHES, zorder=1)
    height = bound if known else max(float(rows["residual"].median()), axis.get_ylim()[0] * _CLEAR)
    words = f"{dtype}: bound" if known else str(dtype)
    place = axis.get_yaxis_transform() + ScaledTranslation(0, 3 / 72, axis.figure.dpi_scale_trans)
    remark(axis, palette, (0.01, height), words, transform=place, ha="left", va="bottom")


def _bounds(rows: pd.DataFrame) -> pd.Series[float]:
    """Return the largest residuals that correct results may have, where they are known."""
    bounds = rows["residual_bound"] if "residual_bound" in rows.columns else pd.Series(dtype=float)
    return bounds[bounds > 0].astype(float)


def _worst(rows: pd.DataFrame) -> float:
    residuals = rows["residual"].astype(float)
    return _CEILING if residuals.isna().any() else float(residuals.max())


def _ends(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the residuals' axis: whole decades around all residuals and their bounds."""
    values = pd.concat([rows["residual"].astype(float).fillna(_CEILING), _bounds(rows)]).clip(upper=_CEILING)
    values = values[values > 0]
    least, most = (values.min(), values.max()) if len(values) else (1e-17, 1e-15)
    low, high = math.floor(np.log10(least) - 0.3), math.ceil(np.log10(most) + 0.7)
    return 10.0 ** (min(low, high - _DECADES) - 0.25), 10.0**high  # the lowest label keeps clear of the other axis
