"""YAML read and written by the core rules of YAML 1.2, as conda has them: `yes` and `010` are not true and 8.

PyYAML knows the rules of 1.1 only, so its loader gets the plain values of 1.2's section 10.3 instead.
"""

from __future__ import annotations

import re
from typing import Any

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


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own name)


class _Dumper(yaml.SafeDumper):
    """Quotes a string that either version would read as something else."""


for _tag, (_pattern, _first) in _CORE.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value, _BASES.get(node.value[:2], 10)))


def load(text: str) -> Any:
    """Return the value of a document; ValueError if it is not YAML, as `line 2, column 6: …`."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(filter(None, (error.problem, error.context)))
        raise ValueError(f"line {mark.line + 1}, column {mark.column + 1}: {words}" if mark else words) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        raise ValueError(f"line {len(before)}, column {len(before[-1]) + 1}: {error.reason}") from error


def dump(content: Any) -> str:
    """Return a value as a document, its keys in their order."""
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
