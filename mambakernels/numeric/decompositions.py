"""The operations that `numpy.linalg` leaves to LAPACK, as data.

The work of eigenvalues, singular values and least squares depends on the data, so their counts are nominal: the
convention of LAPACK's benchmark (LAPACK Users' Guide, 3rd edition, table 3.13), and for least squares that of a QR
decomposition (Golub and Van Loan, Matrix Computations, 5.3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from mambakernels.numeric import residuals, setups
from mambakernels.numeric.operation import Operation, lapack
from mambakernels.numeric.residuals import Array

Generator = np.random.Generator


def _order(n: int) -> dict[str, int]:
    return {"n": n}


def _rectangle(n: int) -> dict[str, int]:
    return {"m": n, "n": n}


def _overdetermined(n: int) -> dict[str, int]:
    return {"m": n, "n": max(1, n // 2), "nrhs": 1}


def _bound(n: int, **_: int) -> float:
    return 4 * (n + 8)


def _matrix(n: int, dtype: np.dtype[Any], rng: Generator) -> tuple[Array]:
    return (setups.matrix(n, dtype, rng),)


def _tall(n: int, dtype: np.dtype[Any], rng: Generator) -> tuple[Array]:
    return (setups.normal(tuple(setups.tall_shape(n).values()), dtype, rng),)


def _least_squares(n: int, dtype: np.dtype[Any], rng: Generator) -> tuple[Array, Array]:
    m, columns, _ = _overdetermined(n).values()
    return setups.normal((m, columns), dtype, rng), setups.normal(m, dtype, rng)


def _solve_flops(n: int, nrhs: int) -> float:
    return 2 * n**3 / 3 + 2 * n**2 * nrhs


def _one_qr(m: int, n: int, **_: int) -> float:
    return 2 * m * n**2 - 2 * n**3 / 3


def _known(_: Array, expected: Array, found: Array) -> float:
    return residuals.difference(expected, found)


def _square(n: int, **_: int) -> int:
    return n**2


# Most take one matrix (n, n); the rest say what they take instead.
_operation: Callable[..., Operation] = partial(
    Operation, setup=_matrix, shape=_order, elements=_square, bound=_bound, residual=_known
)

DECOMPOSITIONS = (
    _operation(
        name="cholesky",
        routines=lapack("potrf"),
        setup=lambda n, dtype, rng: (setups.positive_definite(n, dtype, rng),),
        call=np.linalg.cholesky,
        flops=lambda n: n**3 / 3 + n**2 / 2,
        residual=residuals.cholesky,
    ),
    _operation(
        name="solve",
        routines=lapack("gesv"),
        setup=setups.matrix_and_vector,
        call=np.linalg.solve,
        shape=lambda n: {"n": n, "nrhs": 1},
        flops=_solve_flops,
        residual=residuals.linear_system,
    ),
    _operation(
        name="solve_many",  # as many right-hand sides as unknowns: the work of inv
        routines=lapack("gesv"),
        setup=setups.two_matrices,
        call=np.linalg.solve,
        shape=lambda n: {"n": n, "nrhs": n},
        flops=_solve_flops,
        elements=lambda n, nrhs: n**2 + 2 * n * nrhs,
        residual=residuals.linear_systems,
    ),
    _operation(
        name="inv",
        routines=lapack("gesv"),
        call=np.linalg.inv,
        flops=lambda n: 8 * n**3 / 3,
        residual=residuals.inverse,
    ),
    _operation(
        name="det",
        routines=lapack("getrf"),
        setup=setups.known_determinant,
        call=lambda A, _: np.linalg.det(A),
        flops=lambda n: 2 * n**3 / 3,
    ),
    _operation(
        name="qr",
        routines=lapack("geqrf+dorgqr", "geqrf+zungqr"),
        call=np.linalg.qr,
        shape=_rectangle,
        flops=lambda m, n: 2 * _one_qr(m, n),
        elements=lambda m, n: 2 * m * n + n * n,
        residual=residuals.qr,
    ),
    _operation(
        name="qr_r",  # without Q: half the work
        routines=lapack("geqrf"),
        call=lambda A: np.linalg.qr(A, mode="r"),
        shape=_rectangle,
        flops=_one_qr,
        elements=lambda m, n: m * n + n * n,
        residual=residuals.triangular_factor,
    ),
    _operation(
        name="qr_tall",
        routines=lapack("geqrf+dorgqr", "geqrf+zungqr"),
        setup=_tall,
        call=np.linalg.qr,
        shape=setups.tall_shape,
        flops=lambda m, n: 2 * _one_qr(m, n),
        elements=lambda m, n: 2 * m * n + n * n,
        residual=residuals.qr,
        bound=lambda m, **_: 4 * (m**0.5 + 40),
    ),
    _operation(
        name="eigh",
        routines=lapack("syevd", "heevd"),
        setup=lambda n, dtype, rng: (setups.hermitian(n, dtype, rng),),
        call=np.linalg.eigh,
        flops=lambda n: 9 * n**3,
        elements=lambda n: 2 * n**2,
        residual=residuals.symmetric_eigenvalues,
        flops_nominal=True,
    ),
    _operation(
        name="eigvalsh",  # without vectors
        routines=lapack("syevd", "heevd"),
        setup=lambda n, dtype, rng: setups.known_eigenvalues(n, dtype, rng)[:2],
        call=lambda A, _: np.linalg.eigvalsh(A),
        flops=lambda n: 4 * n**3 / 3,
        residual=lambda _, expected, found: residuals.difference(np.sort(expected), found),
        flops_nominal=True,
    ),
    _operation(
        name="eig",
        routines=lapack("geev"),
        call=np.linalg.eig,
        flops=lambda n: 26.33 * n**3,
        elements=lambda n: 2 * n**2,
        residual=residuals.eigenvectors,
        flops_nominal=True,
    ),
    _operation(
        name="eigvals",  # without vectors
        routines=lapack("geev"),
        call=np.linalg.eigvals,
        flops=lambda n: 10 * n**3,
        residual=residuals.eigenvalues,
        flops_nominal=True,
    ),
    _operation(
        name="svd",
        routines=lapack("gesdd"),
        call=np.linalg.svd,
        shape=_rectangle,
        flops=lambda n, **_: 6.67 * n**3,
        elements=lambda n, **_: 3 * n**2,
        residual=residuals.singular_values,
        flops_nominal=True,
    ),
    _operation(
        name="svdvals",  # without vectors
        routines=lapack("gesdd"),
        setup=setups.known_singular_values,
        call=lambda A, _: np.linalg.svd(A, compute_uv=False),
        shape=_rectangle,
        flops=lambda n, **_: 8 * n**3 / 3,
        flops_nominal=True,
    ),
    _operation(
        name="lstsq",
        routines=lapack("gelsd"),
        setup=_least_squares,
        call=lambda A, b: np.linalg.lstsq(A, b, rcond=None),
        shape=_overdetermined,
        flops=_one_qr,
        elements=lambda m, n, **_: m * n,
        residual=residuals.least_squares,
        bound=lambda m, **_: 4 * (m + 8),
        flops_nominal=True,
    ),
)
"""In the order tables show them."""
