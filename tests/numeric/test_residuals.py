"""Residuals must be small for right results, and large for the ways in which a library goes wrong."""

# ruff: noqa: N806 (a matrix is a capital letter)
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mambakernels.numeric import residuals
from mambakernels.numeric.operations import DTYPES, OPERATIONS

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


@pytest.mark.parametrize("n", [1, 2, 3, 17, 96])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_this_numpy_computes_is_right(name: str, dtype: str, n: int) -> None:
    operation = OPERATIONS[name]
    for seed in range(3):
        given = operation.setup(n, np.dtype(dtype), np.random.default_rng([seed, n]))
        assert operation.check(given, operation.call(*given)) <= operation.bound(n) * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_slightly_wrong_result_is_out_of_bounds(name: str, dtype: str) -> None:
    operation, n = OPERATIONS[name], 48
    given = operation.setup(n, np.dtype(dtype), np.random.default_rng(0))
    result = operation.call(*given)
    first, *rest = result if isinstance(result, tuple) else (result,)
    slightly = 1e-2 if dtype == "float32" else 1e-8
    wrong = (first * (1 + slightly), *rest)
    assert operation.check(given, wrong) > operation.bound(n) * np.finfo(dtype).eps


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
