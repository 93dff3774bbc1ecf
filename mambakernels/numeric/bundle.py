"""The bundle of measurements that a notebook publishes, and its JSON Schema.

The bundle is one JSON object in an output of MIME type `MIME_TYPE`, with the fields of `Bundle`. The schema follows
from the dataclasses' annotations: a whole number counts something (at least 1), a number is an amount (at least 0), a
`Literal` lists the values allowed, and an unknown field is refused, so that a misspelt one is found.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from mambakernels.numeric.measurement import Measurement
from mambakernels.numeric.probing import Probe
from mambakernels.numeric.rules import Severity

MIME_TYPE = "application/vnd.mambakernels.measurements+json"
PROOF_MIME_TYPE = "application/vnd.mambakernels.proof+json"
"""For every table of runs, which BLAS was proven: `{"blas": "mkl"}`."""
SCHEMA = 1
PACKAGE = "mambakernels-numeric"

Json = dict[str, Any]

_SCALARS: Mapping[type, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 1},
    float: {"type": "number", "minimum": 0},
}


@dataclass(frozen=True)
class MeasuringCode:
    """The code that measured."""

    package: str
    sha256: Annotated[str, {"pattern": "^[0-9a-f]{64}$"}, "over the package's sources, in hexadecimal"]


@dataclass(frozen=True)
class PublishedFinding:
    """A reason to doubt measurements, as `Finding.as_dict` writes it."""

    rule: str
    severity: Severity
    text: str


@dataclass(frozen=True)
class Bundle:
    """The content of one output; `schema` rises when an older reader would misread it."""

    schema: Literal[1]
    code: MeasuringCode
    probe: Annotated[Probe, "the software that ran, and the machine"]
    findings: Annotated[tuple[PublishedFinding, ...], "reasons to doubt the measurements"]
    measurements: tuple[Measurement, ...]


def json_schema() -> Json:
    """Return the JSON Schema (2020-12) of a bundle."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_rule(Bundle)}


def _rule(kind: Any) -> Json:
    """Return the JSON Schema of a type."""
    if isinstance(kind, type) and kind in _SCALARS:
        return dict(_SCALARS[kind])
    if is_dataclass(kind):
        rules = {name: _rule(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
        names = [field.name for field in fields(kind)]
        properties = {name: rules[name] for name in names}
        return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}
    return _COMPOSED[get_origin(kind)](*get_args(kind))


def _or_null(*options: Any) -> Json:
    rule = _rule(next(option for option in options if option is not NoneType))
    return rule | ({"enum": [*rule["enum"], None]} if "enum" in rule else {"type": [rule["type"], "null"]})


def _annotated(kind: Any, *extras: str | Json) -> Json:
    rule = _rule(kind)
    for extra in extras:
        rule |= {"description": extra} if isinstance(extra, str) else extra
    return rule


_COMPOSED: Mapping[Any, Callable[..., Json]] = {
    Annotated: _annotated,
    Union: _or_null,
    UnionType: _or_null,
    Literal: lambda *values: {"enum": [*values]},
    tuple: lambda kind, *_: {"type": "array", "items": _rule(kind)},
    collections.abc.Mapping: lambda _, kind: {"type": "object", "additionalProperties": _rule(kind)},
}
