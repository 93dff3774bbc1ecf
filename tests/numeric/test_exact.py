"""Errors against exact arithmetic: compared with fractions, which know no rounding."""

# ruff: noqa: N806 (a matrix is a capital letter)
from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mambakernels.numeric import exact
from mambakernels.numeric.operations import DTYPES, OPERATIONS

pytestmark = pytest.mark.usefixtures("flags_ignored")

SUMS = sorted(name for name, operation in OPERATIONS.items() if operation.sums)
EPS = {dtype: float(np.finfo(dtype).eps) for dtype in DTYPES}


def true_sum(x: np.ndarray, y: np.ndarray) -> tuple[Fraction, Fraction]:
    """Return the real and the imaginary part of the sum of x times y."""
    (a, b), (c, d) = (([Fraction(float(z.real)) for z in v], [Fraction(float(z.imag)) for z in v]) for v in (x, y))
    real = sum((p * r - q * s for p, q, r, s in zip(a, b, c, d, strict=True)), Fraction(0))
    return real, sum((p * s + q * r for p, q, r, s in zip(a, b, c, d, strict=True)), Fraction(0))


def true_error(x: np.ndarray, y: np.ndarray, s: Any) -> float:
    parts = zip((s.real, s.imag), true_sum(x, y), strict=True)
    distance = math.hypot(*(float(Fraction(float(part)) - truth) for part, truth in parts))
    return distance / float(np.sum(np.abs(x).astype("f8") * np.abs(y).astype("f8"))) / EPS[x.dtype.name]


def vectors(n: int, dtype: str, *, decades: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of normal numbers, times powers of ten from -`decades` to +`decades`."""
    rng = np.random.default_rng(n)
    x, y = ((rng.standard_normal((2, n)) * 10.0 ** rng.integers(-decades, decades + 1, (2, n))) for _ in range(2))
    if dtype.startswith("complex"):
        return (x[0] + 1j * x[1]).astype(dtype), (y[0] + 1j * y[1]).astype(dtype)
    return x[0].astype(dtype), y[0].astype(dtype)


@pytest.mark.parametrize("decades", [0, 12])
@pytest.mark.parametrize("n", [1, 2, 1000, 2**14 + 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_error_is_the_true_one(dtype: str, n: int, decades: int) -> None:
    x, y = vectors(n, dtype, decades=decades)
    s = x @ y
    assert exact.error(x, y, s) == pytest.approx(true_error(x, y, s), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_that_was_rounded_once_is_off_by_half_a_rounding_at_most(dtype: str) -> None:
    for n in (1, 3, 500):
        x, y = vectors(n, dtype)
        real, imaginary = map(float, true_sum(x, y))
        once = np.dtype(dtype).type(complex(real, imaginary) if dtype.startswith("complex") else real)
        assert exact.error(x, y, once) <= 0.5


def test_what_cancels_is_judged_by_what_was_added() -> None:
    x, y = np.array([1e16, 1.0, -1e16]), np.ones(3)
    assert exact.error(x, y, np.float64(1.0)) == 0
    assert exact.error(x, y, np.float64(0.0)) == pytest.approx(1 / 2e16 / EPS["float64"])


def test_adding_one_after_the_other_is_told_from_adding_pairs() -> None:
    """A million times 0.1 by 1: single precision loses bits as the sum grows, unless halves are added first."""
    x, ones = np.full(1_000_000, 0.1, dtype="float32"), np.ones(1_000_000, dtype="float32")
    naive, pairs = np.cumsum(x)[-1], np.sum(x)
    assert abs(naive - 100_000) > 100
    assert exact.error(x, ones, naive) > 1000
    assert exact.error(x, ones, pairs) < 10


def test_nothing_but_zeros_has_no_error() -> None:
    assert exact.error(np.zeros(5), np.ones(5), np.float64(0)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_number_has_no_finite_error(dtype: str, bad: float) -> None:
    assert not math.isfinite(exact.error(*vectors(10, dtype), np.dtype(dtype).type(bad)))


def test_products_and_nothing_else_are_sums() -> None:
    assert set(SUMS) == {
        "gemm", "gemm_nt", "gemm_tn", "gemm_tt", "gemm_tall", "gemm_stacked", "syrk", "syrk_copy", "gemv", "gemv_t",
        "dot",
    }  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SUMS)
def test_each_product_is_nearly_exact_and_a_wrong_one_is_not(name: str, dtype: str) -> None:
    operation = OPERATIONS[name]
    for n in (1, 2, 37):
        given = operation.setup(n, np.dtype(dtype), np.random.default_rng(5))
        result = operation.call(*given)
        error = operation.error(given, result, np.random.default_rng(0))
        assert error is not None
        assert error <= math.sqrt(n) + 4
        wrong = np.asarray(result * (1 + 1e-3))[()]
        assert (operation.error(given, wrong.astype(dtype), np.random.default_rng(0)) or 0) > 50 * (1 + error)


@pytest.mark.parametrize("name", SUMS)
def test_the_sums_are_those_of_entries_that_the_generator_chooses(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.sums is not None
    given = operation.setup(50, np.dtype("float64"), np.random.default_rng(5))
    result = operation.call(*given)
    chosen = [
        [s for x, y, s in operation.sums(np.random.default_rng(seed), *given, result) if np.isclose(x @ y, s)]
        for seed in (0, 0, 1)
    ]
    assert [len(entries) for entries in chosen] == [1 if name == "dot" else 4] * 3
    assert chosen[0] == chosen[1]
    assert (chosen[0] == chosen[2]) is (name == "dot")


def test_one_wrong_entry_is_seen_if_it_is_chosen() -> None:
    A, B = (np.random.default_rng(k).standard_normal((3, 3)) for k in range(2))
    C = A @ B
    C[1, 2] += 1e-6
    errors = {(OPERATIONS["gemm"].error((A, B), C, np.random.default_rng(seed)) or 0) > 1e6 for seed in range(20)}
    assert errors == {True, False}


def test_what_is_no_sum_of_products_has_no_error() -> None:
    svd = OPERATIONS["svd"]
    given = svd.setup(4, np.dtype("float64"), np.random.default_rng(0))
    assert svd.error(given, svd.call(*given), np.random.default_rng(0)) is None
