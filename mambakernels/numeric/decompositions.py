"""What `numpy.linalg` leaves to LAPACK, as data.

The work of eigenvalues, singular values and least squares by them depends on the data, so their counts are nominal: the
convention of LAPACK's benchmark (LAPACK Users' Guide, 3rd edition, table 3.13), and for least squares that of a QR
decomposition (Golub and Van Loan, Matrix Computations, 5.3.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mambakernels.numeric import residuals, setups
from mambakernels.numeric.operation import Operation, lapack
from mambakernels.numeric.residuals import Array


def _order(n: int) -> dict[str, int]:
    return {"n": n}


def _rectangle(n: int) -> dict[str, int]:
    return {"m": n, "n": n}


def _overdetermined(n: int) -> dict[str, int]:
    return {"m": n, "n": max(1, n // 2), "nrhs": 1}


def _bound(n: int, **_: int) -> float:
    return 4 * (n + 8)


def _matrix(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array]:
    return (setups.matrix(n, dtype, rng),)


def _tall(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array]:
    return (setups.normal(tuple(setups.tall_shape(n).values()), dtype, rng),)


def _hermitian(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array]:
    return (setups.hermitian(n, dtype, rng),)


def _system(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    return setups.matrix(n, dtype, rng), setups.normal(n, dtype, rng)


def _systems(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    return setups.matrix(n, dtype, rng), setups.matrix(n, dtype, rng)


def _least_squares(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    m, columns, _ = _overdetermined(n).values()
    return setups.normal((m, columns), dtype, rng), setups.normal(m, dtype, rng)


def _one_qr(m: int, n: int) -> float:
    return 2 * m * n**2 - 2 * n**3 / 3


DECOMPOSITIONS = (
    Operation(
        name="cholesky",
        routines=lapack("potrf"),
        setup=lambda n, dtype, rng: (setups.positive_definite(n, dtype, rng),),
        call=np.linalg.cholesky,
        shape=_order,
        flops=lambda n: n**3 / 3 + n**2 / 2,
        elements=lambda n: n**2,
        residual=residuals.cholesky,
        bound=_bound,
    ),
    Operation(
        name="solve",
        routines=lapack("gesv"),
        setup=_system,
        call=np.linalg.solve,
        shape=lambda n: {"n": n, "nrhs": 1},
        flops=lambda n, nrhs: 2 * n**3 / 3 + 2 * n**2 * nrhs,
        elements=lambda n, **_: n**2,
        residual=residuals.linear_system,
        bound=_bound,
    ),
    Operation(
        name="solve_many",  # as many right-hand sides as unknowns: the work of inv
        routines=lapack("gesv"),
        setup=_systems,
        call=np.linalg.solve,
        shape=lambda n: {"n": n, "nrhs": n},
        flops=lambda n, nrhs: 2 * n**3 / 3 + 2 * n**2 * nrhs,
        elements=lambda n, nrhs: n**2 + 2 * n * nrhs,
        residual=residuals.linear_systems,
        bound=_bound,
    ),
    Operation(
        name="inv",
        routines=lapack("gesv"),
        setup=_matrix,
        call=np.linalg.inv,
        shape=_order,
        flops=lambda n: 8 * n**3 / 3,
        elements=lambda n: n**2,
        residual=residuals.inverse,
        bound=_bound,
    ),
    Operation(
        name="det",
        routines=lapack("getrf"),
        setup=setups.known_determinant,
        call=lambda A, _: np.linalg.det(A),
        shape=_order,
        flops=lambda n: 2 * n**3 / 3,
        elements=lambda n: n**2,
        residual=lambda _, expected, found: residuals.difference(expected, found),
        bound=_bound,
    ),
    Operation(
        name="qr",
        routines=lapack("geqrf+dorgqr", "geqrf+zungqr"),
        setup=_matrix,
        call=np.linalg.qr,
        shape=_rectangle,
        flops=lambda m, n: 2 * _one_qr(m, n),
        elements=lambda m, n: 2 * m * n + n * n,
        residual=residuals.qr,
        bound=_bound,
    ),
    Operation(
        name="qr_r",  # without Q: half the work
        routines=lapack("geqrf"),
        setup=_matrix,
        call=lambda A: np.linalg.qr(A, mode="r"),
        shape=_rectangle,
        flops=_one_qr,
        elements=lambda m, n: m * n + n * n,
        residual=residuals.triangular_factor,
        bound=_bound,
    ),
    Operation(
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
    Operation(
        name="eigh",
        routines=lapack("syevd", "heevd"),
        setup=_hermitian,
        call=np.linalg.eigh,
        shape=_order,
        flops=lambda n: 9 * n**3,
        elements=lambda n: 2 * n**2,
        residual=residuals.symmetric_eigenvalues,
        bound=_bound,
        flops_nominal=True,
    ),
    Operation(
        name="eigvalsh",  # without vectors
        routines=lapack("syevd", "heevd"),
        setup=lambda n, dtype, rng: setups.known_eigenvalues(n, dtype, rng)[:2],
        call=lambda A, _: np.linalg.eigvalsh(A),
        shape=_order,
        flops=lambda n: 4 * n**3 / 3,
        elements=lambda n: n**2,
        residual=lambda _, expected, found: residuals.difference(np.sort(expected), found),
        bound=_bound,
        flops_nominal=True,
    ),
    Operation(
        name="eig",
        routines=lapack("geev"),
        setup=_matrix,
        call=np.linalg.eig,
        shape=_order,
        flops=lambda n: 26.33 * n**3,
        elements=lambda n: 2 * n**2,
        residual=residuals.eigenvectors,
        bound=_bound,
        flops_nominal=True,
    ),
    Operation(
        name="eigvals",  # without vectors
        routines=lapack("geev"),
        setup=_matrix,
        call=np.linalg.eigvals,
        shape=_order,
        flops=lambda n: 10 * n**3,
        elements=lambda n: n**2,
        residual=residuals.eigenvalues,
        bound=_bound,
        flops_nominal=True,
    ),
    Operation(
        name="svd",
        routines=lapack("gesdd"),
        setup=_matrix,
        call=np.linalg.svd,
        shape=_rectangle,
        flops=lambda n, **_: 6.67 * n**3,
        elements=lambda n, **_: 3 * n**2,
        residual=residuals.singular_values,
        bound=_bound,
        flops_nominal=True,
    ),
    Operation(
        name="svdvals",  # without vectors
        routines=lapack("gesdd"),
        setup=setups.known_singular_values,
        call=lambda A, _: np.linalg.svd(A, compute_uv=False),
        shape=_rectangle,
        flops=lambda n, **_: 8 * n**3 / 3,
        elements=lambda n, **_: n**2,
        residual=lambda _, expected, found: residuals.difference(expected, found),
        bound=_bound,
        flops_nominal=True,
    ),
    Operation(
        name="lstsq",
        routines=lapack("gelsd"),
        setup=_least_squares,
        call=lambda A, b: np.linalg.lstsq(A, b, rcond=None),
        shape=_overdetermined,
        flops=lambda m, n, **_: _one_qr(m, n),
        elements=lambda m, n, **_: m * n,
        residual=residuals.least_squares,
        bound=lambda m, **_: 4 * (m + 8),
        flops_nominal=True,
    ),
)
"""In the order tables show them."""
