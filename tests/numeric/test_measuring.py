# ruff: noqa: N803 (a matrix is a capital letter)
from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any

import numpy as np
import pytest

from mambakernels.numeric import DTYPES, OPERATIONS, measure, prepare
from mambakernels.numeric.measuring import Measurement, PreparedCall, measure_one, result_fingerprint
from mambakernels.numeric.timing import Sampling, Timing, stability

QUICK: dict[str, Any] = {"repeats": 2, "min_sample": 1e-4, "least": 1e-9}
SAMPLING = Sampling(**QUICK)


@pytest.mark.slow
def test_every_operation_size_and_dtype_is_measured_in_order() -> None:
    names = [name for name, operation in OPERATIONS.items() if operation.needs is None]
    measured = measure(names, [5], dtypes=DTYPES, **QUICK)
    assert [(m.operation, m.size, m.dtype) for m in measured] == [
        (name, 5, dtype) for name in names for dtype in DTYPES
    ]
    assert all(m.correct for m in measured)
    assert all(len(m.samples) == 2 and m.seconds > 0 for m in measured)


def test_a_measurement_carries_what_readers_need() -> None:
    (m,) = measure(["gemm"], [32], **QUICK)
    fields = m.as_dict()
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    measured_anew = {
        "samples": [],
        "cpu_samples": [],
        "disturbed": [],
        "alone": True,
        "loops": 0,
        "residual": 0.0,
        "threads": 0,
        "first_call": 0.0,
        "fingerprint": "",
        "error": 0.0,
    }
    assert fields | measured_anew == {
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
        "cpu_samples": [],
        "disturbed": [],
        "alone": True,
        "first_call": 0.0,
        "stability": "too short",
        "remark": "2 samples: too few to tell noise from drift.",
        "residual": 0.0,
        "residual_bound": pytest.approx(16 * 32**0.5 * np.finfo("float64").eps),
        "error": 0.0,
        "fingerprint": "",
        "reproduced": True,
    }
    assert m.seconds == m.figures.seconds > 0
    assert m.interval.low == min(m.usable)
    assert m.threads is None or m.threads >= 1
    assert m.gflops == pytest.approx(65536 / m.seconds / 1e9)


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
    assert m.error == (sys.float_info.max if OPERATIONS[name].sums else None)
    assert not m.correct
    json.dumps(m.as_dict(), allow_nan=False)


def test_a_library_that_is_wrong_only_later_is_caught() -> None:
    made = 0

    def wrong_but_for_the_first(C: np.ndarray) -> np.ndarray:
        nonlocal made
        made += 1
        return C if made == 1 else C + 1

    assert not corrupted("gemm", wrong_but_for_the_first).correct


@dataclass
class FakeWork:
    """A library whose calls take as long as they are told to, on a clock that nothing else moves."""

    cost: float
    calls: int = 0
    now: float = 0.0

    def clock(self) -> float:
        return self.now

    def call(self, x: np.ndarray) -> np.ndarray:
        self.calls += 1
        self.now += self.cost
        return np.exp(x)

    def measure(self, **settings: Any) -> Measurement:
        slow = replace(OPERATIONS["exp"], call=self.call)
        return measure_one(slow, 4, "float64", sampling=Sampling(**settings), clock=self.clock)


@pytest.mark.parametrize(
    ("cost", "samples", "calls"),
    [
        (100.0, 1, 1),  # longer than the budget: the first call is the sample
        (9.0, 1, 1),  # no time for a second
        (4.0, 1, 2),  # one warm sample, no last check
        (2.0, 3, 5),  # the first, three samples, the last check
        (0.5, 7, 9),
    ],
)
def test_the_budget_is_kept_whatever_a_call_takes(cost: float, samples: int, calls: int) -> None:
    work = FakeWork(cost)
    measured = work.measure(budget=10.0)
    assert (len(measured.samples), work.calls) == (samples, calls)
    assert work.now <= max(10.0, cost)
    assert measured.correct
    assert measured.stability == ("too short" if samples < 5 else "stable")


def test_one_sample_says_that_it_is_one_and_why() -> None:
    measured = FakeWork(12.3).measure(budget=2.0)
    assert measured.remark.startswith("One call took 12.3 s and left no time for a second in a budget of 2 s")
    assert measured.samples == (measured.first_call,)
    assert measured.reproduced is None


def test_the_budget_is_kept_by_the_real_clock_too() -> None:
    """Set-up and checks take part in it; a bound, far from tight, as other programs run here as well."""
    start = time.perf_counter()
    measure(["gemm"], [300], budget=0.5, repeats=100_000)
    assert time.perf_counter() - start < 60


def test_a_result_that_changes_from_call_to_call_is_seen() -> None:
    rng = np.random.default_rng(0)
    restless = replace(OPERATIONS["exp"], call=lambda x: np.exp(x) * (1 + 1e-16 * rng.integers(0, 9, x.shape)))
    measured = measure_one(restless, 24, "float64", sampling=SAMPLING)
    assert measured.correct
    assert measured.reproduced is False
    assert measure(["exp"], [24], **QUICK)[0].reproduced is True


def test_the_fingerprint_is_of_every_bit_of_every_part() -> None:
    x = np.array([1.0, 2.0])
    assert result_fingerprint(x) == result_fingerprint((x,)) == result_fingerprint(x[::-1][::-1])
    assert (
        len({result_fingerprint(one) for one in (x, x[::-1], np.nextafter(x, 3), (x, 0), (x, 1), 2.0, x.astype("f4"))})
        == 7
    )


def test_whoever_takes_turns_prepares_samples_and_checks_alone() -> None:
    case = prepare("gemm", 40, "complex64", seed=3)
    assert case.first_call > 0
    loops = case.calibrate(min_sample=1e-3)
    samples = tuple(case.sample(loops) for _ in range(3))
    assert case.error is None
    assert case.check() == case.residual
    case.check()
    timing = Timing.of(samples)
    measured = Measurement.of(case, timing, stability(timing, SAMPLING))
    assert measured.samples == timing.samples
    assert measured.correct
    assert measured.reproduced is True
    assert gc.isenabled()
    (alone,) = measure(["gemm"], [40], dtypes=["complex64"], seed=3, **QUICK)
    assert alone.fingerprint == measured.fingerprint
    assert alone.error == measured.error == case.error


def test_the_error_is_the_worst_of_all_checks_and_of_the_same_entries() -> None:
    case = prepare("gemm", 40, "float32")
    case.check()
    first = case.error
    case.check()
    assert case.error == first
    assert first is not None
    right = case.operation
    case.operation = replace(right, call=lambda A, B: right.call(A, B) * np.float32(1.001))
    case.check()
    assert case.error > 10 * first
    worst = case.error
    case.operation = right
    case.check()
    assert case.error == worst


def test_flags_that_a_library_leaves_behind_are_no_warnings() -> None:
    # numpy issue 28687: on processors with SME, products that are right say "divide by zero encountered in matmul".
    right = OPERATIONS["gemm"]

    def call(A: np.ndarray, B: np.ndarray) -> np.ndarray:
        A[0, 0] / np.float64(0)
        return right.call(A, B)

    flagged = replace(right, call=call)
    with np.errstate(all="raise"):
        m = measure_one(flagged, 20, "float64", sampling=SAMPLING)
        case = PreparedCall(flagged, 20, "float64")
        assert case.sample(case.calibrate(1e-4)).wall > 0
        assert case.check() < 1
    assert m.correct


@pytest.mark.parametrize("arguments", [("gemn", 8), ("gemm", 0), ("gemm", 8, "int64"), ("svm", 8, "float32")])
def test_what_cannot_be_measured_cannot_be_prepared(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"gemn|at least 1|int64|svm"):
        prepare(*arguments)


def test_what_needs_a_library_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {**OPERATIONS, "lu": replace(OPERATIONS["lu"], needs="no_such_library")}
    monkeypatch.setattr("mambakernels.numeric.measuring.OPERATIONS", lost)
    with pytest.raises(ValueError, match="lu needs no_such_library, which is not installed in this environment"):
        measure(["gemm", "lu"], [8], **QUICK)


def test_scipy_and_scikit_learn_are_measured_where_they_are() -> None:
    measured = measure(["lu", "expm", "pca", "svm"], [40], **QUICK)
    assert [m.correct for m in measured] == [True] * 4
    with pytest.raises(ValueError, match="pca takes float32, float64, not complex64"):
        measure(["pca"], [40], dtypes=["complex64"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["gemn"], [8]), "operations has 'gemn', which is not among: gemm, gemm_nt, gemm_tn"),
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
    with pytest.raises(
        ValueError, match="dtypes has 'float16', which is not among: float32, float64, complex64, complex128"
    ):
        measure(["gemm"], [8], dtypes=["float16"])


def test_settings_are_checked_before_anything_is_measured() -> None:
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1, not 0"):
        measure(["gemm"], [8], repeats=0)
