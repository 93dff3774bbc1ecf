"""The roofline: the limits of memory and arithmetic, and how far each operation stays below them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mambakernels.plots import sheets
from mambakernels.plots.appearance import Appearance, appearances
from mambakernels.plots.captions import caption, in_threads
from mambakernels.plots.frames import (
    Limit,
    Name,
    as_dicts,
    groups,
    highest,
    largest_common,
    nothing,
    per_panel,
    points,
    rate_in_words,
    rated,
    usual_threads,
)
from mambakernels.plots.frames import peak as peak_of
from mambakernels.plots.hover import hint
from mambakernels.plots.sheets import SheetName, Surroundings
from mambakernels.plots.style import (
    PALETTES,
    TINY,
    Palette,
    Theme,
    cross_out,
    dress,
    entitle,
    label_plainly,
    shade_beyond,
)

_READING = (
    "Each operation at the largest n that all kernels have; estimated rates. Grey: more than {limits} allows. "
    "Intensity counts each operand as moved once. Operations of equal intensity are drawn side by side."
)
_HEIGHT_INCHES = 4.6
_STREAMING = ("dot", "gemv", "gemv_t")
_ROOM = 3.0  # times as far as the data, at each end of an axis
_SAME = 1.12  # intensities closer than that are drawn side by side
_STEP = 1.09
_EDGE_STEPS = 80
_GAP_INCHES, _STEPS_AWAY = 0.09, 10  # between a mark and its name
_ORDER = ("float64", "float32", "complex128", "complex64")


@dataclass(frozen=True)
class Roof:
    """The limits that are known: GFLOP/s of arithmetic, and GB/s of memory."""

    peak: Limit | None
    memory: Limit | None

    def height(self, intensity: float) -> float:
        """Return the highest possible GFLOP/s at an intensity."""
        limits = [self.peak.value] if self.peak else []
        return min([*limits, *([self.memory.value * intensity] if self.memory else [])])


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

    `peak` is in GFLOP/s per core for float64, by default as probed; `bandwidth` is in GB/s, by default the most that
    dot or gemv moved. One dtype (float64 if there is any) and one number of threads are drawn. Needs kernel, operation,
    dtype, size, flops, bytes, seconds and gflops. Raises `InvalidRequestError` if nothing has an intensity, or no limit
    is known.
    """
    rows, palette = drawable(frame), PALETTES[theme]
    roof, known = roof_of(rows, peak, bandwidth), appearances(rows)
    limits = [name for name, value in (("memory", roof.memory), ("arithmetic", roof.peak)) if value]
    reading = _READING.format(limits=" or ".join(limits))
    paragraphs = caption(frame, rows, reading)
    around = Surroundings([one.handle(palette) for one in known.values()], paragraphs)
    figure, (axis,) = sheets.lay_out(1, around, palette, sheet=sheet, columns=1, panel_height=_HEIGHT_INCHES)
    draw(axis, rows, known, palette, roof=roof, inches=(figure.get_figwidth() - 0.8, 3.9))
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


def roof_of(rows: pd.DataFrame, peak: float | None, bandwidth: float | None = None) -> Roof:
    """Return the limits; InvalidRequestError if there is none but the memory's, which all these rows measure."""
    top, memory = peak_of(rows, peak), None if bandwidth is None else Limit(bandwidth, f"memory: {bandwidth:.3g} GB/s")
    if top is None and bandwidth is None and rows["operation"].isin(_STREAMING).all():
        raise nothing("no limit but the memory's is known, and only that was measured", "Measure gemm, too.")
    roof = Roof(top, memory or _measured_bandwidth(rows))
    if roof == Roof(None, None):
        raise nothing("neither the processor's peak nor the bandwidth of its memory is known", "Measure dot, too.")
    return roof


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
    roof: Roof,
    inches: tuple[float, float],
) -> None:
    """Draw roof and operations; `inches` is about the size that the axis will have, for placing the names."""
    shown = _placed(rows)
    x = (shown["place"].min() / _ROOM, shown["place"].max() * _ROOM)
    most = max(highest(rows), roof.peak.value if roof.peak else 0)
    y = (shown["rate"].min() / _ROOM, most * _ROOM)
    dress(axis, palette, x="arithmetic intensity (flop/byte)", y="GFLOP/s")
    axis.set(xscale="log", yscale="log", xlim=x, ylim=y)
    for each in (axis.xaxis, axis.yaxis):
        label_plainly(each)
    _shade(axis, palette, roof)
    for number, point in enumerate(as_dicts(shown)):
        label = (
            f"_{number}" if (shown["kernel"].iloc[:number] == point["kernel"]).any() else known[point["kernel"]].label
        )
        axis.plot(point["place"], point["rate"], zorder=3, label=label, **known[point["kernel"]].strokes(palette))
        what = f"{known[point['kernel']].label}, {point['operation']}, n = {point['size']}: {rate_in_words(point)}"
        hint(axis, point["place"], point["rate"], f"{what}, {point['intensity']:.3g} flop/byte")
        if not point["correct"]:
            cross_out(axis, palette, point["place"], point["rate"])
    _name(axis, shown, palette, inches, roof)


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


def _shade(axis: Axes, palette: Palette, roof: Roof) -> None:
    (left, right), top = axis.get_xlim(), axis.get_ylim()[1]
    corner = (roof.peak.value if roof.peak else top) / roof.memory.value if roof.memory else right
    ends = [left, min(max(corner, left), right), right]
    words = "\n".join(limit.words for limit in (roof.memory, roof.peak) if limit)
    shade_beyond(axis, palette, ends, [min(roof.height(end), top) for end in ends], words)


def _name(axis: Axes, shown: pd.DataFrame, palette: Palette, inches: tuple[float, float], roof: Roof) -> None:
    """Write the names of operations at places that are free."""
    taken = [_mark_box(axis, point, inches) for point in shown.itertuples(index=False)]
    letters = max(len(limit.words) for limit in (roof.memory, roof.peak) if limit)
    taken += [_Box(0, inches[1] - 0.35, letters * 0.071, 0.35), *_edge(axis, roof, inches)]
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
            bbox={"facecolor": palette.paper, "edgecolor": "none", "pad": 0.5},
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


def _edge(axis: Axes, roof: Roof, inches: tuple[float, float]) -> Iterator[_Box]:
    """Yield boxes from the roof upwards."""
    left, right = (math.log(end) for end in axis.get_xlim())
    for step in range(_EDGE_STEPS):
        intensity = math.exp(left + (right - left) * step / _EDGE_STEPS)
        x, y = _across(axis, intensity) * inches[0], _height(axis, roof.height(intensity)) * inches[1]
        yield _Box(x - 0.03, y - 0.03, 0.06, max(inches[1] - y, 0) + 0.03)


def _mark_box(axis: Axes, point: object, inches: tuple[float, float]) -> _Box:
    x, y, side = _across(axis, point.place), _height(axis, point.rate), 0.11  # type: ignore[attr-defined]
    return _Box(x * inches[0] - side / 2, y * inches[1] - side / 2, side, side)


def _across(axis: Axes, value: float) -> float:
    return _share(value, axis.get_xlim())


def _height(axis: Axes, value: float) -> float:
    return _share(value, axis.get_ylim())


def _share(value: float, ends: tuple[float, float]) -> float:
    return math.log(value / ends[0]) / math.log(ends[1] / ends[0])
