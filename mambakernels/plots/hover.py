"""Figures for a page that someone reads in JupyterLab: SVG in the colours of its theme, with hints under the mouse.

Nothing here needs JavaScript, so the same HTML works in a widget, in a saved output and offline.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from html import escape
from io import StringIO

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mambakernels.plots.style import MARKS, PALETTES, UNKNOWN

_HINT = "hint"
_PIXELS_PER_INCH = 116  # 96 is the size on paper; people read this from a projector, too
_MIDDLE = 0.5
_NEAR = 9.0  # pixels: half of a hint
# What JupyterLab's themes call the colours of a palette; Voilà and Notebook define the same names.
_THEMED = {
    "ink": "--jp-content-font-color1",
    "paper": "--jp-layout-color0",
    "faint": "--jp-border-color2",
    "soft": "--jp-layout-color2",
    "muted": "--jp-content-font-color2",
}
_MARKED = {**MARKS, "unknown": UNKNOWN}

CSS = """
.mk-figure {{ position: relative; max-width: 100%; {light} }}
[data-jp-theme-light="false"] .mk-figure {{ {dark} }}
.mk-figure svg {{ display: block; width: 100%; height: auto; }}
.mk-hint {{ position: absolute; width: 18px; height: 18px; margin: -9px 0 0 -9px; border-radius: 50%; }}
.mk-hint:hover {{ outline: 2px solid var(--jp-content-font-color1, #1f2328); z-index: 1; }}
.mk-hint > span {{
  display: none; position: absolute; width: max-content; max-width: 260px; padding: 4px 8px; pointer-events: none;
  font: 13px/1.4 var(--jp-ui-font-family, sans-serif); border-radius: 3px;
  color: var(--jp-ui-inverse-font-color0, #fff); background: var(--jp-inverse-layout-color1, #222);
}}
.mk-hint:hover > span {{ display: block; }}
""".format(
    **{theme: "".join(f"--mk-{name}: {palette.color(mark)}; " for name, mark in _MARKED.items())
       for theme, palette in PALETTES.items()}
)  # fmt: skip
"""The style of all figures on a page."""


def hint(axis: Axes, x: float, y: float, text: str) -> None:
    """Give a place on an axis, in the units of its data, a text for the mouse; it is in no printed figure."""
    axis.text(x, y, text, visible=False, gid=_HINT)


def as_html(figure: Figure, *, title: str) -> str:
    """Return a figure of the light theme as HTML, which needs `CSS` on the page; `title` is for screen readers."""
    with rc_context({"svg.fonttype": "none"}), StringIO() as stream:
        figure.savefig(stream, format="svg", metadata={"Date": None})
        drawn = stream.getvalue()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], count=1, flags=re.DOTALL)
    drawn = re.sub(' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), drawn)  # 250 kB of dots otherwise
    drawn = re.sub("#[0-9a-f]{6}", lambda found: _COLORS.get(found[0], found[0]), drawn)
    drawn = drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    width = round(figure.get_figwidth() * _PIXELS_PER_INCH)
    return f'<div class="mk-figure" style="width:{width}px">{drawn}{"".join(_hints(figure))}</div>'


def _hints(figure: Figure) -> Iterator[str]:
    """Yield what shows each hint; the text opens towards the middle of the figure, where there is room."""
    for (x, y), texts in _near_each_other(figure):
        sides = f"{'right' if x > _MIDDLE else 'left'}:14px;{'bottom' if y < _MIDDLE else 'top'}:14px"
        lines = "<br/>".join(map(escape, texts))
        yield (
            f'<div class="mk-hint" aria-hidden="true" style="left:{x:.2%};top:{1 - y:.2%}">'
            f'<span style="{sides}">{lines}</span></div>'
        )


def _near_each_other(figure: Figure) -> list[tuple[tuple[float, float], list[str]]]:
    """Return the hints, those that the mouse could not tell apart together, at shares of the figure's sides."""
    to_share = figure.transFigure.inverted()
    found: list[tuple[tuple[float, float], list[str]]] = []
    width, height = figure.get_size_inches() * _PIXELS_PER_INCH
    for axis in figure.axes:
        for text in (one for one in axis.texts if one.get_gid() == _HINT):
            x, y = to_share.transform(axis.transData.transform(text.get_position()))
            near = [
                texts for place, texts in found if math.hypot((place[0] - x) * width, (place[1] - y) * height) < _NEAR
            ]
            if near:
                near[0].append(text.get_text())
            else:
                found.append(((x, y), [text.get_text()]))
    return found


def _colors() -> dict[str, str]:
    """Return the CSS of each colour that a figure of the light theme has."""
    light = PALETTES["light"]
    themed = {getattr(light, name): f"var({variable}, {getattr(light, name)})" for name, variable in _THEMED.items()}
    marked = {light.color(mark).lower(): f"var(--mk-{name})" for name, mark in _MARKED.items()}
    return themed | marked


_COLORS = _colors()
