"""The code paths of one library next to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mambakernels.plots import sheets
from mambakernels.plots.appearance import Appearance, appearances, shortened
from mambakernels.plots.captions import caption
from mambakernels.plots.frames import (
    Name,
    as_dicts,
    largest_common,
    nothing,
    per_panel,
    points,
    rated,
    untrusted,
    usual_threads,
)
from mambakernels.plots.sheets import SheetName, Surroundings
from mambakernels.plots.style import PALETTES, SMALL, TINY, Palette, Theme, cross_out, dress, entitle, reach

_READING = (
    "More is better. Bars: estimates, and how they compare with the fastest path; lines: quartiles of the samples; "
    "crosses: wrong."
)
_BAR_INCHES, _PANEL_INCHES = 0.36, 0.95
_ROOM = 1.42  # for the numbers behind the bars
_LETTERS = 24


def code_paths(
    frame: pd.DataFrame, blas: str | None = None, *, theme: Theme = "light", sheet: SheetName = "wide"
) -> Figure:
    """Draw the GFLOP/s of one library's code paths: a panel per operation and dtype (the largest n), a bar per kernel.

    `blas` is by default the library that ran on most paths. Needs kernel, blas, architecture (the code path),
    operation, dtype, size, flops and gflops. Raises `InvalidRequestError` if no library ran on several paths.
    """
    rows, palette = drawable(frame, blas), PALETTES[theme]
    parts = [largest_common(part) for part in per_panel(rows, "operation", "dtype")]
    known = appearances(rows)
    height = _PANEL_INCHES + _BAR_INCHES * len(known)
    around = Surroundings([], caption(frame, rows, _READING))
    figure, axes = sheets.lay_out(len(parts), around, palette, sheet=sheet, panel_height=height)
    for axis, part in zip(axes, parts, strict=True):
        draw(axis, part, known, palette)
    return figure


def drawable(frame: pd.DataFrame, blas: str | None = None) -> pd.DataFrame:
    """Return the rows of the library that ran on most code paths, or of `blas`, at one number of threads."""
    known = usual_threads(rated(frame, ("blas", "architecture"), figure="the picture of code paths"))
    counts = known.groupby("blas")["architecture"].nunique()
    chosen = blas or ("" if counts.empty else str(counts.idxmax()))
    if counts.get(chosen, 0) < 2:  # noqa: PLR2004 (a comparison takes two)
        missing = "no library ran on several code paths" if blas is None else f"{blas} ran on one code path at most"
        raise nothing(missing, "Register variants, such as OPENBLAS_CORETYPE=Haswell, and measure them.")
    return known[(known["blas"] == chosen) & known["architecture"].notna()].assign(ranked=not untrusted(frame))


def draw(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette) -> None:
    """Draw the bars of one operation, dtype and size, in the order of the frame."""
    bars = points(rows, "kernel", "architecture")
    best, ranked = bars["rate"].max(), bool(rows["ranked"].all())
    for place, bar in enumerate(as_dicts(bars)):
        _bar(axis, place, bar, known[bar["kernel"]], palette, best=best if ranked else None)
    dress(axis, palette, x="GFLOP/s", y="")
    axis.set_xlim(0, max(best, bars["high"].max()) * _ROOM)
    named = zip(bars["kernel"], bars["architecture"], strict=True)
    axis.set_yticks(range(len(bars)), [f"{path}\n{shortened(kernel, _LETTERS)}" for kernel, path in named])
    axis.tick_params(axis="y", labelsize=SMALL)
    axis.set_ylim(len(bars) - 0.45, -0.55)
    axis.grid(visible=False)
    first = rows.iloc[0]
    entitle(axis, palette, str(first["operation"]), f"{first['dtype']}, n = {first['size']}")


def _bar(
    axis: Axes, place: int, bar: Mapping[str, Any], one: Appearance, palette: Palette, *, best: float | None
) -> None:
    rate, low, high = (float(bar[name]) for name in ("rate", "low", "high"))
    axis.barh(place, rate, height=0.7, color=palette.color(one.mark), edgecolor=palette.paper, hatch=one.hatch,
              linewidth=0, label=one.label, zorder=2)  # fmt: skip
    axis.errorbar(rate, place, xerr=reach(rate, low, high), fmt="none", ecolor=palette.ink, elinewidth=1, capsize=2,
                  zorder=4)  # fmt: skip
    share = "" if best is None else f" ({rate / best:.0%})"
    axis.annotate(f"{rate:.3g}{share}", (max(rate, high), place), xytext=(5, 0), va="center",
                  textcoords="offset points", fontsize=TINY, color=palette.ink)  # fmt: skip
    if not bar["correct"]:
        cross_out(axis, palette, rate, place, zorder=5)
