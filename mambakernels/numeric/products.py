"""Products, as data: BLAS levels 1 to 3 as NumPy calls them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mambakernels.numeric import exact, residuals, setups
from mambakernels.numeric.operation import Operation, Setup, blas
from mambakernels.numeric.residuals import Array


def _transposed(a: str, b: str) -> Setup:
    """Return a set-up of two matrices, each as it is (`n`) or as the transpose (`t`) of one, which moves nothing."""

    def setup(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
        A, B = setups.two_matrices(n, dtype, rng)
        return (A.T if a == "t" else A), (B.T if b == "t" else B)

    return setup


def _tall(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    m, k = setups.tall_shape(n).values()
    return setups.normal((m, k), dtype, rng), setups.normal((k, k), dtype, rng)


def _stack(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    b = setups.stack_shape(n)["b"]
    return setups.normal((b, n, n), dtype, rng), setups.normal((b, n, n), dtype, rng)


def _with_itself(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    A = setups.matrix(n, dtype, rng)
    return A.T, A


def _transpose_and_vector(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    A, x = setups.matrix_and_vector(n, dtype, rng)
    return A.T, x


def _norm(A: Array, B: Array) -> tuple[Any, Array]:
    """Return the Frobenius norm of A B, and with it the product, which the check needs."""
    C = np.matmul(A, B)
    return np.linalg.norm(C), C


def _square(n: int) -> dict[str, int]:
    return {"m": n, "n": n, "k": n}


def _gemm_flops(m: int, n: int, k: int, b: int = 1) -> int:
    return 2 * b * m * n * k


def _gemm_elements(m: int, n: int, k: int, b: int = 1) -> int:
    return b * (m * k + k * n + m * n)


def _gemm_bound(k: int, **_: int) -> float:
    return 16 * math.sqrt(k)


def _gemm(name: str, setup: Setup, shape: Any = _square) -> Operation:
    return Operation(
        name=name,
        routines=blas("gemm"),
        setup=setup,
        call=np.matmul,
        shape=shape,
        flops=_gemm_flops,
        elements=_gemm_elements,
        residual=residuals.product,
        bound=_gemm_bound,
        sums=exact.of_matrix,
    )


def _gemv(name: str, setup: Setup) -> Operation:
    return Operation(
        name=name,
        routines=blas("gemv"),
        setup=setup,
        call=np.matmul,
        shape=lambda n: {"m": n, "n": n},
        flops=lambda m, n: 2 * m * n,
        elements=lambda m, n: m * n + m + n,
        residual=residuals.matrix_vector,
        bound=lambda n, **_: 16 * math.sqrt(n),
        sums=exact.of_vector,
    )


PRODUCTS = (
    _gemm("gemm", setups.two_matrices),
    _gemm("gemm_nt", _transposed("n", "t")),
    _gemm("gemm_tn", _transposed("t", "n")),
    _gemm("gemm_tt", _transposed("t", "t")),
    _gemm("gemm_tall", _tall, lambda n: setups.tall_shape(n) | {"k": setups.tall_shape(n)["n"]}),
    _gemm("gemm_stacked", _stack, setups.stack_shape),
    Operation(
        name="norm",  # the benchmark that NumPy and MKL are most often compared by
        routines=blas("gemm", then_real="dot"),
        setup=setups.two_matrices,
        call=_norm,
        shape=_square,
        flops=lambda m, n, k: 2 * m * n * k + 2 * m * n,
        complex_flops=lambda m, n, k: 8 * m * n * k + 4 * m * n,
        elements=_gemm_elements,
        residual=residuals.norm_of_product,
        bound=_gemm_bound,
    ),
    Operation(
        name="syrk",  # NumPy sees that both operands are one matrix; so it does for complex ones (zsyrk, not zherk)
        routines=blas("syrk"),
        setup=_with_itself,
        call=np.matmul,
        shape=lambda n: {"m": n, "n": n},
        flops=lambda m, n: m * n * (n + 1),
        elements=lambda m, n: m * n + n * n,
        residual=residuals.product,
        bound=lambda m, **_: 16 * math.sqrt(m),
        sums=exact.of_matrix,
    ),
    Operation(
        name="syrk_copy",  # the same product, but NumPy can no longer see it
        routines=blas("gemm"),
        setup=_with_itself,
        call=lambda At, A: np.matmul(At.copy(), A),
        shape=lambda n: {"m": n, "n": n},
        flops=lambda m, n: 2 * m * n * n,
        elements=lambda m, n: 2 * m * n + n * n,
        residual=residuals.product,
        bound=lambda m, **_: 16 * math.sqrt(m),
        sums=exact.of_matrix,
    ),
    _gemv("gemv", setups.matrix_and_vector),
    _gemv("gemv_t", _transpose_and_vector),
    Operation(
        name="dot",
        routines=blas("dot") | {"complex64": "cdotu", "complex128": "zdotu"},
        setup=lambda n, dtype, rng: (setups.vector(n, dtype, rng), setups.vector(n, dtype, rng)),
        call=np.matmul,
        shape=lambda n: {"n": n * n},
        flops=lambda n: 2 * n,
        elements=lambda n: 2 * n,
        residual=residuals.inner,
        bound=lambda n: 16 * math.sqrt(n),
        sums=exact.of_number,
    ),
)
"""In the order tables show them."""
