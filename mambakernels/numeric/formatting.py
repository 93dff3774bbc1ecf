"""Tables as plain text and as HTML that any theme can show, and numbers as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

Row = Sequence[str]

_UNBROKEN = "white-space:nowrap;"  # a number and its unit, a kernel's name
_SHORT = 24  # characters
_UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


def text_table(header: Row, rows: Sequence[Row]) -> str:
    """Return the rows in aligned columns under a ruled header: text to the left, numbers to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [_is_numeric(column[1:]) for column in columns]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(_line(line, widths, numeric) for line in lines)


def html_table(header: Row, rows: Sequence[Row], caption: str = "", marked: Sequence[int] = ()) -> str:
    """Return the rows as an HTML table; rows whose index is `marked` have the theme's colour for errors.

    It sets no other colours and needs no external resources, so it reads in light and dark.
    """
    numeric = [_is_numeric(column) for column in zip(*rows, strict=True)] if rows else [False] * len(header)
    sides = ["right" if is_number else "left" for is_number in numeric]
    head = "".join(
        f'<th style="text-align:{side}">{escape(text)}</th>' for text, side in zip(header, sides, strict=True)
    )
    body = "".join(_html_row(row, sides, marked=index in marked) for index, row in enumerate(rows))
    title = f'<caption style="text-align:left">{escape(caption)}</caption>' if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def seconds(value: float) -> str:
    """Write a time with three digits in the unit that suits it: `820 ns`, `1.25 ms`, `12.3 s`."""
    unit, size = next(((unit, size) for unit, size in _UNITS if value >= size), ("ns", 1e-9))
    return f"{three_digits(value / size)} {unit}"


def three_digits(value: float) -> str:
    """Write a number that is not negative with three digits, more before the point, and no exponent."""
    decimals = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(0, decimals)}f}"


def threads_used(asked: int | None, used: int | None) -> str:
    """Write the requested threads, and the used ones where they differ: `8 (2 used)`; a dash where none is known."""
    if not asked or used is None or asked == used:
        return str(asked or used or "-")
    return f"{asked} ({used} used)"


def _html_row(row: Row, sides: Sequence[str], *, marked: bool) -> str:
    style = "color:var(--jp-error-color1, #d32f2f);font-weight:bold" if marked else ""
    looks = (
        _UNBROKEN * (side == "right" or len(text) <= _SHORT) + style for text, side in zip(row, sides, strict=True)
    )
    cells = (
        f'<td style="text-align:{side};{look}">{escape(text)}</td>'
        for text, side, look in zip(row, sides, looks, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _line(row: Row, widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells = zip(row, widths, numeric, strict=True)
    return "  ".join(text.rjust(width) if number else text.ljust(width) for text, width, number in cells).rstrip()


def _is_numeric(texts: Sequence[str]) -> bool:
    return bool(texts) and all(text[:1].isdigit() or text == "-" for text in texts)
