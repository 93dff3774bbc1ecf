"""Measuring NumPy and the BLAS under it, inside any kernel: NumPy and the standard library are all it needs.

    from mambakernels.numeric import measure, probe, publish

    publish(measure(["gemm", "dot"], [256, 512]))

Nothing is loaded, NumPy included, before it is asked for: `mambakernels.numeric.threads` must come before NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambakernels.numeric.bundle import MIME_TYPE, json_schema
    from mambakernels.numeric.measurement import Measurement
    from mambakernels.numeric.measuring import PreparedCall, measure, prepare
    from mambakernels.numeric.operations import DTYPES, OPERATIONS, Operation, available_operations
    from mambakernels.numeric.probing import Probe, probe
    from mambakernels.numeric.publishing import mime_bundle, publish
    from mambakernels.numeric.rules import Finding, findings
    from mambakernels.numeric.source import code_hash
    from mambakernels.numeric.threads import set_threads
    from mambakernels.numeric.timing import Sampling, time_call

__all__ = [
    "DTYPES",
    "MIME_TYPE",
    "OPERATIONS",
    "Finding",
    "Measurement",
    "Operation",
    "PreparedCall",
    "Probe",
    "Sampling",
    "available_operations",
    "code_hash",
    "findings",
    "json_schema",
    "measure",
    "mime_bundle",
    "prepare",
    "probe",
    "publish",
    "set_threads",
    "time_call",
]

_HOMES = {
    "bundle": ("MIME_TYPE", "json_schema"),
    "measurement": ("Measurement",),
    "measuring": ("PreparedCall", "measure", "prepare"),
    "operations": ("DTYPES", "OPERATIONS", "Operation", "available_operations"),
    "rules": ("Finding", "findings"),
    "probing": ("Probe", "probe"),
    "publishing": ("mime_bundle", "publish"),
    "source": ("code_hash",),
    "threads": ("set_threads",),
    "timing": ("Sampling", "time_call"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
