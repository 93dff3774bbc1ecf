"""Paired ratios: the time of each kernel relative to a reference, with intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mambakernels.bench.agreement import check_pairs
from mambakernels.plots import sheets
from mambakernels.plots.appearance import Appearance, appearances, shortened
from mambakernels.plots.captions import caption, in_threads
from mambakernels.plots.frames import as_dicts, checked, nothing, per_panel
from mambakernels.plots.hover import hint
from mambakernels.plots.sheets import SheetName, Surroundings
from mambakernels.plots.style import PALETTES, SMALL, TINY, Palette, Theme, dress, entitle, label_plainly, reach

_READING = (
    "Bars: time over the reference's in the same round, median of the rounds; lines: its confidence interval. "
    "Filled: faster or slower; hollow with =: no difference beyond the grey margin; hollow with ?: undecided; "
    "arrows: bars that extend beyond the axis."
)
_NAME = "the picture of paired ratios"
_NEEDED = ("kernel", "reference", "operation", "dtype", "size", "ratio", "low", "high", "verdict")
_FACTS = ("blas", "blas_version", "architecture", "cpu", "cores", "system", "numpy", "python")
_KEY = ("kernel", "reference")
_BAR_INCHES, _PANEL_INCHES = 0.17, 1.05
_REFERENCE_LETTERS = 24
_GAP = 0.7  # between two sizes, in bars
_ROOM = 0.17  # of the axis at either side, for the numbers
_FAR = 4.0  # on a longer axis, small differences that matter could no longer be seen next to large ones
_TICKS = (  # the first row that has few enough ticks on the axis is used
    (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2),
    (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0),
    (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0),
    (0.25, 0.5, 1.0, 2.0, 4.0),
)
_FEWEST_BARS = 5
_FEWEST_TICKS, _MOST_TICKS = 3, 6


@dataclass(frozen=True)
class _Style:
    """The drawing of a verdict: whether the bar is filled, the line around it, and the sign before its number."""

    filled: bool
    outline: str
    sign: str = ""


_VERDICTS: Mapping[str, _Style] = {
    "faster": _Style(filled=True, outline="-"),
    "slower": _Style(filled=True, outline="-"),
    "equal": _Style(filled=False, outline="-", sign="= "),
    "undecided": _Style(filled=False, outline=":", sign="? "),
    "wrong": _Style(filled=False, outline=":", sign="wrong "),
}


def paired_ratios(
    pairs: pd.DataFrame, frame: pd.DataFrame | None = None, *, theme: Theme = "light", sheet: SheetName = "wide"
) -> Figure:
    """Draw the pairs of `mambakernels.bench.pairs`: a panel per operation, dtype and threads, a bar per kernel and n.

    Needs kernel, reference, operation, dtype, size, ratio (time over the reference's), low, high and verdict (faster,
    slower, equal, undecided or wrong); threads, margin and control are used if present. `frame`, the measurements,
    gives the BLAS of each kernel, and machine and versions for the caption. Controls are left out. Raises
    `InvalidRequestError` if no pair is left.
    """
    rows, palette = drawable(pairs, frame), PALETTES[theme]
    parts = per_panel(rows, "operation", "dtype", "threads")
    known = appearances_of(rows)
    origin = rows if frame is None else checked(frame, (), figure=_NAME)
    paragraphs = caption(origin if frame is None else frame, origin, _READING)
    around = Surroundings([one.patch(palette) for one in known.values()], paragraphs)
    bars = max(_height(part) for part in parts)
    height = _PANEL_INCHES + _BAR_INCHES * bars
    figure, axes = sheets.lay_out(len(parts), around, palette, sheet=sheet, panel_height=height)
    span = _span(rows)
    for axis, part in zip(axes, parts, strict=True):
        draw(axis, part, known, palette)
        _scale(axis, span)
        axis.set_ylim(bars - 0.7, -0.7)
        entitle(axis, palette, str(part["operation"].iloc[0]), _note(part))
    return figure


def drawable(pairs: pd.DataFrame, frame: pd.DataFrame | None) -> pd.DataFrame:
    """Return the pairs that can be drawn, with the facts that the measurements have of their kernels."""
    whole = checked(pairs, _NEEDED, figure=_NAME)
    if (controls := check_pairs(whole)).verdict == "differ":
        raise nothing(f"no kernel can be compared ({controls.text})", "Measure again on a quiet machine.")
    if frame is not None:
        kernels = checked(frame, ("kernel",), figure=_NAME).drop_duplicates("kernel")
        whole = whole.drop(columns=list(_FACTS)).merge(kernels[["kernel", *_FACTS]], on="kernel", how="left")
    rows = whole[(whole["ratio"] > 0) & ~whole["control"].astype(bool)]
    if rows.empty:
        raise nothing("no two kernels were compared", "Compare at least two kernels.")
    cases = [f"n = {size}" for size in rows["size"]]
    rows = rows.assign(text=rows["text"] if "text" in rows.columns else rows["verdict"])
    return rows.assign(margin=rows["margin"] if "margin" in rows.columns else 0.0, case=cases).sort_values(
        "size", kind="stable"
    )


def appearances_of(rows: pd.DataFrame) -> dict[tuple[str, str], Appearance]:
    """Return the appearance of each pair, named after its kernel, and its reference too if there are several."""
    both = " against " + rows["reference"].astype(str) if len(set(rows["reference"])) > 1 else ""
    words = rows["kernel"].astype(str) + both
    found = appearances(rows.assign(kernel=words, compared=rows["kernel"]), ("compared", "reference"))
    return {(str(key[0]), str(key[1])): one for key, one in found.items() if isinstance(key, tuple)}


def _span(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis of ratios, with room for the numbers at either side."""
    ends = pd.concat([rows[name].astype(float) for name in ("ratio", "low", "high")])
    ends = ends[ends.map(math.isfinite) & (ends > 0)]
    least = math.log(max(min(ends.min(), 0.95), 1 / _FAR))
    most = math.log(min(max(ends.max(), 1.05), _FAR))
    room = (most - least) * _ROOM / (1 - 2 * _ROOM)
    return math.exp(least - room), math.exp(most + room)


def draw(axis: Axes, rows: pd.DataFrame, known: Mapping[tuple[str, str], Appearance], palette: Palette) -> None:
    """Draw bars from the top down, those of one `case` together."""
    dress(axis, palette, x=f"time relative to {_references(rows)}", y="")
    margin = float(rows["margin"].max())
    axis.axvspan(1 / (1 + margin), 1 + margin, color=palette.faint, alpha=0.7, linewidth=0, zorder=0)
    places = _places(rows)
    for row, place in zip(as_dicts(rows), places, strict=True):
        _bar(axis, row, place, known[row["kernel"], row["reference"]], palette)
    axis.axvline(1, color=palette.ink, linewidth=1.2, zorder=4)
    _scale(axis, _span(rows))
    centres = pd.Series(places).groupby(rows["case"].to_numpy(), sort=False).mean()
    axis.set_yticks(list(centres), list(centres.index))
    room = max(0.7, (_FEWEST_BARS - max(places) + min(places)) / 2)
    axis.set_ylim(max(places) + room, min(places) - room)
    axis.grid(visible=False)


def _bar(axis: Axes, row: Mapping[str, Any], place: float, one: Appearance, palette: Palette) -> None:
    how, color = _VERDICTS.get(row["verdict"], _VERDICTS["undecided"]), palette.color(one.mark)
    length = _cut(row["ratio"]) - 1
    axis.barh(
        place, length, left=1, height=0.8, zorder=2, linewidth=0,
        facecolor=color if how.filled else palette.paper, edgecolor=palette.paper, hatch=one.hatch * how.filled,
    )  # fmt: skip
    axis.barh(
        place, length, left=1, height=0.8, facecolor="none", edgecolor=color, linestyle=how.outline, linewidth=1.2,
        zorder=3,
    )  # fmt: skip
    end = _interval(axis, row, place, palette)
    if not how.filled and _cut(row["ratio"]) == row["ratio"]:
        axis.plot(1 + length, place, marker="o", markersize=4, markerfacecolor=palette.paper, markeredgecolor=color,
                  markeredgewidth=1.2, zorder=6)  # fmt: skip
    hint(axis, 1 + length, place, f"{one.label}, {row['case']}: {row['ratio']:.3f} times the time; {row['text']}")
    outward = row["ratio"] >= 1
    axis.annotate(
        f"{how.sign}{row['ratio']:.2f}", (end, place), xytext=(5 if outward else -5, 0),
        textcoords="offset points", ha="left" if outward else "right", va="center", fontsize=TINY,
        color=palette.ink if how.filled else palette.muted,
    )  # fmt: skip


def _interval(axis: Axes, row: Mapping[str, Any], place: float, palette: Palette) -> float:
    """Draw the interval, or an arrow where it leaves the axis, and return the place for the number."""
    ratio, low, high = (float(row[name]) for name in ("ratio", "low", "high"))
    if _cut(ratio) != ratio:
        axis.plot(_cut(ratio), place, marker=">" if ratio > 1 else "<", markersize=6, color=palette.ink, zorder=5)
        return _cut(ratio)
    if math.isfinite(low) and math.isfinite(high):
        axis.errorbar(ratio, place, xerr=reach(ratio, _cut(low), _cut(high)), fmt="none", ecolor=palette.ink,
                      elinewidth=1, capsize=1.8, capthick=1, zorder=5)  # fmt: skip
        for end, marker in ((low, "<"), (high, ">")):
            if _cut(end) != end:
                axis.plot(_cut(end), place, marker=marker, markersize=4, color=palette.ink, zorder=5)
    ends = [_cut(value) for value in (ratio, low, high, 1.0) if math.isfinite(value)]
    return max(ends) if ratio >= 1 else min(ends)


def _cut(ratio: float) -> float:
    return min(max(float(ratio), 1 / _FAR), _FAR)


def _scale(axis: Axes, span: tuple[float, float]) -> None:
    axis.set_xscale("log")
    axis.set_xlim(*span)
    offered = [[tick for tick in ticks if span[0] <= tick <= span[1]] for ticks in _TICKS]
    ticks = next((few for few in offered if _FEWEST_TICKS <= len(few) <= _MOST_TICKS), offered[-1])
    label_plainly(axis.xaxis, ticks)
    axis.tick_params(axis="y", labelsize=SMALL)


def _places(rows: pd.DataFrame) -> list[float]:
    """Return the place of each bar, from the top: bars of one case next to each other, cases a gap apart."""
    kernels = {key: number for number, key in enumerate(dict.fromkeys(map(tuple, rows[list(_KEY)].to_numpy())))}
    cases = {case: number for number, case in enumerate(dict.fromkeys(rows["case"]))}
    return [
        cases[row["case"]] * (len(kernels) + _GAP) + kernels[row["kernel"], row["reference"]] for row in as_dicts(rows)
    ]


def _height(rows: pd.DataFrame) -> float:
    """Return how many bars fit between top and bottom of a panel."""
    places = _places(rows)
    return max(places) - min(places) + 1.4


def _references(rows: pd.DataFrame) -> str:
    names = list(dict.fromkeys(rows["reference"]))
    return shortened(str(names[0]), _REFERENCE_LETTERS) if len(names) == 1 else "the other"


def _note(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return f"{first['dtype']}, {in_threads(first['threads'])}".rstrip(", ")
