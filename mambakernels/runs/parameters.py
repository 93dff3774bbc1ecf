"""A notebook's parameters: read from its `parameters` cell, checked, and injected as papermill does."""

from __future__ import annotations

import contextlib
import copy
import numbers
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mambakernels.errors import InvalidRequestError
from mambakernels.paths import PathLike, storage_errors
from mambakernels.runs.languages import LANGUAGES, NOT_LITERAL, Language, Use
from mambakernels.runs.notebooks import FIRST_MINOR_WITH_IDS, Json, Notebook, read_notebook, source_of, tags_of
from mambakernels.runs.typed import Typed, TypedValues
from mambakernels.runs.values import NUMBER_KEY

DECLARED_TAG = "parameters"
INJECTED_TAG = "injected-parameters"

_NUMPY_KINDS = frozenset("biufUO")  # of dtypes whose elements Python has: not dates, which become numbers
_TO_COMMENT = r"""(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[^\n#"'])*#(.*)$"""
_MOST_BITS = 14_280  # 4,300 digits is the most that Python writes and reads
_SHOWN = 200
_ADVICE = dict.fromkeys(("Timestamp", "datetime", "date", "datetime64"), "; give it as a text, such as str(value)")


@dataclass(frozen=True)
class Parameter:
    """One name that the `parameters` cell assigns, with its default: a literal, which also sets the type.

    `help` is the comment on its line, `declared` a value of the type that its annotation names.
    """

    name: str
    default: Any
    help: str = ""
    declared: Any = None

    @property
    def is_settable(self) -> bool:
        """Whether a value can be given: only where the default is a literal."""
        return self.default is not NOT_LITERAL

    @property
    def example(self) -> Any:
        """A value of its type: of the annotated one, else the default."""
        return self.default if self.declared is None else self.declared

    @property
    def kind(self) -> str:
        """The type in words, such as `int` or `list of int`."""
        return "anything" if self.example is None else _kind(self.example)

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, default {self.default!r})"


@storage_errors
def parameters(notebook: PathLike) -> list[Parameter]:
    """Return the parameters of a notebook, in the order of its cell tagged `parameters`.

    `NotFoundError` if there is no such notebook, `RunError` if the file is not one, `InvalidRequestError` if the cell
    cannot be read.
    """
    return list(read_parameters(read_notebook(notebook)).known.values())


@dataclass(frozen=True)
class Parameters:
    """All parameters of one notebook, in the order of its cell.

    `injected` holds the values that a run before this one left in the notebook; they hold as long as none is given.
    `undeclared` holds the sources of a notebook without a `parameters` cell (`has_cell`): a name that they read can be
    set.
    """

    notebook: str
    known: Mapping[str, Parameter]
    language: str = "python"
    injected: Mapping[str, Any] = field(default_factory=dict)
    undeclared: Sequence[str] = ()
    has_cell: bool = True

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every parameter: the given one, checked and in the default's type, else the default.

        Raises `InvalidRequestError` for a name that is not known or a value whose type does not fit.
        """
        checked = {self.get(name).name: self.check(name, value) for name, value in given.items()}
        defaults = {name: item.default for name, item in self.known.items() if item.default is not NOT_LITERAL}
        return {**defaults, **(checked or self.injected)}

    def check(self, name: str, value: Any) -> Any:
        """Return one value in the type of its parameter's default (an int becomes a float where one is due)."""
        parameter = self.get(name)
        value = value.read(parameter.example) if isinstance(value, Typed) else value
        is_default = value is None and parameter.default is None
        try:
            conforming = None if is_default else _conform(value, parameter.example)
            LANGUAGES[self.language].literal(conforming)  # which not every language has
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self.refused(f"{_short(value)} does not fit the parameter '{name}': {error}.") from error
        return conforming

    def several(self, name: str, values: TypedValues | Sequence[Any]) -> Sequence[Any]:
        """Return several values for a name, not yet checked; those that were typed are read as one of its values is."""
        if not isinstance(values, TypedValues):
            return values
        return values.read(self.get(name).example if self.has(name) else None)

    def has(self, name: str) -> bool:
        """Whether the notebook has a parameter of that name, settable or not."""
        normal = unicodedata.normalize("NFKC", name)
        return normal in self.known or self._use(normal) != "none"

    def get(self, name: str) -> Parameter:
        """Return the parameter of that name; `InvalidRequestError` lists those that can be set."""
        normal = unicodedata.normalize("NFKC", name)  # as Python compares names
        parameter = self.known.get(normal) or Parameter(normal, None)
        use = "read" if normal in self.known else self._use(normal)
        if use == "none":
            raise self.refused(f"This notebook has no parameter '{name}'.")
        if use == "assigned":
            raise InvalidRequestError(
                f"The notebook assigns '{name}' before it reads it, so that no other value would have an effect.",
                where=self.notebook,
                next_step="Tag the cell that assigns it `parameters`.",
            )
        if parameter.default is NOT_LITERAL:
            raise self.refused(f"The parameter '{name}' cannot be set: its default is not a literal.")
        return parameter

    def _use(self, name: str) -> Use:
        """Return what a notebook without a `parameters` cell does first with a name.

        Papermill sets any name, in a cell above all others. Where that would have no effect we refuse to.
        """
        if not LANGUAGES[self.language].is_name(name):
            return "none"
        uses = (LANGUAGES[self.language].first_use(source, name) for source in self.undeclared)
        return next((use for use in uses if use != "none"), "none")

    def refused(self, reason: str) -> InvalidRequestError:
        """Return the error for a value that cannot be set; it lists the parameters that can be."""
        settable = (parameter for parameter in self.known.values() if parameter.default is not NOT_LITERAL)
        names = ", ".join(map(str, settable))
        none = "its `parameters` cell assigns no literal" if self.has_cell else "no cell of it is tagged `parameters`"
        advice = f"Its parameters: {names}." if names else f"It has none: {none}."
        return InvalidRequestError(reason, where=self.notebook, next_step=advice)


def read_parameters(notebook: Notebook) -> Parameters:
    """Read the one cell tagged `parameters`, and what a run before this one injected.

    Lines of it that do not assign a literal are passed over: their names cannot be set. A notebook without that cell
    has the parameters that were injected into it, and takes values for names that it reads, as papermill does. Raises
    `InvalidRequestError` if there are several such cells, or the cell cannot be parsed.
    """
    where = str(notebook.path)
    cells = notebook.content["cells"]
    declared = _tagged(cells, DECLARED_TAG)
    if len(declared) > 1:
        raise InvalidRequestError(
            f"Cells {', '.join(str(index + 1) for index in declared)} are all tagged `parameters`; only one may be.",
            where=where,
        )
    language = notebook.language if notebook.language in LANGUAGES else "python"
    injected = {
        name: value
        for index in _tagged(cells, INJECTED_TAG)[:1]
        for name, value in _assignments(source_of(cells[index]), notebook)
        if value is not NOT_LITERAL
    }
    if not declared:
        known = {name: Parameter(name, value) for name, value in injected.items()}
        code = [source_of(cell) for cell in cells if cell["cell_type"] == "code" and INJECTED_TAG not in tags_of(cell)]
        undeclared = code if notebook.language in LANGUAGES else ()
        return Parameters(where, known, language, undeclared=undeclared, has_cell=False)
    source = source_of(cells[declared[0]])
    assigned = dict(_assignments(source, notebook))
    declarations = LANGUAGES[language].examples(source) if notebook.language in LANGUAGES else {}
    found = [_parameter(name, value, source, declarations.get(name)) for name, value in assigned.items()]
    return Parameters(where, {one.name: one for one in found}, language, injected)


def _parameter(name: str, default: Any, source: str, declared: Any) -> Parameter:
    """Return a parameter of a cell; an annotation counts if the default is None or a value of that type."""
    comment = _comment(source, name)
    if default is None or declared is None:
        return Parameter(name, default, comment, declared)
    try:
        return Parameter(name, _conform(default, declared), comment, declared)
    except (TypeError, ValueError):
        return Parameter(name, default, comment)


def _comment(source: str, name: str) -> str:
    """Return the comment on the line that assigns a name; `#` begins one in all languages here."""
    found = re.search(rf"^[ \t]*{re.escape(name)}\b{_TO_COMMENT}", source, re.MULTILINE)
    return found[1].strip() if found else ""


def _tagged(cells: Sequence[Json], tag: str) -> list[int]:
    return [index for index, cell in enumerate(cells) if tag in tags_of(cell)]


def inject(content: Mapping[str, Any], values: Mapping[str, Any], language: str = "python") -> Json:
    """Return a copy of a notebook with a cell that assigns `values`; with no values the notebook stays as it is.

    As papermill does, the cell replaces an earlier injected one, or follows the `parameters` cell, or is the first. In
    a notebook without a `parameters` cell, values of the earlier one that are not given again are kept.
    """
    copied: Json = copy.deepcopy(dict(content))
    if not values:
        return copied
    cells = copied["cells"]
    declared, injected = _tagged(cells, DECLARED_TAG), _tagged(cells, INJECTED_TAG)
    position = (injected or [declared[0] + 1 if declared else 0])[0]
    if injected and not declared:
        earlier = LANGUAGES[language].assignments(source_of(cells[position]))
        values = {**{name: value for name, value in earlier if value is not NOT_LITERAL}, **values}
    copied["cells"] = [cell for cell in cells if INJECTED_TAG not in tags_of(cell)]
    copied["cells"].insert(position, _injected_cell(values, copied, LANGUAGES[language]))
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


def _conform(value: Any, default: Any) -> Any:
    """Return `value` in the type of `default`; `TypeError` or `ValueError` says why it does not fit.

    A default of None, or an element of an empty list, allows whatever a notebook can record.
    """
    if getattr(getattr(value, "dtype", None), "kind", None) in _NUMPY_KINDS:
        value = value.tolist()  # Python's own numbers
    if default is None:
        return None if value is None else _conform(value, _example(value))
    kind = type(default)
    if kind not in _ACCEPTED:
        raise TypeError(f"{kind.__name__} is not a type that a parameter may have{_ADVICE.get(kind.__name__, '')}")
    if not isinstance(value, _ACCEPTED[kind]) or isinstance(value, bool) != (kind is bool):
        raise TypeError(f"{kind.__name__} was expected, not {_kind(value)}")
    return _CONVERTERS[kind](value, default)


def _example(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return value[:0]
    return next((kind() for kind, accepted in _ACCEPTED.items() if isinstance(value, accepted)), value)


def _to_int(value: Any, _default: int) -> int:
    if int(value).bit_length() > _MOST_BITS:
        raise ValueError("a whole number of more than 4,300 digits cannot be recorded")
    return int(value)


def _to_float(value: Any, _default: float) -> float:
    if isinstance(value, numbers.Integral) and int(float(value)) != value:
        raise ValueError("no float is exactly this whole number")
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
    if value.keys() == {NUMBER_KEY}:
        raise ValueError(f"a record means a number by the key '{NUMBER_KEY}'")
    return {str.__str__(key): _conform(item, None) for key, item in value.items()}


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
    bool: lambda value, _: value,
    int: _to_int,
    float: _to_float,
    str: lambda value, _: str.__str__(value),  # an enum's own says something else
    list: _to_sequence,
    tuple: _to_sequence,
    dict: _to_dict,
}


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number that Python does not write
        text = "The number"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _kind(value: Any) -> str:
    name = "None" if value is None else type(value).__name__
    if not isinstance(value, list | tuple) or not value:
        return name
    return f"{name} of {' or '.join(dict.fromkeys(type(element).__name__ for element in value))}"
