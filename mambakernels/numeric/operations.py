"""The operations, as data: what is called, on what, how many flops it takes, and how wrong it may be.

A new operation is one more entry in `OPERATIONS`. A size n means n-by-n matrices, and vectors of n² numbers where
an operation knows only vectors (dot, fft, exp): at one size all operations work on as much data, and dot shows what
memory allows, not what a call costs.

Flops are those of the textbook algorithm for real numbers; a complex multiplication with its addition counts as four
real ones. Sources: LAPACK Working Note 41, "Operation Counts for the LAPACK Routines", for BLAS and factorizations. The
work of eigh and svd depends on the data, so their counts are nominal: 9 n³ and 6.67 n³ with vectors, the convention of
LAPACK's benchmark (LAPACK Users' Guide, 3rd edition, table 3.13). So is that of a Fourier transform: 2.5 N log2 N for
real numbers and 5 N log2 N for complex ones, the FFTW project's convention.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mambakernels.numeric import residuals
from mambakernels.numeric.residuals import Array

DTYPES = ("float32", "float64", "complex128")

Setup = Callable[[int, "np.dtype[Any]", np.random.Generator], tuple[Array, ...]]


@dataclass(frozen=True)
class Operation:
    """One NumPy call that is timed and checked.

    Attributes
    ----------
    routines
        The BLAS or LAPACK routines that NumPy calls, by dtype; None where it calls none.
    setup
        From (n, dtype, random generator) to the call's arguments.
    call
        What is timed.
    shape
        From n to the sizes, named as BLAS does.
    flops
        From n to floating-point operations for real numbers, or None where counting makes no sense.
    elements
        From n to the least number of elements that must move between memory and processor, or None.
    residual
        From the arguments and then the result, or its parts, to a relative error.
    bound
        From n to the largest residual of a right result, in units of the dtype's eps.
    complex_factor
        How many times the flops for complex numbers are those for real ones.
    flops_nominal
        Whether the work depends on the data, so that `flops` is a convention.
    control
        Whether no BLAS takes part: kernels that differ only in BLAS must agree on it.
    """

    name: str
    routines: Mapping[str, str | None]
    setup: Setup
    call: Callable[..., Any]
    shape: Callable[[int], dict[str, int]]
    flops: Callable[[int], float] | None
    elements: Callable[[int], int] | None
    residual: Callable[..., float]
    bound: Callable[[int], float]
    complex_factor: float = 4.0
    flops_nominal: bool = False
    control: bool = False

    def flop_count(self, n: int, dtype: str) -> float | None:
        """Return the floating-point operations of one call, complex ones in real ones."""
        factor = self.complex_factor if np.dtype(dtype).kind == "c" else 1.0
        return factor * self.flops(n) if self.flops else None

    def check(self, given: tuple[Array, ...], result: Any) -> float:
        """Return how wrong the result of a call with these arguments is."""
        parts = result if isinstance(result, tuple) else (result,)
        return self.residual(*given, *parts)

    def byte_count(self, n: int, dtype: str) -> float | None:
        """Return the least number of bytes one call must move between memory and processor."""
        return float(self.elements(n) * np.dtype(dtype).itemsize) if self.elements else None


def _normal(shape: int | tuple[int, ...], dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _matrix(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    return _normal((n, n), dtype, rng)


def _uniform(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    x = rng.uniform(-1, 1, n)
    return (x + 1j * rng.uniform(-1, 1, n) if dtype.kind == "c" else x).astype(dtype)


def _hermitian(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    A = _matrix(n, dtype, rng)
    return (A + A.conj().T) / 2


def _positive_definite(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Return a Hermitian matrix whose diagonal outweighs the rest of each row, so that it is positive definite."""
    A = _hermitian(n, dtype, rng)
    np.fill_diagonal(A, np.abs(A).sum(axis=1) + 1)
    return A


def _blas(stem: str) -> dict[str, str | None]:
    return {"float32": f"s{stem}", "float64": f"d{stem}", "complex128": f"z{stem}"}


def _lapack(real: str, hermitian: str = "") -> dict[str, str | None]:
    # numpy.linalg has no single precision inside: it computes float32 in double and rounds the result.
    return {"float32": f"d{real}", "float64": f"d{real}", "complex128": f"z{hermitian or real}"}


def _none() -> dict[str, str | None]:
    return dict.fromkeys(DTYPES)


def _square(n: int) -> dict[str, int]:
    return {"m": n, "n": n}


_ALL = (
    Operation(
        name="gemm",
        routines=_blas("gemm"),
        setup=lambda n, dtype, rng: (_matrix(n, dtype, rng), _matrix(n, dtype, rng)),
        call=operator.matmul,
        shape=lambda n: {"m": n, "n": n, "k": n},
        flops=lambda n: 2 * n**3,
        elements=lambda n: 3 * n**2,
        residual=residuals.product,
        bound=lambda n: 16 * math.sqrt(n),
    ),
    Operation(
        name="gemv",
        routines=_blas("gemv"),
        setup=lambda n, dtype, rng: (_matrix(n, dtype, rng), _normal(n, dtype, rng)),
        call=operator.matmul,
        shape=_square,
        flops=lambda n: 2 * n**2,
        elements=lambda n: n**2 + 2 * n,
        residual=residuals.matrix_vector,
        bound=lambda n: 16 * math.sqrt(n),
    ),
    Operation(
        name="dot",
        routines=_blas("dot") | {"complex128": "zdotu"},
        setup=lambda n, dtype, rng: (_normal(n * n, dtype, rng), _normal(n * n, dtype, rng)),
        call=operator.matmul,
        shape=lambda n: {"n": n * n},
        flops=lambda n: 2 * n**2,
        elements=lambda n: 2 * n**2,
        residual=residuals.inner,
        bound=lambda n: 16 * n,
    ),
    Operation(
        name="syrk",  # NumPy sees that both operands are one matrix; so it does for complex ones (zsyrk, not zherk)
        routines=_blas("syrk"),
        setup=lambda n, dtype, rng: (_matrix(n, dtype, rng),),
        call=lambda A: A.T @ A,
        shape=lambda n: {"n": n, "k": n},
        flops=lambda n: n * n * (n + 1),
        elements=lambda n: 2 * n**2,
        residual=lambda A, C: residuals.product(A.T, A, C),
        bound=lambda n: 16 * math.sqrt(n),
    ),
    Operation(
        name="cholesky",
        routines=_lapack("potrf"),
        setup=lambda n, dtype, rng: (_positive_definite(n, dtype, rng),),
        call=np.linalg.cholesky,
        shape=lambda n: {"n": n},
        flops=lambda n: n**3 / 3 + n**2 / 2,
        elements=lambda n: n**2,
        residual=residuals.cholesky,
        bound=lambda n: 4 * (n + 8),
    ),
    Operation(
        name="solve",
        routines=_lapack("gesv"),
        setup=lambda n, dtype, rng: (_matrix(n, dtype, rng), _normal(n, dtype, rng)),
        call=np.linalg.solve,
        shape=lambda n: {"n": n, "nrhs": 1},
        flops=lambda n: 2 * n**3 / 3 + 2 * n**2,
        elements=lambda n: n**2,
        residual=residuals.linear_system,
        bound=lambda n: 4 * (n + 8),
    ),
    Operation(
        name="qr",
        routines=_lapack("geqrf+dorgqr", "geqrf+zungqr"),
        setup=lambda n, dtype, rng: (_matrix(n, dtype, rng),),
        call=np.linalg.qr,
        shape=_square,
        flops=lambda n: 2 * (2 * n**3 - 2 * n**3 / 3),
        elements=lambda n: 3 * n**2,
        residual=residuals.qr,
        bound=lambda n: 4 * (n + 8),
    ),
    Operation(
        name="eigh",
        routines=_lapack("syevd", "heevd"),
        setup=lambda n, dtype, rng: (_hermitian(n, dtype, rng),),
        call=np.linalg.eigh,
        shape=lambda n: {"n": n},
        flops=lambda n: 9 * n**3,
        elements=lambda n: 2 * n**2,
        residual=residuals.symmetric_eigenvalues,
        bound=lambda n: 4 * (n + 8),
        flops_nominal=True,
    ),
    Operation(
        name="svd",
        routines=_lapack("gesdd"),
        setup=lambda n, dtype, rng: (_matrix(n, dtype, rng),),
        call=np.linalg.svd,
        shape=_square,
        flops=lambda n: 6.67 * n**3,
        elements=lambda n: 3 * n**2,
        residual=residuals.singular_values,
        bound=lambda n: 4 * (n + 8),
        flops_nominal=True,
    ),
    Operation(
        name="fft",
        routines=_none(),
        setup=lambda n, dtype, rng: (_normal(n * n, dtype, rng),),
        call=np.fft.fft,
        shape=lambda n: {"n": n * n},
        flops=lambda n: 2.5 * n**2 * math.log2(n**2),
        elements=None,
        residual=residuals.fourier,
        bound=lambda n: 16 * (1 + math.log2(n**2)),
        complex_factor=2.0,
        flops_nominal=True,
        control=True,
    ),
    Operation(
        name="exp",
        routines=_none(),
        setup=lambda n, dtype, rng: (_uniform(n * n, dtype, rng),),
        call=np.exp,
        shape=lambda n: {"n": n * n},
        flops=None,
        elements=lambda n: 2 * n**2,
        residual=residuals.exponential,
        bound=lambda _: 16,
        control=True,
    ),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({operation.name: operation for operation in _ALL})
"""Every operation by its name, in the order tables show them."""
