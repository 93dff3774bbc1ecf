"""Languages whose parameters can be read and set: how each assigns one, and how it writes a value."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MAGIC = re.compile(r"^[%!].*$", re.MULTILINE)  # IPython's own lines, which Python cannot parse
NOT_LITERAL = object()
"""The default of a name that is assigned something else than a literal."""


@dataclass(frozen=True)
class Language:
    """How a language's `parameters` cell is read, and how an injected cell is written."""

    assignments: Callable[[str], Iterator[tuple[str, Any]]]
    literal: Callable[[Any], str]

    def cell(self, values: Mapping[str, Any]) -> str:
        """Return the source of a cell that assigns these values."""
        return "\n".join(["# Parameters", *(f"{name} = {self.literal(value)}" for name, value in values.items())])


def _python_assignments(source: str) -> Iterator[tuple[str, Any]]:
    """Yield each name that a cell assigns, with its default; SyntaxError if it is not Python."""
    for statement in ast.parse(_MAGIC.sub("pass", source)).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, _python_default(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, _python_default(value)


def _python_default(value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError):
        return NOT_LITERAL


def _line_assignments(words: Mapping[str, Any]) -> Callable[[str], Iterator[tuple[str, Any]]]:
    """Return a reader of lines that assign one literal each, which is what can be read without the language itself."""

    def assignments(source: str) -> Iterator[tuple[str, Any]]:
        for name, text in _LINE.findall(source):
            yield name, _line_default(text, words)

    return assignments


def _line_default(text: str, words: Mapping[str, Any]) -> Any:
    if text in words:
        return words[text]
    try:
        return ast.literal_eval(text.removesuffix("L"))
    except (ValueError, SyntaxError):
        return NOT_LITERAL


def _writer(
    words: Mapping[bool | None, str],
    quoted: Callable[[str], str],
    sequence: Callable[[Sequence[Any], Callable[[Any], str]], str],
    mapping: Callable[[Mapping[str, Any], Callable[[Any], str]], str],
) -> Callable[[Any], str]:
    """Return a function that writes a value as a literal of a language with these words for None, True and False."""

    def write(value: Any) -> str:
        if value is None or isinstance(value, bool):
            return words[value]
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Inf" if value > 0 else "-Inf")
        if isinstance(value, str):
            return quoted(value)
        if isinstance(value, list | tuple):
            return sequence(value, write)
        return mapping(value, write) if isinstance(value, Mapping) else repr(value)

    return write


def _r_sequence(values: Sequence[Any], write: Callable[[Any], str]) -> str:
    kinds = {type(value) for value in values}
    is_vector = len(kinds) == 1 and kinds <= {bool, int, float, str}
    return f"{'c' if is_vector else 'list'}({', '.join(map(write, values))})"


def _r_mapping(values: Mapping[str, Any], write: Callable[[Any], str]) -> str:
    return f"list({', '.join(f'{write(name)} = {write(value)}' for name, value in values.items())})"


def _julia_sequence(values: Sequence[Any], write: Callable[[Any], str]) -> str:
    return f"[{', '.join(map(write, values))}]"


def _julia_mapping(values: Mapping[str, Any], write: Callable[[Any], str]) -> str:
    return f"Dict({', '.join(f'{write(name)} => {write(value)}' for name, value in values.items())})"


def _julia_quoted(text: str) -> str:
    return _quoted(text).replace("$", "\\$")  # it would begin an expression


def _quoted(text: str) -> str:
    """Return a text in quotes with every character that is not plain ASCII escaped, as R and Julia read it."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if " " <= character <= "~" or character in "\n\r\t":
        return json.dumps(character)[1:-1]
    return f"\\U{ord(character):08x}"


_LINE = re.compile(r"^[ \t]*([^\W\d][\w.]*)[ \t]*(?:<-|=)[ \t]*([^\n#]*?)[ \t]*(?:#.*)?$", re.MULTILINE)
_R = _writer({None: "NULL", True: "TRUE", False: "FALSE"}, _quoted, _r_sequence, _r_mapping)
_JULIA = _writer({None: "nothing", True: "true", False: "false"}, _julia_quoted, _julia_sequence, _julia_mapping)
LANGUAGES: Mapping[str, Language] = {
    "python": Language(_python_assignments, repr),
    "r": Language(_line_assignments({"TRUE": True, "FALSE": False, "NULL": None}), _R),
    "julia": Language(_line_assignments({"true": True, "false": False, "nothing": None}), _JULIA),
}
