"""A notebook's parameters: read from its `parameters` cell, checked, and injected as papermill does."""

from __future__ import annotations

import ast
import contextlib
import copy
import math
import numbers
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mambakernels.errors import InvalidRequestError
from mambakernels.paths import PathLike, storage_errors
from mambakernels.runs.languages import LANGUAGES, NOT_LITERAL, Language
from mambakernels.runs.notebooks import FIRST_MINOR_WITH_IDS, Json, Notebook, read_notebook, source_of, tags_of

DECLARED_TAG = "parameters"
INJECTED_TAG = "injected-parameters"


@dataclass(frozen=True)
class Parameter:
    """One name that the `parameters` cell assigns, with its default: a literal, which also sets the type."""

    name: str
    default: Any

    @property
    def kind(self) -> str:
        """The type in words, such as `int` or `list of int`."""
        return _kind(self.default)

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, default {self.default!r})"


@dataclass(frozen=True)
class Parameters:
    """All parameters of one notebook, in the order of its cell."""

    notebook: str
    known: Mapping[str, Parameter]

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every parameter: the given one, checked and in the default's type, else the default.

        Raises `InvalidRequestError` for a name that is not known or a value whose type does not fit.
        """
        checked = {self.get(name).name: self.check(name, value) for name, value in given.items()}
        defaults = {name: item.default for name, item in self.known.items() if item.default is not NOT_LITERAL}
        return {**defaults, **checked}

    def check(self, name: str, value: Any) -> Any:
        """Return one value in the type of its parameter's default (an int becomes a float where one is due)."""
        parameter = self.get(name)
        try:
            return _conform(value, parameter.default)
        except (TypeError, ValueError) as error:
            reason = f"{value!r} does not fit the parameter '{name}': {error}."
            raise self.refused(reason) from error

    def has(self, name: str) -> bool:
        """Whether the notebook has a parameter of that name, settable or not."""
        return unicodedata.normalize("NFKC", name) in self.known

    def get(self, name: str) -> Parameter:
        """Return the parameter of that name; `InvalidRequestError` lists those that can be set."""
        parameter = self.known.get(unicodedata.normalize("NFKC", name))  # as Python compares names
        if parameter is None:
            raise self.refused(f"This notebook has no parameter '{name}'.")
        if parameter.default is NOT_LITERAL:
            raise self.refused(f"The parameter '{name}' cannot be set: its default is not a literal.")
        return parameter

    def refused(self, reason: str) -> InvalidRequestError:
        """Return the error for a value that cannot be set; it lists the parameters that can be."""
        settable = (parameter for parameter in self.known.values() if parameter.default is not NOT_LITERAL)
        names = ", ".join(map(str, settable))
        advice = f"Its parameters: {names}." if names else "It has none: no cell of it is tagged `parameters`."
        return InvalidRequestError(reason, where=self.notebook, next_step=advice)


def read_parameters(notebook: Notebook) -> Parameters:
    """Read the one cell tagged `parameters`; a notebook without it has no parameters.

    Lines of it that do not assign a literal are passed over: their names cannot be set. Raises `InvalidRequestError`
    if there are several such cells, or the cell cannot be parsed.
    """
    where = str(notebook.path)
    cells = [index for index, cell in enumerate(notebook.content["cells"]) if DECLARED_TAG in tags_of(cell)]
    if not cells:
        return Parameters(where, {})
    if len(cells) > 1:
        raise InvalidRequestError(
            f"Cells {', '.join(str(index + 1) for index in cells)} are all tagged `parameters`; only one may be.",
            where=where,
        )
    source = source_of(notebook.content["cells"][cells[0]])
    return Parameters(where, {name: Parameter(name, default) for name, default in _assignments(source, notebook)})


@storage_errors
def parse_parameters(notebook: PathLike, assignments: Sequence[str]) -> dict[str, Any]:
    """Read `name=value` texts as values for a notebook's parameters; InvalidRequestError if one does not fit."""
    if not assignments:
        return {}
    known = read_parameters(read_notebook(notebook))
    return dict(parse_assignment(text, known) for text in assignments)


def parse_assignment(text: str, parameters: Parameters) -> tuple[str, Any]:
    """Split `name=value` as typed on a command line and return the name and the checked value.

    A parameter whose default is a text takes the value exactly as it was typed; any other is read as a Python literal
    (`[256, 512]`, `1e-3`, `True`) or else as YAML (`[a, b]`, `true`, `null`).
    """
    name, sign, value = text.partition("=")
    if not sign:
        raise parameters.refused(f"'{text}' does not set a parameter: write name=value, such as n=512.")
    parameter = parameters.get(name.strip())
    typed = value if isinstance(parameter.default, str) else _read_value(value.strip())
    return parameter.name, parameters.check(parameter.name, typed)


def inject(content: Mapping[str, Any], values: Mapping[str, Any], language: str = "python") -> Json:
    """Return a copy of a notebook with a cell that assigns `values`, right after its `parameters` cell.

    An earlier injected cell is replaced, or with no values removed; everything else stays as it was.
    """
    copied: Json = copy.deepcopy(dict(content))
    copied["cells"] = [cell for cell in copied["cells"] if INJECTED_TAG not in tags_of(cell)]
    if values:
        position = next(i for i, cell in enumerate(copied["cells"]) if DECLARED_TAG in tags_of(cell))
        copied["cells"].insert(position + 1, _injected_cell(values, copied, LANGUAGES[language]))
    return copied


def _injected_cell(values: Mapping[str, Any], content: Json, language: Language) -> Json:
    cell: Json = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [INJECTED_TAG]},
        "outputs": [],
        "source": language.cell(values),
    }
    return {"id": INJECTED_TAG, **cell} if content.get("nbformat_minor", 0) >= FIRST_MINOR_WITH_IDS else cell


def _assignments(source: str, notebook: Notebook) -> Iterator[tuple[str, Any]]:
    language = LANGUAGES.get(notebook.language)
    if language is None:
        return
    try:
        assigned = list(language.assignments(source))
    except SyntaxError as error:
        raise InvalidRequestError(
            f"The `parameters` cell is not Python: {error.msg} in its line {error.lineno}.", where=str(notebook.path)
        ) from error
    for name, default in assigned:
        try:
            yield name, _conform(default, default)
        except (TypeError, ValueError):
            yield name, NOT_LITERAL


def _read_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        from mambakernels.system import yaml  # slow to import, and most values are literals

    try:
        return yaml.load(text)
    except ValueError:
        return text  # the type check then says what was expected


def _conform(value: Any, default: Any) -> Any:
    """Return `value` in the type of `default`; `TypeError` or `ValueError` says why it does not fit.

    A default of None, or an element of an empty list, allows whatever a notebook can record.
    """
    if default is None:
        return None if value is None else _conform(value, _example(value))
    kind = type(default)
    if kind not in _ACCEPTED:
        raise TypeError(f"{_kind(default)} is not a type that a parameter may have")
    if not isinstance(value, _ACCEPTED[kind]) or isinstance(value, bool) != (kind is bool):
        raise TypeError(f"{kind.__name__} was expected, not {_kind(value)}")
    return _CONVERTERS.get(kind, lambda value, _: kind(value))(value, default)


def _example(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return value[:0]
    return next((kind() for kind, accepted in _ACCEPTED.items() if isinstance(value, accepted)), value)


def _to_float(value: Any, _default: float) -> float:
    if not math.isfinite(value):
        raise ValueError("the number must be finite")  # JSON, which records it, has no other
    return float(value)


def _to_sequence(value: Sequence[Any], default: Sequence[Any]) -> Sequence[Any]:
    examples = list({type(element): element for element in default}.values()) or [None]
    return type(default)([_to_element(element, examples) for element in value])  # type: ignore[call-arg]


def _to_element(value: Any, examples: Sequence[Any]) -> Any:
    """Return a list's element in the type of one of the default's elements, of which there is at least one."""
    for example in examples[:-1]:  # more than one where the default mixes types; the last says what is wrong
        with contextlib.suppress(TypeError, ValueError):
            return _conform(value, example)
    return _conform(value, examples[-1])


def _to_dict(value: Mapping[Any, Any], _default: Mapping[str, Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in value):
        raise TypeError("all keys must be strings")
    return {key: _conform(item, None) for key, item in value.items()}


# The types a parameter may have, and what is accepted for each. In this order: an int is a number too.
_ACCEPTED: Mapping[type, Any] = {
    bool: bool,
    int: numbers.Integral,
    float: numbers.Real,
    str: str,
    list: (list, tuple),
    tuple: (list, tuple),
    dict: Mapping,
}
_CONVERTERS: Mapping[type, Callable[[Any, Any], Any]] = {
    float: _to_float,
    list: _to_sequence,
    tuple: _to_sequence,
    dict: _to_dict,
}


def _kind(value: Any) -> str:
    name = "anything" if value is None else type(value).__name__
    if not isinstance(value, list | tuple) or not value:
        return name
    return f"{name} of {' or '.join(dict.fromkeys(type(element).__name__ for element in value))}"
