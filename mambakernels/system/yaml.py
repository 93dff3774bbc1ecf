"""YAML read and written by the core rules of YAML 1.2, as conda has them: `yes` and `010` are not true and 8.

PyYAML knows the rules of 1.1 only, so its loader gets the plain values of 1.2's section 10.3 instead. ruamel.yaml knows
1.2, and is a second library of 140 kB for what is one table here; it does not keep the text of a plain scalar either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import yaml

_CORE = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
_BASES = {"0o": 8, "0x": 16}
_LOOK_AHEAD = 1000  # characters in which a line of blanks ends


class _Loader(yaml.SafeLoader):
    """Takes tabs between words and at the ends of lines, which 1.2 allows and PyYAML does not."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own name)
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.peek() == "\t" and self._tab_separates():
            while self.peek() in " \t":
                self.forward()
            super().scan_to_next_token()

    def _tab_separates(self) -> bool:
        """Whether the tab here indents nothing: it comes after a word, or ends its line."""
        before, after = self.buffer[self.pointer - self.column : self.pointer], self.buffer[self.pointer :]
        return bool(self.flow_level or before.strip() or re.match(r"[ \t]*(?:[\r\n\0#]|\Z)", after[:_LOOK_AHEAD]))


class _Dumper(yaml.SafeDumper):
    """Quotes a string that either version would read as something else."""


class Written(str):
    """A scalar as it stands in a file, and the number of its line."""

    __slots__ = ("line",)
    line: int


def _scalar(convert: Callable[[str], Any]) -> Callable[[Any, Any], Any]:
    """Return PyYAML's constructor of a scalar from its text."""

    def construct(loader: Any, node: Any) -> Any:
        text = loader.construct_scalar(node)
        try:
            return convert(text)
        except ValueError as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(None, None, f"not a valid {kind}", node.start_mark) from error

    return construct


def _truth(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _number(text: str) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


for _tag, (_pattern, _first) in _CORE.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)
_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": _truth,
    "int": lambda text: int(text, _BASES.get(text[:2], 10)),
    "float": _number,
}
for _tag, _convert in _CONVERTERS.items():
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _scalar(_convert))
for _known in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", None):
    _Loader.yaml_constructors[_known] = yaml.SafeLoader.yaml_constructors[_known]


def load(text: str) -> Any:
    """Return the value of a document; ValueError if it is not YAML, as `line 2, column 6: …`."""
    with _refusals(text):
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)


def plain(text: str) -> Any:
    """Return the value of a text as a plain scalar: null, a bool or a number, else the text itself as it stands."""
    for tag, (pattern, _) in _CORE.items():
        if re.fullmatch(pattern, text):
            return _CONVERTERS[tag](text)
    return text


def load_written(text: str) -> Any:
    """Return the first document of a text, each scalar as `Written`; ValueError as from `load`.

    Plain null is None. Of a key that is given twice, the first value counts at the top and the last below it, as
    micromamba has it.
    """
    with _refusals(text):
        loader = _Loader(text)
        try:
            root = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
        return None if root is None else _written(root, {}, top=True)


def line_of(value: Any) -> int | None:
    """Return the number of the line where a value of `load_written` begins; None if it holds no scalar."""
    if isinstance(value, Written):
        return value.line
    inside = value if isinstance(value, list) else value.keys() if isinstance(value, dict) else ()
    return next((line for item in inside if (line := line_of(item)) is not None), None)


def _written(node: Any, known: dict[int, Any], *, top: bool = False) -> Any:
    """Return a node's value; `known` are those of other nodes, as aliases name them again."""
    if id(node) in known:
        if known[id(node)] is _Loader:
            raise yaml.constructor.ConstructorError(None, None, "an alias inside of what it names", node.start_mark)
        return known[id(node)]
    known[id(node)] = _Loader  # at work on it
    if isinstance(node, yaml.ScalarNode):
        found: Any = None if _is_null(node) else _as_written(node)
    elif isinstance(node, yaml.SequenceNode):
        found = [_written(item, known) for item in node.value]
    else:
        pairs = node.value[::-1] if top else node.value
        found = {_key(key): _written(value, known) for key, value in pairs}
        found = dict(reversed(found.items())) if top else found
    known[id(node)] = found
    return found


def _key(node: Any) -> Written:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(None, None, "a key that is not a word", node.start_mark)
    return _as_written(node)


def _is_null(node: Any) -> bool:
    return node.style is None and node.tag == "tag:yaml.org,2002:null"


def _as_written(node: Any) -> Written:
    found = Written(node.value)
    found.line = node.start_mark.line + 1
    return found


@contextmanager
def _refusals(text: str) -> Iterator[None]:
    """Turn PyYAML's errors into a ValueError with line and column."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(filter(None, (error.problem, error.context)))
        raise ValueError(f"line {mark.line + 1}, column {mark.column + 1}: {words}" if mark else words) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        raise ValueError(f"line {len(before)}, column {len(before[-1]) + 1}: {error.reason}") from error
    except RecursionError as error:
        raise ValueError("lists in it are nested too deeply") from error


def dump(content: Any) -> str:
    """Return a value as a document, its keys in their order."""
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
