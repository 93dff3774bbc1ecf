"""Measurements that nobody measured: what `bench` would give, with the figures that a test wants to see judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mambakernels.bench.cases import Case, Settings
from mambakernels.bench.measured import COLUMNS, Measured, MeasuredKernel, visit_row
from mambakernels.bench.published import frame_of
from mambakernels.numeric import Measurement

MACHINE: Mapping[str, Any] = {
    "cpu": "A processor",
    "cores": 2,
    "quota": None,
    "load": [0.1, 0.1, 0.1],
    "system": "Linux 6",
    "instruction_sets": ["sse2", "sse4_2", "avx", "fma", "avx2", "avx512f"],
    "governor": None,
    "peak": {"gflops_per_core": 100.0, "how": "made up"},
}
BLAS: Mapping[str, Any] = {
    "name": "openblas", "library": "/env/lib/libopenblas.so", "version": "0.3.30", "architecture": "SkylakeX",
    "threads": 1, "build": None, "proven": True,
}  # fmt: skip
GEMM = Case("gemm", "float64", 256)
SVD = Case("svd", "float64", 256)
FFT = Case("fft", "float64", 64, control=True)
ROUTINES = {"gemm": "dgemm", "svd": "dgesdd", "solve": "dgesv", "dot": "ddot", "cholesky": "dpotrf"}


def kernel(name: str = "a", asked: int | None = 1, **changes: Any) -> MeasuredKernel:
    """Return a kernel as it ran; `blas`, `machine`, `probe` and `facts` replace single facts."""
    probe = {
        "numpy": "2.4.0",
        "numpy_file": "/env/lib/numpy/__init__.py",
        "python": "3.11.7",
        "prefix": "/env",
        "functions": {},
        "packages": {},
        "blas": {**BLAS, **changes.pop("library", {})},
        "lapack": {"name": "openblas", "version": None, "library": "/env/lib/libopenblas.so"},
        "machine": {**MACHINE, **changes.pop("machine", {})},
        "variables": {},
        "openmp": [],
        **changes.pop("probe", {}),
    }
    facts = {"pid": 1, "code": "c0de", "working": probe["blas"]["threads"], **changes.pop("facts", {})}
    return MeasuredKernel(name, asked, {**facts, "probe": probe}, **changes)


def measurement(case: Case, seconds: float, **changes: Any) -> Measurement:
    """Return what a kernel measures at a visit."""
    fields = {
        "operation": case.operation,
        "routine": None if case.control else ROUTINES[case.operation],
        "dtype": case.dtype,
        "size": case.size,
        "shape": {"n": case.size},
        "control": case.control,
        "threads": 1,
        "flops": 2.0 * case.size**3,
        "flops_nominal": False,
        "bytes": 24.0 * case.size**2,
        "loops": 10,
        "first_call": seconds * 2,
        "stability": "too short",
        "remark": "2 samples: too few to tell noise from drift.",
        "residual": 1e-16,
        "residual_bound": 1e-14,
        "error": None if case.control else 0.25,
        "fingerprint": "f1",
        "reproduced": None,
        "alone": True,
        "samples": (seconds, seconds),
        "cpu_samples": (seconds, seconds),
        "disturbed": (False, False),
    }
    return Measurement(**{name: changes.get(name, value) for name, value in fields.items()})


def visits(one: MeasuredKernel, case: Case, seconds: Sequence[float], **changes: Any) -> Iterator[dict[str, Any]]:
    """Yield a row per round in which the kernel took so many seconds."""
    for number, least in enumerate(seconds):
        circumstances = {"round": number, "position": 0, "elapsed": float(number), "others": 0.0}
        circumstances |= {name: changes[name] for name in circumstances if name in changes}
        yield visit_row(one, measurement(case, least, **changes), circumstances)


def measured(kernels: Sequence[MeasuredKernel], rows: Sequence[Mapping[str, Any]], **changes: Any) -> Measured:
    """Put rows and kernels together as what `measure` returns."""
    frame = frame_of(rows, COLUMNS)
    keys = frame[["operation", "dtype", "size", "control"]].drop_duplicates().itertuples(index=False)
    settings = Settings(
        kernels=tuple(dict.fromkeys(one.kernel for one in kernels)),
        cases=tuple(Case(str(key.operation), str(key.dtype), int(key.size), bool(key.control)) for key in keys),
        threads=tuple(dict.fromkeys(one.asked for one in kernels if one.asked is not None)),
    )
    whole = Measured(
        frame=frame, kernels=tuple(kernels), settings=settings, canary=(0.003,) * 8,
        started="2026-01-01T00:00:00+00:00", host="here", seconds=10.0,
        rounds=len(set(frame["round"])),
    )  # fmt: skip
    return replace(whole, **changes)


def noisy(generator: np.random.Generator, seconds: float, rounds: int, *, spread: float = 0.03) -> list[float]:
    """Return seconds as a busy machine gives them: each round's estimate, now and then far too long.

    Harsher than 572 visits showed on two cores with six runnable processes: 3 % around the middle, one visit in sixteen
    longer by half and more (seen: one in seventy), and half a percent of its own that each process keeps.
    """
    own = 1 + 0.005 * generator.standard_normal()
    usual = 1 + spread * np.abs(generator.standard_normal(rounds))
    disturbed = np.where(generator.random(rounds) < 1 / 16, 1 + generator.exponential(0.7, rounds), 1.0)
    times: list[float] = (seconds * own * usual * disturbed).tolist()
    return times


def as_json(frame: Any) -> Any:
    """Return a frame as a program reads it."""
    return json.loads(frame.to_json(orient="records"))
