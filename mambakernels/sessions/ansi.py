"""A terminal's colours as HTML that reads in light and dark: each colour is mixed with that of the page's text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

_CODES = re.compile(r"\x1b\[([0-9;:]*)([A-Za-z])")
_BASIC = ("#3e424d", "#e75c58", "#00a250", "#b8860b", "#208ffb", "#b35ed1", "#14b2b8", "#8a8a9a")
_STEPS = (0, 95, 135, 175, 215, 255)  # of the 256 colours' cube
_TEXT = "var(--jp-content-font-color1, CanvasText)"
_BOLD, _NORMAL, _DEFAULT, _EXTENDED = 1, 22, 39, 38
_PALETTE, _TRUE = 5, 2


def as_html(text: str) -> str:
    """Return a text with its colours and bold letters as HTML; other codes are left out."""
    parts, state, at = [], (False, ""), 0
    for match in _CODES.finditer(text):
        parts.append(_span(text[at : match.start()], *state))
        at = match.end()
        if match[2] == "m":
            state = _after(state, [int(code or 0) for code in re.split("[;:]", match[1])])
    return "".join([*parts, _span(text[at:], *state)])


def _span(text: str, bold: bool, color: str) -> str:  # noqa: FBT001 (a state, unpacked)
    if not text or not (bold or color):
        return escape(text)
    style = ("font-weight:bold;" if bold else "") + (
        f"color:{color};color:color-mix(in srgb,{color} 55%,{_TEXT})" if color else ""
    )
    return f'<span style="{style}">{escape(text)}</span>'


def _after(state: tuple[bool, str], codes: Sequence[int]) -> tuple[bool, str]:
    """Return whether text is bold, and its colour, after some codes."""
    bold, color = state
    rest = iter(codes)
    for code in rest:
        if code == 0:
            bold, color = False, ""
        elif code in {_BOLD, _NORMAL}:
            bold = code == _BOLD
        elif code == _DEFAULT:
            color = ""
        elif code == _EXTENDED:
            color = _extended(rest)
        elif code // 10 in {3, 9} and code % 10 < len(_BASIC):
            color = _BASIC[code % 10]
    return bold, color


def _extended(codes: Iterator[int]) -> str:
    kind = next(codes, 0)
    if kind == _TRUE:
        return _hex(next(codes, 0), next(codes, 0), next(codes, 0))
    number = next(codes, 0) if kind == _PALETTE else 0
    if number < 2 * len(_BASIC):
        return _BASIC[number % len(_BASIC)]
    if number < 232:  # noqa: PLR2004 (the greys begin there)
        red, rest = divmod(number - 16, 36)
        return _hex(_STEPS[red % 6], _STEPS[rest // 6], _STEPS[rest % 6])
    return _hex(*[8 + 10 * (number - 232)] * 3)


def _hex(*channels: int) -> str:
    return "#" + "".join(f"{min(max(channel, 0), 255):02x}" for channel in channels)
