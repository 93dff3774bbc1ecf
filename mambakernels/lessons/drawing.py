"""The pieces of a picture in SVG: text, lines and markers, and how each series looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Literal

Anchor = Literal["start", "middle", "end"]

WIDTH = 680
INK, MUTED, FAINT, PAPER = "#1f2328", "#59636e", "#d5d9df", "#ffffff"
SIZE = 12.5  # of letters
_TITLE_SIZE, _TITLE_LINE = 14, 18
_FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class Mark:
    """How a series is drawn: colour for those who see it, marker for everybody."""

    color: str
    marker: str


# The colours of mambakernels' plots and logos, as on light paper.
_BLAS_MARKS: Mapping[str, Mark] = {
    "mkl": Mark("#0072B2", "circle"),
    "openblas": Mark("#AA3B00", "square"),
    "blis": Mark("#009E73", "triangle"),
    "netlib": Mark("#A56B95", "diamond"),
    "accelerate": Mark("#A79400", "down"),
    "nvpl": Mark("#242F03", "plus"),
}
_OTHER_MARKS = (
    Mark("#46566A", "circle"),
    Mark("#C2571A", "square"),
    Mark("#2E8B6F", "triangle"),
    Mark("#8C5A80", "diamond"),
    Mark("#8A7A00", "down"),
    Mark("#1F4E79", "plus"),
    Mark("#5B8DB8", "cross"),
    Mark("#7A3B1E", "star"),
)
# Markers as paths around the origin, within a radius of about five.
_MARKERS: Mapping[str, str] = {
    "circle": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
    "square": "M-4 -4h8v8h-8z",
    "triangle": "M0 -5L5 4H-5z",
    "diamond": "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
    "down": "M0 5L5 -4H-5z",
    "plus": "M-1.5 -5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z",
    "cross": "M-5 -3L-3 -5L0 -2L3 -5L5 -3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0z",
    "star": "M0 -5.5L1.5 -1.5H5.5L2.3 1L3.5 5L0 2.5L-3.5 5L-2.3 1L-5.5 -1.5H-1.5z",
}


def blas_mark(name: str) -> Mark | None:
    """Return how a BLAS is drawn, always, if a series' name has one in it."""
    return next((mark for blas, mark in _BLAS_MARKS.items() if blas in name.lower()), None)


def marks(names: Sequence[str]) -> dict[str, Mark]:
    """Return how each series is drawn: in the colour of its BLAS if it has one, and, up to eight, no marker twice."""
    known = {name: mark for name in names if (mark := blas_mark(name))}
    first: dict[str, Mark] = {mark.marker: mark for mark in known.values()}
    chosen: dict[str, Mark] = {}
    free = [mark for mark in _OTHER_MARKS if mark.marker not in first] or list(_OTHER_MARKS)
    for name in names:
        own = known.get(name)
        if own and own not in chosen.values():
            chosen[name] = own
        else:
            other = free.pop(0)
            free = free or list(_OTHER_MARKS)
            chosen[name] = Mark(own.color if own else other.color, other.marker)
    return chosen


def text_width(words: str, *, bold: bool = False) -> float:
    """Return about how wide a text is: what shows it has its own letters, so this is rather too much."""
    return len(words) * SIZE * (0.66 if bold else 0.6)


def document(title: str, *, top: float, height: float, body: Iterable[str]) -> str:
    """Return a whole picture: title, paper, and a panel that begins `top` below the title and is `height` high."""
    heading = wrap(title, 72) or [""]
    above = len(heading) * _TITLE_LINE + top
    whole = above + height
    words = [
        text(8, 20 + index * _TITLE_LINE, line, weight=600, size=_TITLE_SIZE) for index, line in enumerate(heading)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{whole:.0f}" '
        f'viewBox="0 0 {WIDTH} {whole:.0f}" role="img" style="max-width:100%;height:auto" font-family="{_FONT}">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{WIDTH}" height="{whole:.0f}" rx="6" fill="{PAPER}"/>'
        f'{"".join(words)}<g transform="translate(0 {above:.0f})">{"".join(body)}</g></svg>'
    )


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: Anchor = "start",
    color: str = INK,
    weight: int = 400,
    size: float = SIZE,
) -> str:
    """Return words on a bit of paper of their own, so that what is under them does not spoil them."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-weight="{weight}" '
        f'font-size="{size}" stroke="{PAPER}" stroke-width="3" paint-order="stroke">{escape(words)}</text>'
    )


def path(points: Sequence[tuple[float, float]], *, color: str = FAINT, width: float = 0.9, dashed: bool = False) -> str:
    """Return a line through points."""
    through = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashes = ' stroke-dasharray="5 3"' if dashed else ""
    return f'<path d="M{through}" fill="none" stroke="{color}" stroke-width="{width}" stroke-linejoin="round"{dashes}/>'


def bar(start: float, end: float, middle: float, *, color: str) -> str:
    """Return a bar from one place to another, wide enough to be seen."""
    width = max(abs(end - start), 0.75)
    return f'<rect x="{min(start, end):.1f}" y="{middle - 9:.1f}" width="{width:.1f}" height="18" fill="{color}"/>'


def marker(x: float, y: float, mark: Mark) -> str:
    """Return a series' marker at a place."""
    place = f'transform="translate({x:.1f} {y:.1f})"'
    return f'<path {place} d="{_MARKERS[mark.marker]}" fill="{mark.color}" stroke="{PAPER}"/>'
