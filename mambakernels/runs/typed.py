"""Values as they are typed on a command line; the parameter that each one is for says how it is read."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mambakernels.errors import InvalidRequestError
from mambakernels.system.ranges import read_range, split_list

_MOST_VALUES = 100_000
_OPENING = ("[", "{", '"', "'")


@dataclass(frozen=True)
class Typed:
    """One value as it was typed."""

    text: str

    def read(self, default: Any) -> Any:
        """Return the value for a parameter with this default, whose type is still to be checked.

        Where the default is a text, the value is exactly what was typed. Any other is read as a Python literal
        (`[256, 512]`, `1e-3`, `True`) or else as YAML (`[a, b]`, `true`, `null`); what is neither is a text.
        """
        return self.text if isinstance(default, str) else _with_floats(_read_value(self.text.strip(), default), default)


@dataclass(frozen=True)
class TypedValues:
    """Several values with commas between them, as they were typed."""

    text: str

    def read(self, default: Any) -> list[Any]:
        """Return the values for a parameter with this default.

        Commas in brackets or quotes separate nothing. Quotes around a whole text are not part of it. Where the default
        is a number or None, `256:4096:log2` and `100:500:100` are ranges.
        """
        parts = split_list(self.text)
        if isinstance(default, str):
            return [_unquoted(part) for part in parts]
        is_number = default is None or (isinstance(default, int | float) and not isinstance(default, bool))
        ranges = [read_range(part.strip()) if is_number else None for part in parts]
        if sum(len(values) for values in ranges if values is not None) > _MOST_VALUES:
            raise InvalidRequestError(
                f"{self.text!r} has more than {_MOST_VALUES:,} values.", next_step="Choose larger steps, or log2."
            )
        read = ([Typed(part).read(default)] if one is None else one for part, one in zip(parts, ranges, strict=True))
        return [value for values in read for value in values]


def typed_parameters(assignments: Iterable[str]) -> dict[str, Typed]:
    """Split `name=value` texts; the last one of a name counts. InvalidRequestError without a sign."""
    return {name: Typed(value) for name, value in _split(assignments)}


def typed_grid(assignments: Iterable[str]) -> dict[str, TypedValues]:
    """Split `name=value,value` texts; those of one name add up. InvalidRequestError without a sign."""
    found: dict[str, str] = {}
    for name, values in _split(assignments):
        found[name] = f"{found[name]},{values}" if name in found else values
    return {name: TypedValues(values) for name, values in found.items()}


def typed_exclusions(texts: Iterable[str]) -> list[dict[str, Typed]]:
    """Split texts of `name=value,name=value`, each a combination. InvalidRequestError without a sign."""
    return [typed_parameters(split_list(text)) for text in texts]


def _split(assignments: Iterable[str]) -> Iterator[tuple[str, str]]:
    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InvalidRequestError(
                f"'{text}' does not set a parameter.",
                next_step="Write name=value, such as n=512. What a notebook takes: mambakernels parameters NOTEBOOK",
            )
        yield name.strip(), value


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    value = _read_value(text, None) if is_quoted else text
    return value if isinstance(value, str) else text


def _read_value(text: str, default: Any) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        from mambakernels.system import yaml  # slow to import, and most values are literals

    try:
        if text.startswith(_OPENING) or isinstance(default, list | tuple | dict):
            return yaml.load(text)
        return yaml.plain(text)  # not a document: in one, `a #b`, `title: x` and `- a` are no texts
    except ValueError:
        return text  # the type check then says what was expected


def _with_floats(value: Any, default: Any) -> Any:
    """Return a typed value with `nan` and `inf` as numbers, where the default has a float."""
    if isinstance(value, list | tuple) and isinstance(default, list | tuple):
        example = next((element for element in default if isinstance(element, float)), None)
        return [_with_floats(element, example) for element in value]
    if isinstance(value, str) and isinstance(default, float):
        with contextlib.suppress(ValueError):
            return float(value)
    return value
