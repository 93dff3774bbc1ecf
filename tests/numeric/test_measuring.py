# ruff: noqa: N803 (a matrix is a capital letter)
from __future__ import annotations

import json
import sys
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from mambakernels.numeric import DTYPES, OPERATIONS, measure
from mambakernels.numeric.measuring import Measurement, measure_one
from mambakernels.numeric.timing import Sampling

QUICK: dict[str, Any] = {"repeats": 2, "min_sample": 1e-4}
SAMPLING = Sampling(**QUICK)


def test_every_operation_size_and_dtype_is_measured_in_order() -> None:
    measured = measure(list(OPERATIONS), [3, 16], dtypes=DTYPES, **QUICK)
    assert [(m.operation, m.size, m.dtype) for m in measured] == [
        (name, n, dtype) for name in OPERATIONS for n in (3, 16) for dtype in DTYPES
    ]
    assert all(m.correct for m in measured)
    assert all(len(m.samples) == 2 and m.median > 0 for m in measured)


def test_a_measurement_carries_what_readers_need() -> None:
    (m,) = measure(["gemm"], [32], **QUICK)
    fields = m.as_dict()
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    assert fields | {"samples": [], "loops": 0, "residual": 0.0, "threads": 0} == {
        "operation": "gemm",
        "routine": "dgemm",
        "dtype": "float64",
        "size": 32,
        "shape": {"m": 32, "n": 32, "k": 32},
        "flops": 65536,
        "flops_nominal": False,
        "bytes": 24576.0,
        "control": False,
        "threads": 0,
        "loops": 0,
        "samples": [],
        "residual": 0.0,
        "residual_bound": pytest.approx(16 * 32**0.5 * np.finfo("float64").eps),
    }
    assert m.threads is None or m.threads >= 1
    assert m.gflops == pytest.approx(65536 / m.median / 1e9)


def test_a_measurement_cannot_be_changed() -> None:
    (m,) = measure(["exp"], [4], **QUICK)
    assert m.gflops is None
    with pytest.raises(FrozenInstanceError):
        m.residual = 0.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        m.shape["n"] = 1  # type: ignore[index]


def corrupted(name: str, corrupt: Any) -> Measurement:
    right = OPERATIONS[name]
    wrong = replace(right, call=lambda *given: corrupt(right.call(*given)))
    return measure_one(wrong, 24, "float64", sampling=SAMPLING)


def _one_entry_lost(C: np.ndarray) -> np.ndarray:
    C[5, 7] = 0.0
    return C


def test_a_library_that_loses_one_entry_is_caught() -> None:
    assert not corrupted("gemm", _one_entry_lost).correct


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["gemm", "gemv", "dot", "syrk", "cholesky", "solve", "fft", "exp"])
def test_what_is_no_number_is_wrong_and_still_json(name: str, bad: float) -> None:
    m = corrupted(name, lambda result: np.full_like(result, bad))
    assert m.residual == sys.float_info.max
    assert not m.correct
    json.dumps(m.as_dict(), allow_nan=False)


def test_a_library_that_is_wrong_only_later_is_caught() -> None:
    made = 0

    def wrong_but_for_the_first(C: np.ndarray) -> np.ndarray:
        nonlocal made
        made += 1
        return C if made == 1 else C + 1

    assert not corrupted("gemm", wrong_but_for_the_first).correct


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["gemn"], [8]), "operations has 'gemn', which is not among: gemm, gemv, dot"),
        (("gemm", [8]), "operations must be a list with some of: gemm"),
        (([], [8]), "operations must be a list with some of: gemm"),
        ((["gemm"], []), "sizes must be a list"),
        ((["gemm"], 8), "sizes must be a list"),
        ((["gemm"], [0]), "sizes must hold whole numbers of at least 1, not 0"),
        ((["gemm"], [8.0]), "sizes must hold whole numbers of at least 1, not 8.0"),
        ((["gemm"], [True]), "sizes must hold whole numbers of at least 1, not True"),
        ((["gemm"], [10_000_000]), "size 10000000 means arrays of 10000000² numbers, .* GB"),
    ],
)
def test_what_is_not_allowed_is_named_with_what_is(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(*arguments)


def test_an_unknown_dtype_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="dtypes has 'float16', which is not among: float32, float64, complex128"):
        measure(["gemm"], [8], dtypes=["float16"])


def test_settings_are_checked_before_anything_is_measured() -> None:
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1, not 0"):
        measure(["gemm"], [8], repeats=0)
