"""Output in encodings that lack some characters: signs become ASCII, letters become escapes, and nothing fails."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

_HANDLER = "mambakernels-ascii"
_SIGNS = {
    "µ": "u",
    "\u00d7": "x",
    "±": "+/-",
    "≥": ">=",
    "≤": "<=",
    "≈": "~",
    "…": "...",
    "\u2013": "-",
    "—": "-",
    "→": "->",
    "·": ".",
    "─": "-",
    "━": "-",
    "│": "|",
    "├": "|",
    "└": "`",
    "✓": "ok",
    "✗": "x",
}


def make_encodable(stream: TextIO | None) -> None:
    """Let a stream write every text; a name with bytes that are not text goes out as those bytes in UTF-8."""
    if not isinstance(stream, io.TextIOWrapper):  # a test's or a notebook's, which takes any text
        return
    is_utf8 = codecs.lookup(stream.encoding).name in {"utf-8", "utf8"}
    stream.reconfigure(errors="surrogateescape" if is_utf8 else _HANDLER)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return text in place of what an encoding lacks: the error handler that Python calls."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lost), error.end


codecs.register_error(_HANDLER, _replaced)
