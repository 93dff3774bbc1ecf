"""What messages of kernels say of themselves: lost ones, the process that sent them, text as a terminal draws it."""

from __future__ import annotations

import re

from mambakernels.runs.notebooks import Json

_CERTAIN = 1000  # the kernel's send queue drops nothing below this (zmq's default high-water mark)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NUMBERED = re.compile(r"(.+_\d+)_(\d+)")  # ipykernel's message ids: session, process, and a count


class MessageNumbers:
    """The numbers that ipykernel gives its messages: a gap in a long cell is a message that was lost.

    Other kernels number differently, and say nothing.
    """

    def __init__(self) -> None:
        self._session = ""
        self._first = self._highest = -1
        self._count = 0

    def begin(self) -> None:
        """Count from here on."""
        self._first, self._count = self._highest, 0

    def saw(self, message: Json) -> None:
        """Take note of a message."""
        match = _NUMBERED.fullmatch(message["header"]["msg_id"])
        if match is None:
            return
        if match[1] != self._session:
            self._session, self._first, self._highest, self._count = match[1], int(match[2]) - 1, -1, 0
        self._highest = max(self._highest, int(match[2]))
        self._count += 1

    def missing(self) -> int:
        """Return how many messages since `begin` did not arrive; 0 where so few were sent that none can be lost."""
        sent = self._highest - self._first
        return max(0, sent - self._count) if sent >= _CERTAIN else 0


def process_of(message: Json) -> list[str]:
    """Return the session that the kernel's process has, if it is Python's: another process has another one."""
    match = _NUMBERED.fullmatch(message["header"]["msg_id"])
    return [match[1].partition("_")[0]] if match and message["msg_type"] == "status" else []


def drawn(text: str) -> str:
    """Return a text without what a progress bar drew over in full, so that it looks the same wherever it is shown."""
    return "\n".join(map(_drawn_line, text.split("\n"))) if "\r" in text else text


def _drawn_line(line: str) -> str:
    parts: list[str] = []
    for part in line.split("\r"):
        while parts and _covers(part, parts[-1]):
            parts.pop()
        parts.append(part)
    return "\r".join(parts)


def _covers(part: str, earlier: str) -> bool:
    """Whether a text hides an earlier one, for a terminal and for JupyterLab, which counts colours as characters."""
    visible, hidden = _COLOUR.sub("", part), _COLOUR.sub("", earlier)
    moves = any(mark in text for text in (visible, hidden) for mark in ("\b", "\x1b"))
    return not moves and len(part) >= len(earlier) and len(visible) >= len(hidden)
