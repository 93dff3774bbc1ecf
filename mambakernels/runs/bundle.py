"""The measurement bundle that notebooks publish: decoded once, here, from untrusted JSON into frozen types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MIME_TYPE = "application/vnd.mambakernels.measurements+json"
SCHEMA = 1

Kinds = tuple[type, ...]

_TEXT: Kinds = (str,)
_TEXT_OR_NONE: Kinds = (str, type(None))
_COUNT: Kinds = (int,)
_COUNT_OR_NONE: Kinds = (int, type(None))
_NUMBER: Kinds = (int, float)
_NUMBER_OR_NONE: Kinds = (int, float, type(None))
_FLAG: Kinds = (bool,)
_TABLE: Kinds = (dict,)
_ROW: Kinds = (list,)

_BUNDLE: Mapping[str, Kinds] = {"schema": _COUNT, "code": _TABLE, "probe": _TABLE, "measurements": _ROW}
_CODE: Mapping[str, Kinds] = {"package": _TEXT, "sha256": _TEXT}
_PROBE: Mapping[str, Kinds] = {
    "python": _TEXT,
    "numpy": _TEXT,
    "blas": _TABLE,
    "lapack": _TABLE,
    "machine": _TABLE,
}
_BLAS: Mapping[str, Kinds] = {
    "name": _TEXT,
    "library": _TEXT_OR_NONE,
    "version": _TEXT_OR_NONE,
    "architecture": _TEXT_OR_NONE,
    "threads": _COUNT_OR_NONE,
}
_LAPACK: Mapping[str, Kinds] = {"name": _TEXT, "version": _TEXT_OR_NONE}
_MACHINE: Mapping[str, Kinds] = {"cpu": _TEXT_OR_NONE, "cores": _COUNT_OR_NONE, "system": _TEXT_OR_NONE}
_MEASUREMENT: Mapping[str, Kinds] = {
    "operation": _TEXT,
    "routine": _TEXT_OR_NONE,
    "dtype": _TEXT,
    "size": _COUNT,
    "shape": _TABLE,
    "flops": _NUMBER_OR_NONE,
    "flops_nominal": _FLAG,
    "bytes": _NUMBER_OR_NONE,
    "control": _FLAG,
    "threads": _COUNT_OR_NONE,
    "loops": _COUNT,
    "samples": _ROW,
    "residual": _NUMBER_OR_NONE,
    "residual_bound": _NUMBER_OR_NONE,
}


class BundleError(ValueError):
    """A bundle does not keep the contract; the message says which field, and how. Its reader adds the place."""


@dataclass(frozen=True)
class Probe:
    """What the kernel found out about itself: the libraries that really ran, and the machine."""

    python: str
    numpy: str
    blas: str
    blas_version: str | None
    architecture: str | None
    threads: int | None
    library: str | None
    lapack: str
    cpu: str | None
    cores: int | None
    system: str | None


@dataclass(frozen=True)
class Measurement:
    """One timed operation: `samples` in seconds per call, `flops` and `bytes` per call."""

    operation: str
    routine: str | None
    dtype: str
    size: int
    shape: Mapping[str, int]
    flops: float | None
    flops_nominal: bool
    bytes: float | None
    control: bool
    threads: int | None
    loops: int
    samples: tuple[float, ...]
    residual: float | None
    residual_bound: float | None


@dataclass(frozen=True)
class Bundle:
    """Everything one output publishes; `code` is the hash of the sources that measured."""

    code: str
    probe: Probe
    measurements: tuple[Measurement, ...]


def decode(content: object) -> Bundle:
    """Check a bundle against the contract and return it typed; `BundleError` if it does not keep it."""
    bundle = _record(content, "bundle")
    if bundle.get("schema") != SCHEMA:
        raise BundleError(f"schema {bundle.get('schema')!r} is not known to this version, which reads {SCHEMA}")
    _check(bundle, _BUNDLE, "bundle")
    code = _checked(bundle["code"], _CODE, "code")
    measurements = enumerate(bundle["measurements"])
    return Bundle(
        code=code["sha256"],
        probe=_probe(bundle["probe"]),
        measurements=tuple(_measurement(item, f"measurements[{number}]") for number, item in measurements),
    )


def _probe(content: object) -> Probe:
    probe = _checked(content, _PROBE, "probe")
    blas = _checked(probe["blas"], _BLAS, "probe.blas")
    lapack = _checked(probe["lapack"], _LAPACK, "probe.lapack")
    machine = _checked(probe["machine"], _MACHINE, "probe.machine")
    return Probe(
        python=probe["python"],
        numpy=probe["numpy"],
        blas=blas["name"],
        blas_version=blas["version"],
        architecture=blas["architecture"],
        threads=blas["threads"],
        library=blas["library"],
        lapack=lapack["name"],
        cpu=machine["cpu"],
        cores=machine["cores"],
        system=machine["system"],
    )


def _measurement(content: object, where: str) -> Measurement:
    fields = _checked(content, _MEASUREMENT, where)
    samples = _samples(fields["samples"], f"{where}.samples")
    return Measurement(**{name: fields[name] for name in _MEASUREMENT} | {"samples": samples})


def _samples(content: Sequence[object], where: str) -> tuple[float, ...]:
    numbers = [float(item) for item in content if isinstance(item, int | float) and not isinstance(item, bool)]
    if len(numbers) != len(content) or not numbers or min(numbers) < 0:
        raise BundleError(f"{where} must be one or more seconds, not {content!r}")
    return tuple(numbers)


def _checked(content: object, fields: Mapping[str, Kinds], where: str) -> Mapping[str, Any]:
    record = _record(content, where)
    _check(record, fields, where)
    return record


def _record(content: object, where: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise BundleError(f"{where} must be an object, not {type(content).__name__}")
    return content


def _check(record: Mapping[str, Any], fields: Mapping[str, Kinds], where: str) -> None:
    for name, kinds in fields.items():
        if name not in record:
            raise BundleError(f"{where}.{name} is missing")
        value = record[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise BundleError(f"{where}.{name} must be {names}, not {value!r}")
