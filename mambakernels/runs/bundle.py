"""The measurement bundle that notebooks publish: decoded once, here, from untrusted JSON into frozen types.

The contract is `mambakernels.numeric.schema`'s; what a revision of it did not have yet is None or empty here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mambakernels.numeric.schema import MIME_TYPE, SCHEMA, SchemaError, validate

__all__ = ["MIME_TYPE", "SCHEMA", "Bundle", "BundleError", "Measurement", "Probe", "decode"]

Json = Mapping[str, Any]


class BundleError(ValueError):
    """A bundle does not keep the contract; the message says which field, and how. Its reader adds the place."""


@dataclass(frozen=True)
class Probe:
    """What the kernel found out about itself: the libraries that really ran, and the machine.

    `peak_gflops` is the theoretical peak of one core in double precision, in 10⁹ flops per second.
    """

    python: str
    numpy: str
    blas: str
    blas_version: str | None
    architecture: str | None
    threads: int | None
    library: str | None
    lapack: str
    cpu: str
    cores: int
    system: str
    peak_gflops: float | None


@dataclass(frozen=True)
class Measurement:
    """One timed operation: `samples` and `first_call` in seconds per call, `flops` and `bytes` per call."""

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
    error: float | None = None
    first_call: float | None = None
    stability: str | None = None
    remark: str | None = None
    fingerprint: str | None = None
    reproduced: bool | None = None


@dataclass(frozen=True)
class Bundle:
    """Everything one output publishes; `code` is the hash of the sources that measured, `findings` speak against it."""

    code: str
    probe: Probe
    findings: tuple[str, ...]
    measurements: tuple[Measurement, ...]


def decode(content: object) -> Bundle:
    """Check a bundle against the contract and return it typed; `BundleError` if it does not keep it."""
    try:
        validate(content)
    except SchemaError as error:
        raise BundleError(str(error)) from error
    assert isinstance(content, dict)
    return Bundle(
        code=content["code"]["sha256"],
        probe=_probe(content["probe"]),
        findings=tuple(finding["text"] for finding in content.get("findings", ())),
        measurements=tuple(_measurement(item) for item in content["measurements"]),
    )


def _probe(probe: Json) -> Probe:
    blas, machine = probe["blas"], probe["machine"]
    return Probe(
        python=probe["python"],
        numpy=probe["numpy"],
        blas=blas["name"],
        blas_version=blas["version"],
        architecture=blas["architecture"],
        threads=blas["threads"],
        library=blas["library"],
        lapack=probe["lapack"]["name"],
        cpu=machine["cpu"],
        cores=machine["cores"],
        system=machine["system"],
        peak_gflops=machine.get("peak", {}).get("gflops_per_core"),
    )


def _measurement(item: Json) -> Measurement:
    known = {field.name: item[field.name] for field in fields(Measurement) if field.name in item}
    return Measurement(**{**known, "samples": tuple(map(float, item["samples"]))})
