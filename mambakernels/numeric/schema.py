"""The contract of what a notebook publishes, as a JSON Schema, and a check of it that needs no library.

The bundle, MIME type `application/vnd.mambakernels.measurements+json`, is one object:

- `schema`: 1. It rises when a reader of the old one would misread the new one.
- `revision`: 2. It rises when fields are added, which readers may ignore; the first bundles had none (revision 0).
- `code`: which code measured: `package`, and `sha256` over its sources.
- `probe`: what ran, on what: see `mambakernels.numeric.Probe`.
- `findings` (revision 1): what speaks against the measurements: see `mambakernels.numeric.rules.Finding`.
- `measurements`: see `mambakernels.numeric.Measurement`; seconds per call, bytes and flops per call; `error`
  (revision 2) in units of the dtype's eps.

`json_schema` returns the whole in the words of JSON Schema 2020-12. `validate` understands those words of it that are
used here, and is what `collect` calls. Fields that a revision does not know are refused, so that a misspelt one is
found; a bundle of a later revision may have more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MIME_TYPE = "application/vnd.mambakernels.measurements+json"
SCHEMA = 1
REVISION = 2

Json = Mapping[str, Any]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class SchemaError(ValueError):
    """A bundle does not keep the contract; the message names the field and says how."""


def validate(content: object) -> None:
    """Check that a bundle keeps the contract of its revision; SchemaError names the first field that does not."""
    if not isinstance(content, dict):
        raise SchemaError(f"bundle must be object, not {_type_name(content)}")
    if content.get("schema") != SCHEMA or isinstance(content["schema"], bool):
        raise SchemaError(f"schema {content.get('schema')!r} is not known to this version, which reads {SCHEMA}")
    revision = content.get("revision", 0)
    if isinstance(revision, bool) or not isinstance(revision, int) or revision < 0:
        raise SchemaError(f"bundle.revision must be a whole number of at least 0, not {revision!r}")
    complaint = next(_complaints(content, json_schema(revision), "bundle"), None)
    if complaint:
        raise SchemaError(complaint)


def json_schema(revision: int = REVISION) -> dict[str, Any]:
    """Return the JSON Schema of a revision; of one later than this version knows, the latest with more allowed."""
    fields = {
        "schema": {"const": SCHEMA},
        "code": _object({"package": _TEXT, "sha256": _HASH if revision else _TEXT}, revision),
        "probe": _object(_probe(revision), revision),
        "measurements": {"type": "array", "items": _object(_measurement(revision), revision)},
    }
    if revision:
        fields["revision"] = {"type": "integer", "minimum": 1}
        fields["findings"] = {"type": "array", "items": _object(_FINDING, revision)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_object(fields, revision)}


def _type(*names: str) -> Json:
    return {"type": names[0] if len(names) == 1 else list(names)}


_TEXT = _type("string")
_TEXT_OR_NONE = _type("string", "null")
_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_FLAG = _type("boolean")
_FLAG_OR_NONE = _type("boolean", "null")
_COUNT = {"type": "integer", "minimum": 1}
_COUNT_OR_NONE = {"type": ["integer", "null"], "minimum": 1}
_AMOUNT = {"type": "number", "minimum": 0}
_AMOUNT_OR_NONE = {"type": ["number", "null"], "minimum": 0}
_TEXTS = {"type": "array", "items": _TEXT}
_TEXT_BY_NAME = {"type": "object", "additionalProperties": _TEXT}
_FINDING: Json = {"rule": _TEXT, "severity": {"enum": ["error", "warning", "note"]}, "text": _TEXT}
_BLAS: Json = {
    "name": _TEXT,
    "library": _TEXT_OR_NONE,
    "version": _TEXT_OR_NONE,
    "architecture": _TEXT_OR_NONE,
    "threads": _COUNT_OR_NONE,
    "threading_layer": _TEXT_OR_NONE,
    "integer_bits": {"enum": [32, 64, None]},
    "build": _TEXT_OR_NONE,
}
_LAPACK: Json = {"name": _TEXT, "library": _TEXT_OR_NONE, "version": _TEXT_OR_NONE}
_MACHINE: Json = {
    "cpu": _TEXT,
    "instruction_sets": _TEXTS,
    "cores": _COUNT,
    "quota": _AMOUNT_OR_NONE,
    "load": {"type": ["array", "null"], "items": _AMOUNT},
    "memory_bytes": _COUNT_OR_NONE,
    "system": _TEXT,
    "architecture": _TEXT,
}
_MACHINE_1: Json = {"virtual": _FLAG_OR_NONE, "governor": _TEXT_OR_NONE, "ghz": _AMOUNT_OR_NONE}
_PEAK: Json = {"gflops_per_core": _AMOUNT_OR_NONE, "how": _TEXT}
_PROBE: Json = {
    "python": _TEXT,
    "implementation": _TEXT,
    "numpy": _TEXT,
    "numpy_file": _TEXT,
    "prefix": _TEXT,
    "libraries": _TEXTS,
    "openmp": _TEXTS,
    "variables": _TEXT_BY_NAME,
}
_PROBE_1: Json = {"functions": _TEXT_BY_NAME, "packages": _TEXT_BY_NAME}
_MEASUREMENT: Json = {
    "operation": _TEXT,
    "routine": _TEXT_OR_NONE,
    "dtype": _TEXT,
    "size": _COUNT,
    "shape": {"type": "object", "additionalProperties": _COUNT},
    "flops": _AMOUNT_OR_NONE,
    "flops_nominal": _FLAG,
    "bytes": _AMOUNT_OR_NONE,
    "control": _FLAG,
    "threads": _COUNT_OR_NONE,
    "loops": _COUNT,
    "samples": {"type": "array", "items": _AMOUNT, "minItems": 1},
    "residual": _AMOUNT_OR_NONE,
    "residual_bound": _AMOUNT_OR_NONE,
}
_MEASUREMENT_1: Json = {
    "first_call": _AMOUNT,
    "stability": {"enum": ["stable", "noisy", "drifting", "too short"]},
    "remark": _TEXT,
    "fingerprint": _TEXT,
    "reproduced": _FLAG_OR_NONE,
}
_MEASUREMENT_2: Json = {"error": _AMOUNT_OR_NONE}


def _probe(revision: int) -> Json:
    blas = {**_BLAS, "proven": _FLAG_OR_NONE} if revision else _BLAS
    machine = {**_MACHINE, **_MACHINE_1, "peak": _object(_PEAK, revision)} if revision else _MACHINE
    nested = {"blas": blas, "lapack": _LAPACK, "machine": machine}
    added = _PROBE_1 if revision else {}
    return {**_PROBE, **added, **{name: _object(fields, revision) for name, fields in nested.items()}}


def _measurement(revision: int) -> Json:
    added = (_MEASUREMENT_1, _MEASUREMENT_2)[:revision]
    return {name: rule for fields in (_MEASUREMENT, *added) for name, rule in fields.items()}


def _object(fields: Json, revision: int) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(fields),
        "required": list(fields),
        "additionalProperties": revision > REVISION,
    }


def _complaints(value: object, rule: Json, where: str) -> Iterator[str]:
    """Yield how a value breaks a rule, for the words of JSON Schema that are used above."""
    names = rule.get("type", [])
    kinds = [names] if isinstance(names, str) else names
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where} must be {' or '.join(kinds)}, not {_shown(value)}"
        return
    yield from _constraints(value, rule, where)
    if isinstance(value, dict):
        yield from _members(value, rule, where)
    if isinstance(value, list) and "items" in rule:
        for index, item in enumerate(value):
            yield from _complaints(item, rule["items"], f"{where}[{index}]")


def _constraints(value: object, rule: Json, where: str) -> Iterator[str]:
    if "const" in rule and (value != rule["const"] or isinstance(value, bool)):
        yield f"{where} must be {rule['const']!r}, not {_shown(value)}"
    if "enum" in rule and not any(value == one and type(value) is type(one) for one in rule["enum"]):
        yield f"{where} must be one of {', '.join(map(repr, rule['enum']))}, not {_shown(value)}"
    if "pattern" in rule and isinstance(value, str) and not re.search(rule["pattern"], value):
        yield f"{where} must match {rule['pattern']}, not {_shown(value)}"
    if "minimum" in rule and isinstance(value, int | float) and not value >= rule["minimum"]:
        yield f"{where} must be at least {rule['minimum']}, not {_shown(value)}"
    if isinstance(value, list) and len(value) < rule.get("minItems", 0):
        yield f"{where} must have at least {rule['minItems']} items, not {len(value)}"


def _members(record: Mapping[str, object], rule: Json, where: str) -> Iterator[str]:
    yield from (f"{where}.{name} is missing" for name in rule.get("required", []) if name not in record)
    known, others = rule.get("properties", {}), rule.get("additionalProperties", True)
    for name, value in record.items():
        if name in known:
            yield from _complaints(value, known[name], f"{where}.{name}")
        elif others is False:
            yield f"{where}.{name} is not known to its revision of the contract"
        elif others is not True:
            yield from _complaints(value, others, f"{where}.{name}")


def _is(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _type_name(value: object) -> str:
    return next((kind for kind in _TYPES if _is(value, kind)), type(value).__name__)


def _shown(value: object) -> str:
    return _type_name(value) if isinstance(value, dict | list) else repr(value)
