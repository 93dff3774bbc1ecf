"""Axes of charts: the place of a value, the labelled values, and the text of a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

_MOST_OWN_TICKS = 10
_FEW_DECADES = 3
_DIGIT = 7.5  # width of one
_LINE = 14.0  # height of one
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN = (1e-3, 1e6)  # within these, numbers are written without a power of ten
_NEARLY = 1 + 1e-9


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, drawn from `start` to `end`; `ticks` are labelled, `minor` are not."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    ticks: tuple[tuple[float, str], ...] = ()
    minor: tuple[float, ...] = ()

    def place(self, value: float) -> float:
        """Return the place of a value."""
        low, high, it = map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return self.start + (it - low) / (high - low) * (self.end - self.start)

    def can_show(self, value: float) -> bool:
        """Whether the axis has a place for a value: a logarithmic axis has none for zero."""
        return math.isfinite(value) and (value > 0 or not self.log)

    def named(self, label: str) -> str:
        """Return the axis' label; it says if the axis is logarithmic."""
        return f"{label} (logarithmic)" if self.log else label

    def labelled(self, values: Iterable[float], minor: Iterable[float] = ()) -> Scale:
        """Return the axis with these values labelled, except those whose text would touch the one before."""
        kept: list[tuple[float, str]] = []
        for value in values:
            text = number(value)
            if not kept or abs(self.place(value) - self.place(kept[-1][0])) >= self._room(kept[-1][1], text):
                kept.append((value, text))
        return replace(self, ticks=tuple(kept), minor=tuple(minor))

    def _room(self, before: str, text: str) -> float:
        upright = self.start > self.end
        return _LINE if upright else (len(before) + len(text)) / 2 * _DIGIT + 6


def scale(
    values: Iterable[float],
    *,
    log: bool,
    start: float,
    end: float,
    top: float | None = None,
    own_ticks: bool = False,
) -> Scale:
    """Return an axis that shows all values: a linear one includes zero, a logarithmic one spans a decade or more.

    The axis ends at `top` if no value is above it. With `own_ticks`, the ticks are the values if there are few.
    """
    above = [] if top is None else [top]
    shown = sorted({value for value in [*values, *above] if math.isfinite(value) and (value > 0 or not log)}) or [1.0]
    few = own_ticks and len(shown) <= _MOST_OWN_TICKS
    if few and log and len(shown) > 1:
        edge = (shown[-1] / shown[0]) ** 0.02
        return Scale(shown[0] / edge, shown[-1] * edge, start, end, log=True).labelled(shown)
    axis = _log_scale(shown, start, end) if log else _linear_scale(shown, start, end)
    if top is not None and top == shown[-1]:
        axis = _ending(axis, top)
    return axis.labelled(shown) if few else axis


def number(value: float) -> str:
    """Write an exact number, without trailing zeros: `0.25`, `1024`, `10⁻⁷`."""
    if not _is_plain(value):
        return _with_power(value, f"{value:.6g}" if value == 0 or not math.isfinite(value) else f"{value:.5e}")
    decimals = max(0, 5 - math.floor(math.log10(abs(value))))
    return _trimmed(f"{value:.{decimals}f}")


def measured(value: float) -> str:
    """Write a measured number with three digits: `5.30`, `12.0`, `1234`, `2.10·10⁻⁷`; a dash for NaN."""
    if math.isnan(value):
        return "-"
    if not _is_plain(value):
        return _with_power(value, f"{value:g}" if value == 0 or not math.isfinite(value) else f"{value:.2e}")
    decimals = 0 if float(value).is_integer() else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def _is_plain(value: float) -> bool:
    return _PLAIN[0] <= abs(value) < _PLAIN[1]


def _with_power(value: float, text: str) -> str:
    digits, _, power = text.partition("e")
    if not power:
        return text
    ten = f"10{str(int(power)).translate(_SUPERSCRIPTS)}"
    return ten if value == float(f"1e{power}") else f"{_trimmed(digits)}·{ten}"


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _ending(axis: Scale, top: float) -> Scale:
    """Return the axis cut at `top`, without the labels above it."""
    cut = replace(axis, high=top)
    return cut.labelled([value for value, _ in axis.ticks if value <= top], [one for one in axis.minor if one <= top])


def _log_scale(shown: Sequence[float], start: float, end: float) -> Scale:
    low, high = _log_edges(shown[0], shown[-1])
    decades = list(_decades(low, high))
    fine = [decade * digit for decade in _decades(low / 10, high) for digit in range(2, 10)]
    inside = [value for value in fine if low <= value <= high]
    between = [digit * decade for decade in _decades(low / 10, high) for digit in (2, 5)]
    labels = [value for value in between if low <= value <= high] if len(decades) < _FEW_DECADES else []
    return Scale(low, high, start, end, log=True).labelled(sorted([*decades, *labels]), inside)


def _log_edges(low: float, high: float) -> tuple[float, float]:
    """Return the nearest 1, 2 or 5 times a power of ten below and above: a decade apart or more, with a margin."""
    below = max(value for value in _steps(low) if value * 1.1 <= low)
    above = min(value for value in _steps(high) if value >= high * 1.1)
    return (below, above) if above >= 10 * below else (10.0 ** math.floor(math.log10(below * _NEARLY)), above)


def _steps(near: float) -> Iterator[float]:
    power = math.floor(math.log10(near))
    yield from (digit * 10.0**exponent for exponent in range(power - 1, power + 3) for digit in (1, 2, 5))


def _decades(low: float, high: float) -> Iterator[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    yield from (float(f"1e{power}") for power in range(first, last + 1))


def _linear_scale(shown: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(shown[0], 0.0), max(shown[-1], 0.0)
    step = _nice_step(((high - low) or 1.0) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil((high or 1.0 * (low == 0)) / step - 1e-9)
    values = [float(f"{index * step:.12g}") for index in range(first, last + 1)]
    return Scale(values[0], values[-1], start, end, log=False).labelled(values)


def _nice_step(rough: float) -> float:
    """Return the next step up that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power * _NEARLY >= rough)
