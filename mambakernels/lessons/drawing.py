"""The parts of an SVG picture: text, lines and markers, and the style of each series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain, cycle
from textwrap import wrap
from typing import Literal

Anchor = Literal["start", "middle", "end"]

WIDTH = 680
INK, MUTED, FAINT, PAPER = "#1f2328", "#59636e", "#d5d9df", "#ffffff"
SIZE = 12.5  # of letters
_TITLE_SIZE, _TITLE_LINE = 14, 18
_FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class SeriesStyle:
    """The colour of a series, and its marker for people who cannot tell the colours apart."""

    color: str
    marker: str


# The colours of mambakernels' plots and logos on light paper.
_BLAS_STYLES: Mapping[str, SeriesStyle] = {
    "mkl": SeriesStyle("#0072B2", "circle"),
    "openblas": SeriesStyle("#AA3B00", "square"),
    "blis": SeriesStyle("#009E73", "triangle"),
    "netlib": SeriesStyle("#A56B95", "diamond"),
    "accelerate": SeriesStyle("#A79400", "down"),
    "nvpl": SeriesStyle("#242F03", "plus"),
}
_OTHER_STYLES = (
    SeriesStyle("#46566A", "circle"),
    SeriesStyle("#C2571A", "square"),
    SeriesStyle("#2E8B6F", "triangle"),
    SeriesStyle("#8C5A80", "diamond"),
    SeriesStyle("#8A7A00", "down"),
    SeriesStyle("#1F4E79", "plus"),
    SeriesStyle("#5B8DB8", "cross"),
    SeriesStyle("#7A3B1E", "star"),
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


def blas_style(name: str) -> SeriesStyle | None:
    """Return the style of the BLAS that is part of a series' name; None if there is none."""
    return next((style for blas, style in _BLAS_STYLES.items() if blas in name.lower()), None)


def series_styles(names: Sequence[str]) -> dict[str, SeriesStyle]:
    """Return the style of each series: the colour of its BLAS if it has one; up to eight series share no marker."""
    taken = {style.marker for name in names if (style := blas_style(name))}
    free = [style for style in _OTHER_STYLES if style.marker not in taken]
    others = chain(free, cycle(_OTHER_STYLES))
    chosen: dict[str, SeriesStyle] = {}
    for name in names:
        style = blas_style(name)
        if style is None:
            style = next(others)
        elif style in chosen.values():
            style = SeriesStyle(style.color, next(others).marker)
        chosen[name] = style
    return chosen


def text_width(words: str, *, bold: bool = False) -> float:
    """Return roughly how wide a text is; as fonts differ, rather too much than too little."""
    return len(words) * SIZE * (0.66 if bold else 0.6)


def document(title: str, *, top: float, height: float, body: Iterable[str]) -> str:
    """Return a whole picture: title, paper, and a panel that starts `top` below the title and is `height` high."""
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
    """Return words with a border in the colour of the paper, so that they can be read on top of lines."""
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


def marker(x: float, y: float, style: SeriesStyle) -> str:
    """Return a series' marker at a place."""
    place = f'transform="translate({x:.1f} {y:.1f})"'
    return f'<path {place} d="{_MARKERS[style.marker]}" fill="{style.color}" stroke="{PAPER}"/>'
