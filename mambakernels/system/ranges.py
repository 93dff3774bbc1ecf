"""Several values in one text: ranges of whole numbers, and lists with commas."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RANGE = re.compile(r"(\d+):(\d+)(?::(log2|\d+))?")
_MOST_DOUBLINGS = 40
_QUOTES = "\"'"
_BRACKETS = {"[": 1, "(": 1, "{": 1, "]": -1, ")": -1, "}": -1}


def read_range(text: str) -> Sequence[int] | None:
    """Read `256:4096:log2` or `256:4096` (doubling), or `100:500:100` (in steps); None if the text is no range."""
    found = _RANGE.fullmatch(text)
    if not found:
        return None
    first, last, step = int(found[1]), int(found[2]), found[3] or "log2"
    if step != "log2":
        return range(first, last + 1, int(step)) if int(step) else ()
    return [first * 2**power for power in range(_MOST_DOUBLINGS) if first and first * 2**power <= last]


def split_list(text: str) -> list[str]:
    """Split a text at its commas, but for those in brackets and in quotes that begin a value."""
    parts, depth, quote, begin = [], 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[place - 1] != "\\" else quote
        elif character in _QUOTES and (depth or not text[begin:place].strip()):
            quote = character
        elif character == "," and not depth:
            parts.append(text[begin:place])
            begin = place + 1
        else:
            depth = max(0, depth + _BRACKETS.get(character, 0))
    return [*parts, text[begin:]]
