"""Draws the kernels' logos again: the SVGs from the facts below, the PNGs from the SVGs.

Run in `tests`: `python -m browser.logos`, with `--sheet FILE` for a picture of them all on light and dark. What is
drawn here is the project's own and no vendor's mark: a matrix as each library is known for storing or cutting it, and
initials. Every edge is at a whole number of 32, so that the small picture is as sharp as the large one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LOGOS = Path(__file__).parents[2] / "mambakernels" / "kernels" / "logos"
SIDES = (32, 64)  # pixels, those of kernelspecs
SHOWN = (32, 52, 64, 104)  # the launcher's 52 among them
PAPERS = ("#ffffff", "#2b2b2b")

ROWS, COLUMNS, PITCH, CELL = 4, 9, 3, 2
LEFT, TOP = 3, 4  # of the motif
WIDTH, HEIGHT = (COLUMNS - 1) * PITCH + CELL, (ROWS - 1) * PITCH + CELL
BASELINE, CAPITALS = 28, 10


class Box(NamedTuple):
    """A rectangle within the motif."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Motif:
    """What is above the letters: rectangles, those that are only hinted at, and lines."""

    boxes: tuple[Box, ...] = ()
    faint: tuple[Box, ...] = ()
    lines: str = ""


@dataclass(frozen=True)
class Logo:
    """Facts of one logo; the motif has the ink's colour without an `accent`, the edge the tile's without a `rim`."""

    title: str
    letters: str
    tile: str
    ink: str
    motif: Motif
    accent: str | None = None
    rim: str | None = None


def _cells() -> Motif:
    return Motif(tuple(Box(c * PITCH, r * PITCH, CELL, CELL) for r in range(ROWS) for c in range(COLUMNS)))


def _blocks() -> Motif:
    return Motif(tuple(Box(x, y, 8, 5) for y in (0, 6) for x in (0, 9, 18)))


def _checks() -> Motif:
    return Motif(tuple(Box(4 * c - 1, 4 * r - 1, 4, 4) for r in range(3) for c in range(7) if (r + c) % 2))


def _part(*rows: tuple[int, int]) -> Motif:
    """Return a matrix of which each row is filled from one column up to another, and else hinted at."""
    last = len(rows) - 1
    edges = [(n * PITCH, PITCH if n < last else CELL, begin, end) for n, (begin, end) in enumerate(rows)]
    filled = [Box(begin, y, end - begin, height) for y, height, begin, end in edges]
    before = [Box(0, y, begin, height) for y, height, begin, _ in edges]
    after = [Box(end, y, WIDTH - end, height) for y, height, _, end in edges]
    return Motif(tuple(filled), tuple(box for box in (*before, *after) if box.width))


def _bars(*heights: int) -> Motif:
    return Motif(tuple(Box(n * PITCH, HEIGHT - height, CELL, height) for n, height in enumerate(heights)))


def _code(*lines: tuple[int, int]) -> Motif:
    return Motif(tuple(Box(indent, n * PITCH, width, CELL) for n, (indent, width) in enumerate(lines)))


WHITE, INK = "#FFFFFF", "#1B2430"
PAGE, SLATE = "#F4F6F9", "#46566A"

# A BLAS fills its tile, a language is written on a page. The colours of BLAS are those that the plots have for them on
# light or on dark paper, but for Accelerate and NVPL: lighter and darker, so that everybody tells them from OpenBLAS.
FACTS = {
    "mkl": Logo("MKL", "MKL", "#0072B2", WHITE, _cells()),
    "openblas": Logo("OpenBLAS", "OB", "#D55E00", WHITE, _blocks()),
    "blis": Logo("BLIS", "BLIS", "#009E73", WHITE, _bars(*[HEIGHT] * COLUMNS)),
    "netlib": Logo("netlib", "NL", "#E6A2CC", INK, _part((0, 8), (0, 14), (0, 20), (0, 26))),
    "accelerate": Logo("Accelerate", "ACC", "#F5D94A", INK, _part((0, 8), (6, 14), (12, 20), (18, 26))),
    "nvpl": Logo("NVPL", "NVPL", "#3F4A1E", WHITE, _checks()),
    "python": Logo("Python", "PY", PAGE, SLATE, _code((0, 15), (4, 14), (8, 18), (4, 9)), "#007A59", SLATE),
    "r": Logo("R", "R", PAGE, SLATE, _bars(1, 2, 5, 9, 11, 8, 5, 3, 1), "#0072B2", SLATE),
    "julia": Logo("Julia", "JL", PAGE, SLATE, Motif(lines="M0 5H26M8 5L12 1H26M8 5L12 9H26"), "#8A4A78", SLATE),
    "cpp": Logo("C++", "C++", PAGE, SLATE, Motif(lines="M7 0L1 5.5L7 11M19 0L25 5.5L19 11"), "#C25200", SLATE),
    "bash": Logo("Bash", "SH", PAGE, SLATE, Motif(lines="M4 0L10 5.5L4 11M13 10H23"), SLATE, SLATE),
}

# Capitals, 10 high: the width, and the middle of a stroke that is 2 wide.
GLYPHS = {
    "A": (7, "M1 10V4a2.5 3 0 0 1 5 0V10M1 6.5H6"),
    "B": (6, "M1 1V9H3a2 2 0 0 0 0-4H1M3 5a2 2 0 0 0 0-4H0"),
    "C": (6, "M6 1H4a3 3 0 0 0-3 3v2a3 3 0 0 0 3 3H6"),
    "H": (7, "M1 0V10M6 0V10M1 5H6"),
    "I": (2, "M1 0V10"),
    "J": (6, "M5 0V7a2 2 0 0 1-4 0V6"),
    "K": (7, "M1 0V10M6 0L2 5L6 10"),
    "L": (5, "M1 0V9H5"),
    "M": (8, "M1 10V1L4 6L7 1V10"),
    "N": (7, "M1 10V1L6 9V0"),
    "O": (8, "M1 4a3 3 0 0 1 6 0v2a3 3 0 0 1-6 0z"),
    "P": (6, "M1 10V1H2.5a2.5 2.5 0 0 1 0 5H1"),
    "R": (7, "M1 10V1H3.5a2.5 2.5 0 0 1 0 5H1M3 6L6 10"),
    "S": (6, "M6 1H3a2 2 0 0 0 0 4a2 2 0 0 1 0 4H0"),
    "V": (7, "M1 0L3.5 9L6 0"),
    "Y": (8, "M1 0L4 5L7 0M4 5V10"),
    "+": (6, "M3 2V8M0 5H6"),
}
GAP, NARROW_GAP, ROOM = 2, 1, 26


def svg(logo: Logo) -> str:
    """Return the picture as SVG."""
    colour = logo.accent or logo.ink
    motif = [
        _filled(logo.motif.boxes, colour),
        _filled(logo.motif.faint, colour, ' fill-opacity=".2"'),
        _stroked(logo.motif.lines, colour, LEFT, TOP),
    ]
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 32 32">',
            "<!-- mambakernels, BSD-3-Clause; drawn by tests/browser/logos.py -->",
            f"<title>{logo.title}</title>",
            _tile(logo),
            *filter(None, motif),
            *_written(logo.letters, logo.ink),
            "</svg>",
            "",
        ]
    )


def _tile(logo: Logo) -> str:
    if logo.rim is None:
        return f'<rect width="32" height="32" rx="6" fill="{logo.tile}"/>'
    return f'<rect x=".5" y=".5" width="31" height="31" rx="5.5" fill="{logo.tile}" stroke="{logo.rim}"/>'


def _filled(boxes: Iterable[Box], colour: str, extra: str = "") -> str:
    path = "".join(f"M{LEFT + b.x} {TOP + b.y}h{b.width}v{b.height}h-{b.width}z" for b in boxes)
    return path and f'<path fill="{colour}"{extra} d="{path}"/>'


def _stroked(lines: str, colour: str, x: int, y: int) -> str:
    style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"'
    return lines and f'<path transform="translate({x} {y})" {style} d="{lines}"/>'


def _written(letters: str, ink: str) -> list[str]:
    """Return the letters as lines, in the middle of the tile's lower half."""
    drawn = [GLYPHS[letter] for letter in letters]
    widths = [width for width, _ in drawn]
    gap = GAP if sum(widths) + GAP * (len(letters) - 1) <= ROOM else NARROW_GAP
    start = (32 - sum(widths) - gap * (len(letters) - 1)) // 2
    places = [start + sum(widths[:n]) + gap * n for n in range(len(letters))]
    return [_stroked(path, ink, x, BASELINE - CAPITALS) for x, (_, path) in zip(places, drawn, strict=True)]


def picture(browser: Browser, drawing: str, side: int) -> bytes:
    """Return an SVG as a PNG with that many pixels a side, transparent where nothing is drawn."""
    page = browser.new_page(viewport={"width": side, "height": side})
    try:
        page.set_content(f"<style>body{{margin:0}}svg{{display:block;width:{side}px;height:{side}px}}</style>{drawing}")
        return page.screenshot(omit_background=True)
    finally:
        page.close()


def sheet(browser: Browser) -> bytes:
    """Return a picture of all logos in the sizes of front ends, on light and dark."""
    rows = "".join(
        f'<div style="background:{paper};padding:8px 16px">'
        + "".join(
            "<p>" + "".join(svg(logo).replace('"64"', f'"{side}"') for logo in FACTS.values()) + "</p>"
            for side in SHOWN
        )
        + "</div>"
        for paper in PAPERS
    )
    page = browser.new_page(viewport={"width": 1440, "height": 100})
    try:
        page.set_content(f"<style>body{{margin:0}}p{{margin:10px 0}}svg{{margin-right:16px}}</style>{rows}")
        return page.screenshot(full_page=True)
    finally:
        page.close()


def main() -> None:
    """Read the command line and draw every file."""
    from browser import driving

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logos", type=Path, default=LOGOS, help="where the logos go")
    parser.add_argument("--sheet", type=Path, help="a picture of them all")
    asked = parser.parse_args()
    with driving.chromium() as browser:
        for name, logo in FACTS.items():
            (asked.logos / f"{name}.svg").write_text(svg(logo), encoding="utf-8")
            for side in SIDES:
                (asked.logos / f"{name}-{side}x{side}.png").write_bytes(picture(browser, svg(logo), side))
        if asked.sheet:
            asked.sheet.write_bytes(sheet(browser))


if __name__ == "__main__":
    main()
