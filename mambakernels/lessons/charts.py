"""Charts of bars and of lines as SVG, for lessons: a NumPy environment has no plotting library.

A chart has its own white background, so it can be read in JupyterLab's light and dark themes, in exported HTML and in
print. It loads nothing from elsewhere. As text, it is a table of the same numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mambakernels.lessons import drawing
from mambakernels.lessons.drawing import INK, MUTED, SIZE, WIDTH, SeriesStyle
from mambakernels.lessons.scales import Scale, measured, number, scale
from mambakernels.numeric.formatting import text_table

Points = Sequence[tuple[float, float]]

_ROW = 30  # height of one bar with the space around it
_BARS_TOP, _LINES_TOP, _BOTTOM = 30, 34, 46  # above and below the panel
_HEIGHT = 270  # of a panel of lines
_PLAIN_BAR, _REFERENCE = SeriesStyle("#46566A", "circle"), SeriesStyle(INK, "")
_GAP = 9  # between a bar and its number
_MOST_OF_WIDTH = 0.4  # for names


@dataclass(frozen=True)
class Chart:
    """A picture with the numbers it shows: `svg` is a whole document, `text` an aligned table."""

    svg: str
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text, "image/svg+xml": self.svg}


def bars(
    values: Mapping[str, float],
    *,
    title: str,
    unit: str,
    log: bool = False,
    reference: float | None = None,
    reference_label: str = "",
) -> Chart:
    """Return a chart with a horizontal bar per value; on a logarithmic axis, which has no zero, with a dot.

    `reference` is a value to compare with, drawn as a line across. A value that is not finite is named, but not drawn.
    """
    numbers = {str(name): float(value) for name, value in values.items()}
    reach = [*numbers.values(), *([] if reference is None else [float(reference)])]
    names = 16 + max(map(drawing.text_width, numbers), default=0)
    axis = scale(reach, log=log, start=min(names, WIDTH * _MOST_OF_WIDTH), end=WIDTH - 84)
    height = _ROW * len(numbers)
    body = [
        *_x_axis(axis, height, unit),
        *_rows(numbers, axis, free=None if reference is None else float(reference)),
        *_reference(axis, reference, height, f"{reference_label or 'reference'}:"),
    ]
    svg = drawing.document(title, top=_BARS_TOP, height=height + _BOTTOM, body=body)
    return Chart(svg, "\n".join([title, *_bars_text(numbers, unit, reference, reference_label)]))


def lines(
    series: Mapping[str, Points],
    *,
    title: str,
    x: str,
    y: str,
    log: bool = True,
    top: float | None = None,
    top_label: str = "",
    references: Mapping[str, Points] = {},
) -> Chart:
    """Return a chart with a line per series, labelled at its end; both axes are logarithmic, or neither is.

    `top` is a limit such as a peak rate: a line across, at the top of the axis. `references` are lines that nobody
    measured, such as a model: they are dashed, and have no markers.
    """
    both = {**series, **references}
    points = {str(name): sorted((float(a), float(b)) for a, b in values) for name, values in both.items()}
    across = [a for values in points.values() for a, _ in values]
    upward = [b for values in points.values() for _, b in values]
    room = 22 + max((drawing.text_width(name, bold=True) for name in points), default=0)
    right = WIDTH - min(room, WIDTH * _MOST_OF_WIDTH)
    last = None if log else max(across, default=None)
    x_scale = scale(across, log=log, start=66, end=right, top=last, own_ticks=True)
    y_scale = scale(upward, log=log, start=_HEIGHT, end=0, top=None if top is None else float(top))
    body = [
        *_x_axis(x_scale, _HEIGHT, x),
        *_y_axis(y_scale, x_scale, y),
        *_top(y_scale, x_scale, top, top_label or "at most"),
        *_curves(points, x_scale, y_scale, dashed={*map(str, references)}),
    ]
    svg = drawing.document(title, top=_LINES_TOP, height=_HEIGHT + _BOTTOM, body=body)
    return Chart(svg, "\n".join([title, *_lines_text(points, x, y, top, top_label)]))


def _rows(values: Mapping[str, float], axis: Scale, *, free: float | None) -> Iterable[str]:
    """Draw each value with its number, which leaves the line at `free` alone."""
    line = axis.place(free) if free is not None and axis.can_show(free) else None
    zero = axis.start if axis.log else axis.place(0.0)
    for index, (name, value) in enumerate(values.items()):
        middle = _ROW * (index + 0.5)
        yield drawing.text(axis.start - 8, middle + 4, name, anchor="end")
        if not axis.can_show(value):
            yield drawing.text(axis.start + 6, middle + 4, measured(value), color=MUTED)
            continue
        style, end = drawing.blas_style(name) or _PLAIN_BAR, axis.place(value)
        if axis.log:
            yield drawing.path([(zero, middle), (end, middle)], color=style.color, width=1.2)
            yield drawing.marker(end, middle, style)
        else:
            yield drawing.bar(zero, end, middle, color=style.color)
        yield drawing.text(_beside(max(end, zero) + _GAP, measured(value), line), middle + 4, measured(value))


def _beside(start: float, words: str, line: float | None) -> float:
    """Return where words start: to the right of a line that they would touch."""
    if line is None or not start - _GAP / 2 < line < start + drawing.text_width(words) + _GAP / 2:
        return start
    return line + _GAP


def _curves(points: Mapping[str, Points], x_scale: Scale, y_scale: Scale, *, dashed: Collection[str]) -> Iterable[str]:
    styles = drawing.series_styles([name for name in points if name not in dashed])
    styles |= dict.fromkeys(dashed, _REFERENCE)
    ends: dict[str, tuple[float, float]] = {}
    for name, values in points.items():
        places = [
            (x_scale.place(a), y_scale.place(b)) for a, b in values if x_scale.can_show(a) and y_scale.can_show(b)
        ]
        if places:
            ends[name] = places[-1]
            is_reference = name in dashed
            yield drawing.path(places, color=styles[name].color, width=1.4 if is_reference else 2, dashed=is_reference)
            yield from () if is_reference else (drawing.marker(*place, styles[name]) for place in places)
    yield from _names(ends, styles, x_scale.end)


def _names(ends: Mapping[str, tuple[float, float]], styles: Mapping[str, SeriesStyle], right: float) -> Iterable[str]:
    """Write the name of each line at its end, and move names apart that would overlap."""
    reached = max((a for a, _ in ends.values()), default=right)
    early = {name: place for name, place in ends.items() if place[0] < reached - SIZE}
    for name, (a, b) in early.items():
        yield drawing.text(a + 8, b - 7, name, color=styles[name].color, weight=600)
    last = {name: place for name, place in ends.items() if name not in early}
    heights = _apart([b for _, b in last.values()], least=SIZE + 3, lowest=_HEIGHT)
    for (name, (a, b)), height in zip(last.items(), heights, strict=True):
        color = styles[name].color
        if abs(height - b) > SIZE / 3:
            yield drawing.path([(a + 5, b), (right + 13, height)], color=color, width=0.7)
        yield drawing.text(right + 16, height + 4, name, color=color, weight=600)


def _apart(places: Sequence[float], *, least: float, lowest: float) -> list[float]:
    """Return nearby places in the same order, with at least `least` between any two; none is below `lowest`."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for before, index in pairwise(order):
        moved[index] = max(moved[index], moved[before] + least)
    floor = lowest
    for index in reversed(order):
        moved[index] = min(moved[index], floor)
        floor = moved[index] - least
    return moved


def _x_axis(axis: Scale, height: float, label: str) -> Iterable[str]:
    for value in axis.minor:
        yield drawing.path([(axis.place(value), 0), (axis.place(value), height)], width=0.4)
    for value, words in axis.ticks:
        yield drawing.path([(axis.place(value), 0), (axis.place(value), height)])
        yield drawing.text(axis.place(value), height + 17, words, anchor="middle", color=MUTED)
    yield drawing.path([(axis.start, height), (axis.end, height)], color=INK)
    yield drawing.text((axis.start + axis.end) / 2, height + 36, axis.named(label), anchor="middle", color=MUTED)


def _y_axis(axis: Scale, x_scale: Scale, label: str) -> Iterable[str]:
    for value in axis.minor:
        yield drawing.path([(x_scale.start, axis.place(value)), (x_scale.end, axis.place(value))], width=0.4)
    for value, words in axis.ticks:
        yield drawing.path([(x_scale.start, axis.place(value)), (x_scale.end, axis.place(value))])
        yield drawing.text(x_scale.start - 7, axis.place(value) + 4, words, anchor="end", color=MUTED)
    yield drawing.text(8, -14, axis.named(label), color=MUTED)


def _reference(axis: Scale, value: float | None, height: float, label: str) -> Iterable[str]:
    if value is None or not axis.can_show(value):
        return
    place = axis.place(value)
    yield drawing.path([(place, -4), (place, height)], color=INK, width=1.4, dashed=True)
    anchor = "end" if place > (axis.start + axis.end) / 2 else "start"
    yield drawing.text(place, -9, f"{label} {measured(value)}", anchor=anchor)  # type: ignore[arg-type]


def _top(axis: Scale, x_scale: Scale, value: float | None, label: str) -> Iterable[str]:
    if value is None or not axis.can_show(value):
        return
    place = axis.place(value)
    yield drawing.path([(x_scale.start, place), (x_scale.end, place)], color=INK, width=1.4, dashed=True)
    yield drawing.text(x_scale.end, place - 6, f"{label}: {measured(value)}", anchor="end")


def _bars_text(values: Mapping[str, float], unit: str, reference: float | None, label: str) -> list[str]:
    rows = [(name, measured(value)) for name, value in values.items()]
    below = [] if reference is None else [f"{label or 'reference'}: {measured(reference)} {unit}"]
    return [text_table(("", unit), rows) if rows else "nothing to show", *below]


def _lines_text(points: Mapping[str, Points], x: str, y: str, top: float | None, label: str) -> list[str]:
    by_name = {name: dict(values) for name, values in points.items()}
    across = sorted({a for values in by_name.values() for a in values})
    rows = [(number(a), *(measured(by_name[name].get(a, float("nan"))) for name in by_name)) for a in across]
    below = [] if top is None else [f"{label or 'at most'}: {measured(top)}"]
    return [f"{y} by {x}", text_table((x, *by_name), rows), *below]
