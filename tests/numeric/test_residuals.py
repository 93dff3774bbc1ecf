"""Residuals must be small for right results, and large for the ways in which a library goes wrong."""

# ruff: noqa: N806 (a matrix is a capital letter)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from mambakernels.numeric import residuals, setups
from mambakernels.numeric.operations import OPERATIONS, available_operations

pytestmark = pytest.mark.usefixtures("flags_ignored", "one_thread")

EPS = float(np.finfo("float64").eps)


@dataclass(frozen=True)
class Product:
    A: np.ndarray
    B: np.ndarray
    C: np.ndarray

    @property
    def residual(self) -> float:
        return residuals.product(self.A, self.B, self.C)


@pytest.fixture
def right() -> Product:
    rng = np.random.default_rng(1)
    A, B = rng.standard_normal((60, 80)), rng.standard_normal((80, 50))
    return Product(A, B, A @ B)


def _given(name: str, dtype: str, n: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    return OPERATIONS[name].setup(n, np.dtype(dtype), np.random.default_rng([seed, n]))


@cache
def _right(name: str, dtype: str) -> tuple[tuple[np.ndarray, ...], tuple[Any, ...]]:
    given = _given(name, dtype, 48)
    result = OPERATIONS[name].call(*given)
    return given, result if isinstance(result, tuple) else (result,)


CASES = [(name, dtype) for name in available_operations() for dtype in OPERATIONS[name].routines]


@pytest.mark.parametrize("n", [1, 2, pytest.param(3, marks=pytest.mark.exhaustive), 17, 96])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_what_this_numpy_computes_is_right(name: str, dtype: str, n: int) -> None:
    for seed in range(3 if n < 96 else 1):
        given = _given(name, dtype, n, seed)
        assert OPERATIONS[name].check(given, OPERATIONS[name].call(*given)) <= OPERATIONS[name].allowed(n, dtype)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_a_slightly_wrong_part_of_a_result_is_out_of_bounds(name: str, dtype: str) -> None:
    slightly = 1e-2 if dtype in ("float32", "complex64") else 1e-8
    # A support vector machine is right within its tolerance, and one row more or less among 48 is a great error.
    by = 0.5 if name == "svm" else slightly
    found = _residuals_with(name, dtype, lambda right: _changed(right, by))
    assert all(residual > OPERATIONS[name].allowed(48, dtype) for residual in found), found


@pytest.mark.parametrize("wrong", [0.0, np.nan, np.inf])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_a_part_that_was_never_written_or_is_no_number_is_out_of_bounds(name: str, dtype: str, wrong: float) -> None:
    def blank(right: np.ndarray) -> np.ndarray:
        if right.dtype.kind not in "fc":
            return np.zeros_like(right)
        return np.full_like(right, wrong)

    found = _residuals_with(name, dtype, blank)
    assert not any(residual <= OPERATIONS[name].allowed(48, dtype) for residual in found), found


def _residuals_with(name: str, dtype: str, change: Callable[[np.ndarray], Any]) -> list[float]:
    """Return the residual with each part of the result changed alone."""
    given, right = _right(name, dtype)
    found = []
    for part in range(len(right)):
        parts = [change(np.asarray(one)) if index == part else one for index, one in enumerate(right)]
        with np.errstate(all="ignore"):
            found.append(OPERATIONS[name].check(given, tuple(parts)))
    return found


def _changed(right: np.ndarray, by: float) -> np.ndarray:
    """Whole numbers (a rank, indices) are one off, or in another order; all others are off by a part of themselves."""
    if right.dtype.kind in "fc":
        return right * (1 + right.dtype.type(by))
    return right - 1 if right.ndim == 0 else right[::-1]


def test_a_product_in_single_precision_is_no_product_in_double(right: Product) -> None:
    single = (right.A.astype("f4") @ right.B.astype("f4")).astype("f8")
    assert Product(right.A, right.B, single).residual > 1000 * 16 * np.sqrt(80) * EPS


@pytest.mark.parametrize("index", [(0, 0), (59, 49), (30, 7)])
def test_one_wrong_entry_of_a_product_is_seen(right: Product, index: tuple[int, int]) -> None:
    wrong = right.C.copy()
    wrong[index] = 0.0
    assert Product(right.A, right.B, wrong).residual > 1e-3


def test_a_block_that_was_never_written_is_seen(right: Product) -> None:
    wrong = right.C.copy()
    wrong[16:32, 16:32] = 0.0
    assert Product(right.A, right.B, wrong).residual > 1e-2


def test_rows_and_columns_exchanged_are_seen() -> None:
    rng = np.random.default_rng(2)
    A, B = rng.standard_normal((2, 30, 30))
    assert Product(A, B, (A @ B).T).residual > 1e-2


def test_a_solution_of_another_system_is_seen() -> None:
    rng = np.random.default_rng(3)
    A, b = rng.standard_normal((40, 40)), rng.standard_normal(40)
    x = np.linalg.solve(A, b)
    assert residuals.linear_system(A, b, x) < 100 * 40 * EPS
    assert residuals.linear_system(A, b, x[::-1]) > 1e-2


def test_vectors_that_are_not_orthonormal_are_seen_where_the_product_is_right() -> None:
    A = np.random.default_rng(4).standard_normal((30, 30))
    Q, R = np.linalg.qr(A)
    stretched = np.full(30, 1.5)
    assert residuals.qr(A, Q, R) < 100 * 30 * EPS
    assert residuals.qr(A, Q * stretched, R / stretched[:, None]) > 0.1


def test_factors_that_are_no_triangles_are_seen_where_the_product_is_right() -> None:
    A = np.random.default_rng(7).standard_normal((30, 30))
    assert residuals.qr(A, np.eye(30), A) > 0.1
    S = A @ A.T + 30 * np.eye(30)
    w, V = np.linalg.eigh(S)
    assert residuals.cholesky(S, V * np.sqrt(w)) > 0.1


def test_eigenvectors_that_are_one_and_the_same_are_seen() -> None:
    A = np.random.default_rng(8).standard_normal((20, 20))
    values, vectors = np.linalg.eig(A)
    assert residuals.eigenvectors(A, values, vectors) < 1e-12
    again = np.repeat(vectors[:, :1], 20, axis=1)
    assert residuals.eigenvectors(A, np.repeat(values[:1], 20), again) > 1e-2


def test_singular_values_in_another_order_are_wrong() -> None:
    U, s, Vh = np.linalg.svd(np.random.default_rng(9).standard_normal((9, 9)))
    A = (U * s) @ Vh
    assert residuals.singular_values(A, U[:, ::-1], s[::-1], Vh[::-1]) == 1.0
    assert residuals.singular_values(A, -U, -s, Vh) == 1.0


def test_numbers_that_are_sorted_but_others_are_wrong() -> None:
    x = np.random.default_rng(10).standard_normal(100)
    y = np.sort(x)
    assert residuals.sorting(x, y) == 0.0
    assert residuals.sorting(x, x) == 1.0
    doubled = y.copy()
    doubled[50] = doubled[51]
    assert residuals.sorting(x, doubled) == 1.0


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_determinants_and_spectra_that_are_known_are_those(n: int, dtype: str) -> None:
    """Against SciPy-free algebra in extended precision: Gauss elimination by hand."""
    A, expected = setups.known_determinant(n, np.dtype(dtype), np.random.default_rng(n))
    rows = A.astype(np.clongdouble if dtype == "complex128" else np.longdouble)
    found = rows.dtype.type(1)
    for k in range(n):
        pivot = k + int(np.argmax(np.abs(rows[k:, k])))
        if pivot != k:
            rows[[k, pivot]] = rows[[pivot, k]]
            found = -found
        found *= rows[k, k]
        rows[k + 1 :] -= np.multiply.outer(rows[k + 1 :, k] / rows[k, k], rows[k])
    assert found == pytest.approx(expected[0], rel=1e-12)


def test_the_conjugate_matters() -> None:
    operation = OPERATIONS["cholesky"]
    (A,) = operation.setup(24, np.dtype("complex128"), np.random.default_rng(5))
    assert residuals.cholesky(A, np.linalg.cholesky(A).conj()) > 1e-3


def test_checking_calls_no_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    """`einsum` hands its work to BLAS only when it optimises; then it goes through tensordot."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("BLAS was called")

    for name in ("tensordot", "dot", "matmul", "vdot", "inner"):
        monkeypatch.setattr(np, name, fail)
    A = np.random.default_rng(6).standard_normal((20, 20))
    np.testing.assert_allclose(residuals.times(A, np.ones(20)), A.sum(axis=1))


def test_single_precision_is_checked_in_double() -> None:
    A = np.full((1, 4096), 0.1, dtype="float32")
    v = np.ones(4096, dtype="float32")
    assert residuals.times(A, v)[0] == pytest.approx(4096 * float(np.float32(0.1)), rel=1e-14)
