"""Content of files decoded into typed structures, strictly; an error names the key at fault."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Any, TypeVar

T = TypeVar("T")
_UNKNOWN = re.compile(r"unknown field `(?P<key>.*)`")
_AT = re.compile(r" at `\$\.(?P<key>[^.\[`]+)")


class MisfitError(ValueError):
    """Content does not fit its type: `key` is the outermost one at fault, `known` whether the type has it at all."""

    def __init__(self, key: str, *, known: bool) -> None:
        super().__init__(key)
        self.key = key
        self.known = known


def suggest(word: str, known: Collection[str]) -> str:
    """Return a sentence that lists the known words, the one most like an unknown word first."""
    close = difflib.get_close_matches(word, known, 1)
    return (f"Did you mean {close[0]!r}? " if close else "") + f"Choose from: {', '.join(known)}."


def decode(content: Any, kind: type[T]) -> T:
    """Return content as a `kind`, a dataclass or msgspec structure; MisfitError if it does not fit."""
    import msgspec  # takes 10 ms, which a command that decodes nothing need not wait for

    try:
        return msgspec.convert(content, kind, dec_hook=lambda _, value: value)
    except msgspec.ValidationError as error:
        unknown, at = _UNKNOWN.search(str(error)), _AT.search(str(error))
        match = at or unknown
        raise MisfitError(match["key"] if match else "", known=at is not None or unknown is None) from error
