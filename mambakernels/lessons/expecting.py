"""Expectations of a lesson, and whether this machine met them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import Any, Literal

from mambakernels.lessons.evidence import reason
from mambakernels.lessons.scales import number
from mambakernels.numeric.formatting import html_table

LESSON_MIME_TYPE = "application/vnd.mambakernels.lesson+json"
LESSON_SCHEMA = 1

Verdict = Literal["seen", "not seen", "skipped"]

_SIGNS: dict[Verdict, str] = {"seen": "✓", "not seen": "✗", "skipped": "-"}


@dataclass(frozen=True)
class Shape:
    """One expectation: `what` in words, the value that was `seen`, and the bounds that it should be within.

    `otherwise` is a possible reason if a machine does not meet it. A truth value is met if it is true. A value is
    `timed` if it depends on times, which a busy machine changes.
    """

    what: str
    seen: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""
    otherwise: str = ""
    why_skipped: str = field(default="", kw_only=True)
    timed: bool = field(default=True, kw_only=True)

    @classmethod
    def skipped(cls, what: str, why: str) -> Shape:
        """Return a shape that cannot be checked here, with the reason."""
        return cls(what, math.nan, why_skipped=why)

    @property
    def verdict(self) -> Verdict:
        """Whether the value is within the bounds; NaN is not."""
        if self.why_skipped:
            return "skipped"
        low, high = self._bounds()
        return "seen" if low <= self.seen <= high else "not seen"

    @property
    def gap(self) -> float:
        """The factor by which the value misses its bounds: 1 if it does not, infinite if it has another sign."""
        if self.verdict != "not seen":
            return 1.0
        if not self.seen > 0:
            return math.inf
        low, high = self._bounds()
        return max(low / self.seen, self.seen / high if high > 0 else math.inf)

    @property
    def expected(self) -> str:
        """The bounds in words."""
        if _is_truth(self.seen):
            return "yes"
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        words = " and ".join(f"{word} {_number(bound)}" for word, bound in bounds if bound is not None)
        return f"{words} {self.unit}".rstrip() if words else "any"

    @property
    def found(self) -> str:
        """The value in words."""
        if self.why_skipped:
            return "not checked"
        if _is_truth(self.seen):
            return "yes" if self.seen else "no"
        return f"{_number(self.seen)} {self.unit}".rstrip()

    @property
    def remark(self) -> str:
        """A possible reason why the shape was not seen."""
        return self.why_skipped or (self.otherwise if self.verdict == "not seen" else "")

    def as_dict(self) -> dict[str, Any]:
        """Return the shape as JSON values; a number that is not finite becomes None."""
        numbers = {name: _finite(getattr(self, name)) for name in ("seen", "at_least", "at_most")}
        return {**asdict(self), **numbers, "verdict": self.verdict}

    def _bounds(self) -> tuple[float, float]:
        if _is_truth(self.seen):
            return 1, 1
        return (
            -math.inf if self.at_least is None else self.at_least,
            math.inf if self.at_most is None else self.at_most,
        )


@dataclass(frozen=True)
class Expectations:
    """Shapes with their verdicts; a notebook shows them as a table."""

    shapes: Sequence[Shape]

    def __str__(self) -> str:
        return "\n".join(line for shape in self.shapes for line in _lines(shape))

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        lesson = {"schema": LESSON_SCHEMA, "shapes": [shape.as_dict() for shape in self.shapes]}
        return {"text/plain": str(self), "text/html": self._html(), LESSON_MIME_TYPE: lesson}

    def _html(self) -> str:
        header = ("", "what", "expected", "seen here")
        rows = [
            (_SIGNS[one.verdict], one.what, "" if one.why_skipped else one.expected, one.found) for one in self.shapes
        ]
        remarks = "".join(
            f"<p>{_SIGNS[one.verdict]} <b>{escape(one.what)}</b>: {escape(one.remark)}</p>"
            for one in self.shapes
            if one.remark
        )
        return html_table(header, rows) + remarks


def expect(*shapes: Shape) -> Expectations:
    """Return which shapes were seen; a shape that was not raises nothing, because machines differ.

    Where times were not as expected, it says whether the machine was busy: the control shows that, which was measured
    next to them.
    """
    return Expectations([_with_reason(shape) for shape in shapes])


def _with_reason(shape: Shape) -> Shape:
    missed = shape.timed and not _is_truth(shape.seen) and shape.verdict == "not seen"
    return replace(shape, otherwise=reason(shape.otherwise, gap=shape.gap)) if missed else shape


def _lines(shape: Shape) -> list[str]:
    if shape.why_skipped:
        return [f"{_SIGNS['skipped']} {shape.what}", f"  not checked: {shape.why_skipped}"]
    first = f"{_SIGNS[shape.verdict]} {shape.what}"
    return [
        first,
        f"  expected {shape.expected}; seen: {shape.found}",
        *([f"  {shape.remark}"] if shape.remark else []),
    ]


def _is_truth(value: object) -> bool:
    return type(value).__name__ in {"bool", "bool_"}  # also NumPy's, without loading NumPy


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _number(value: float) -> str:
    return number(float(f"{float(value):.3g}"))
