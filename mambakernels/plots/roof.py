"""The roofline: the limits of memory and arithmetic, and how far each operation stays below them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mambakernels.plots import sheets
from mambakernels.plots.appearance import Appearance, appearances
from mambakernels.plots.captions import facts, in_threads
from mambakernels.plots.frames import (
    Limit,
    Name,
    as_dicts,
    groups,
    largest_common,
    limit,
    nothing,
    per_panel,
    points,
    rated,
    usual_threads,
)
from mambakernels.plots.sheets import SheetName, Surroundings
from mambakernels.plots.style import PALETTES, TINY, Palette, Theme, cross_out, dress, entitle, label_plainly

_READING = (
    "Each operation at the largest n that all kernels have; estimated rates. The roof: memory bandwidth times "
    "intensity, then {peak}. Intensity counts each operand as moved once. Operations of equal intensity are "
    "drawn side by side."
)
_HEIGHT_INCHES = 4.6
_STREAMING = ("dot", "gemv", "gemv_t")
_ROOM = 3.0  # times as far as the data, at each end of an axis
_SAME = 1.12  # intensities closer than that are drawn side by side
_STEP = 1.09
_SLOPE_STEPS = 80
_GAP_INCHES, _STEPS_AWAY = 0.09, 10  # between a mark and its name
_ORDER = ("float64", "float32", "complex128", "complex64")


@dataclass(frozen=True)
class _Box:
    """A rectangle, in inches; matplotlib's Bbox compares far more slowly, and a figure needs 100,000 comparisons."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: _Box) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


def roofline(
    frame: pd.DataFrame,
    *,
    theme: Theme = "light",
    sheet: SheetName = "wide",
    peak: float | None = None,
    bandwidth: float | None = None,
) -> Figure:
    """Draw each operation at its arithmetic intensity (flops/bytes) below the roof, a mark per kernel.

    `peak` is in GFLOP/s per core for float64, by default the best seen; `bandwidth` is in GB/s, by default the most
    that dot or gemv moved. One dtype (float64 if there is any) and one number of threads are drawn. Needs kernel,
    operation, dtype, size, flops, bytes, seconds and gflops. Raises `InvalidRequestError` if nothing has an intensity.
    """
    rows, palette = drawable(frame), PALETTES[theme]
    known = appearances(rows)
    paragraphs = (facts(rows), _READING.format(peak=limit(rows, peak).words))
    around = Surroundings([one.handle(palette) for one in known.values()], paragraphs)
    figure, (axis,) = sheets.lay_out(1, around, palette, sheet=sheet, columns=1, panel_height=_HEIGHT_INCHES)
    draw(axis, rows, known, palette, peak=peak, bandwidth=bandwidth, inches=(figure.get_figwidth() - 0.8, 3.9))
    entitle(axis, palette, "roofline", f"{rows['dtype'].iloc[0]}, {in_threads(rows['threads'].max())}".rstrip(", "))
    return figure


def drawable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with an intensity, of one dtype and one number of threads; with a column `intensity`."""
    known = rated(frame, ("bytes", "seconds"), figure="the roofline")
    rows = known[known["bytes"].notna() & (known["bytes"] > 0) & ~known["flops_nominal"].astype(bool)]
    if rows.empty:
        raise nothing("no measurement has both flops and bytes", "Measure operations such as gemm, gemv and dot.")
    present = [*_ORDER, *rows["dtype"]]
    chosen = next(dtype for dtype in present if (rows["dtype"] == dtype).any())
    rows = usual_threads(rows[rows["dtype"] == chosen])
    return rows.assign(intensity=rows["flops"].astype(float) / rows["bytes"].astype(float))


def _measured_bandwidth(rows: pd.DataFrame) -> Limit | None:
    """Return the most GB/s that dot or gemv moved at their largest size, if any of them was measured."""
    streaming = rows[rows["operation"].isin(_STREAMING)]
    if streaming.empty:
        return None
    largest = streaming[streaming["size"] == streaming["size"].max()]
    speeds = largest["bytes"].astype(float) / largest["seconds"].astype(float) / 1e9
    best = largest.iloc[int(speeds.to_numpy().argmax())]
    words = f"memory: {speeds.max():.3g} GB/s ({best['operation']}, n = {best['size']}, {best['bytes'] / 1e6:.3g} MB)"
    return Limit(float(speeds.max()), words)


def draw(
    axis: Axes,
    rows: pd.DataFrame,
    known: Mapping[Name, Appearance],
    palette: Palette,
    *,
    peak: float | None,
    bandwidth: float | None,
    inches: tuple[float, float],
) -> None:
    """Draw roof and operations; `inches` is about the size that the axis will have, for placing the names."""
    top = limit(rows, peak)
    memory = _measured_bandwidth(rows) if bandwidth is None else Limit(bandwidth, f"memory: {bandwidth:.3g} GB/s")
    shown = _placed(rows)
    x = (shown["place"].min() / _ROOM, shown["place"].max() * _ROOM)
    y = (min(shown["rate"].min(), top.value) / _ROOM, max(top.value, shown["rate"].max()) * _ROOM)
    dress(axis, palette, x="arithmetic intensity (flop/byte)", y="GFLOP/s")
    axis.set(xscale="log", yscale="log", xlim=x, ylim=y)
    for each in (axis.xaxis, axis.yaxis):
        label_plainly(each)
    _roof(axis, palette, top.value, memory, x)
    for number, point in enumerate(as_dicts(shown)):
        label = (
            f"_{number}" if (shown["kernel"].iloc[:number] == point["kernel"]).any() else known[point["kernel"]].label
        )
        axis.plot(point["place"], point["rate"], zorder=3, label=label, **known[point["kernel"]].strokes(palette))
        if not point["correct"]:
            cross_out(axis, palette, point["place"], point["rate"])
    _name(axis, shown, palette, inches, (top.words, memory))


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a point per operation and kernel, with `place`: its intensity, moved aside if another has the same."""
    parts = [largest_common(part) for part in per_panel(rows, "operation")]
    shown = points(pd.concat(parts), "operation", "size", "kernel", "intensity")
    places: dict[str, float] = {}
    middles = shown.groupby("operation", sort=False)["intensity"].first().sort_values(kind="stable")
    group: list[str] = []
    for operation, intensity in middles.items():
        if group and intensity > middles[group[0]] * _SAME:
            places |= _side_by_side(group, middles)
            group = []
        group.append(str(operation))
    places |= _side_by_side(group, middles)
    return shown.assign(place=shown["operation"].map(places))


def _side_by_side(group: Sequence[str], middles: pd.Series[float]) -> dict[str, float]:
    """Spread operations of about one intensity around it."""
    middle = math.exp(sum(math.log(middles[name]) for name in group) / len(group))
    return {name: middle * _STEP ** (2 * number - len(group) + 1) for number, name in enumerate(group)}


def _roof(axis: Axes, palette: Palette, top: float, memory: Limit | None, x: tuple[float, float]) -> None:
    corner = x[0] if memory is None else min(max(top / memory.value, x[0]), x[1])
    line: dict[str, Any] = {"color": palette.ink, "linewidth": 1.4, "zorder": 2}
    axis.plot([corner, x[1]], [top, top], label="_roof", **line)
    if memory is not None and corner > x[0]:
        axis.plot([x[0], corner], [x[0] * memory.value, corner * memory.value], label="_memory", **line)


def _name(
    axis: Axes, shown: pd.DataFrame, palette: Palette, inches: tuple[float, float], roof: tuple[str, Limit | None]
) -> None:
    """Write the names of operations and roof at places that are free."""
    words, memory = roof
    axis.annotate(words, (1, _height(axis, axis.get_ylim()[1] / _ROOM)), xycoords="axes fraction", xytext=(-4, 3),
                  textcoords="offset points", ha="right", va="bottom", fontsize=TINY, color=palette.ink)  # fmt: skip
    taken = [_mark_box(axis, point, inches) for point in shown.itertuples(index=False)]
    taken.append(_Box(0, inches[1] * _height(axis, axis.get_ylim()[1] / _ROOM), inches[0], 0.22))
    if memory is not None:
        axis.annotate(memory.words, (0, 1), xycoords="axes fraction", xytext=(4, -3), textcoords="offset points",
                      ha="left", va="top", fontsize=TINY, color=palette.ink)  # fmt: skip
        taken += [_Box(0, inches[1] - 0.2, len(memory.words) * 0.071, 0.2), *_slope(axis, memory, inches)]
    for operation, group in groups(shown, "operation"):
        best = group.sort_values("rate").iloc[-1]
        text = f"{operation} {best['size']}"
        anchor = _mark_box(axis, best, inches)
        box = next(box for box in _candidates(anchor, len(text)) if _is_free(box, taken, inches))
        taken.append(box)
        offset = (72 * (box.x - anchor.x - anchor.width / 2), 72 * (box.y - anchor.y - anchor.height / 2))
        far = not _is_close(box, anchor)
        axis.annotate(
            text, (best["place"], best["rate"]), xytext=offset, textcoords="offset points", ha="left", va="bottom",
            fontsize=TINY, color=palette.ink, zorder=6,
            arrowprops={"arrowstyle": "-", "color": palette.muted, "linewidth": 0.7} if far else None,
        )  # fmt: skip


def _candidates(anchor: _Box, letters: int) -> list[_Box]:
    """Return places for a name, the nearest to its mark first; the last one has no extent and is always free."""
    width, height = letters * 0.071 + 0.08, 0.14
    middle = (anchor.x + anchor.width / 2, anchor.y + anchor.height / 2)
    across = [middle[0] + side * (width / 2 + _GAP_INCHES + away) for side in (-1, 1) for away in (0, 0.15, 0.4, 0.8)]
    up = [middle[1] + step * _GAP_INCHES for step in range(-_STEPS_AWAY, _STEPS_AWAY + 1)]
    centres = sorted(
        product((middle[0], *across), up),
        key=lambda place: math.hypot((place[0] - middle[0]) / 3, place[1] - middle[1]),
    )
    boxes = [_Box(x - width / 2, y - height / 2, width, height) for x, y in centres]
    return [*(box for box in boxes if not box.meets(anchor)), _Box(*middle, 0, 0)]


def _is_close(box: _Box, anchor: _Box) -> bool:
    """Whether a name is so close to its mark that it needs no line."""
    gap = 2 * _GAP_INCHES
    return box.meets(_Box(anchor.x - gap, anchor.y - gap, anchor.width + 2 * gap, anchor.height + 2 * gap))


def _is_free(box: _Box, taken: Sequence[_Box], inches: tuple[float, float]) -> bool:
    inside = box.x >= 0 and box.y >= 0 and box.x + box.width <= inches[0] and box.y + box.height <= inches[1]
    return box.width == 0 or (inside and not any(box.meets(other) for other in taken))


def _slope(axis: Axes, memory: Limit, inches: tuple[float, float]) -> Iterator[_Box]:
    """Yield boxes along the slope of the roof."""
    left, right = (math.log(end) for end in axis.get_xlim())
    for step in range(_SLOPE_STEPS):
        intensity = math.exp(left + (right - left) * step / _SLOPE_STEPS)
        x, y = _across(axis, intensity) * inches[0], _height(axis, intensity * memory.value) * inches[1]
        if y < inches[1] * _height(axis, axis.get_ylim()[1] / _ROOM):
            yield _Box(x - 0.03, y - 0.03, 0.06, 0.06)


def _mark_box(axis: Axes, point: object, inches: tuple[float, float]) -> _Box:
    x, y, side = _across(axis, point.place), _height(axis, point.rate), 0.11  # type: ignore[attr-defined]
    return _Box(x * inches[0] - side / 2, y * inches[1] - side / 2, side, side)


def _across(axis: Axes, value: float) -> float:
    return _share(value, axis.get_xlim())


def _height(axis: Axes, value: float) -> float:
    return _share(value, axis.get_ylim())


def _share(value: float, ends: tuple[float, float]) -> float:
    return math.log(value / ends[0]) / math.log(ends[1] / ends[0])
