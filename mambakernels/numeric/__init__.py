"""Measuring NumPy and the BLAS under it, inside any kernel: it needs NumPy and the standard library only.

    from mambakernels.numeric import measure, probe, publish

    publish(measure(["gemm", "dot"], [256, 512]))

A name is imported when it is first used, since `set_threads` must run before NumPy is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambakernels.numeric.bundle import MIME_TYPE as MIME_TYPE
    from mambakernels.numeric.bundle import json_schema as json_schema
    from mambakernels.numeric.measurement import Measurement as Measurement
    from mambakernels.numeric.measuring import PreparedCall as PreparedCall
    from mambakernels.numeric.measuring import measure as measure
    from mambakernels.numeric.measuring import prepare as prepare
    from mambakernels.numeric.operations import DTYPES as DTYPES
    from mambakernels.numeric.operations import OPERATIONS as OPERATIONS
    from mambakernels.numeric.operations import Operation as Operation
    from mambakernels.numeric.operations import available_operations as available_operations
    from mambakernels.numeric.probing import Probe as Probe
    from mambakernels.numeric.probing import probe as probe
    from mambakernels.numeric.publishing import mime_bundle as mime_bundle
    from mambakernels.numeric.publishing import publish as publish
    from mambakernels.numeric.rules import Finding as Finding
    from mambakernels.numeric.rules import findings as findings
    from mambakernels.numeric.source import code_hash as code_hash
    from mambakernels.numeric.threads import set_threads as set_threads
    from mambakernels.numeric.timing import Sampling as Sampling
    from mambakernels.numeric.timing import time_call as time_call

_NAMES = {
    "bundle": "MIME_TYPE json_schema",
    "measurement": "Measurement",
    "measuring": "PreparedCall measure prepare",
    "operations": "DTYPES OPERATIONS Operation available_operations",
    "probing": "Probe probe",
    "publishing": "mime_bundle publish",
    "rules": "Finding findings",
    "source": "code_hash",
    "threads": "set_threads",
    "timing": "Sampling time_call",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = [*_HOMES]  # noqa: PLE0604 (texts)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
