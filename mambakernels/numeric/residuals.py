"""How wrong a result is, found without the library that computed it.

A product is checked as R. Freivalds proposed: instead of C = AB, compare Cv with A(Bv) for one vector v of signs. The
products with v are sums that NumPy's own loops make (`einsum` without optimisation calls no BLAS), in double precision
at least, so a BLAS that returns wrong numbers cannot agree with itself. Decompositions are checked the same way, by
putting them together again. Each residual is relative: about eps where all is well, near 1 where nothing is.

Source: R. Freivalds, "Probabilistic machines can use less running time", IFIP Congress 1977; scaling by norms as
in LAPACK's own tests (TESTING/EIG/ddrvst.f: |A - Z D Z'| / (|A| n ulp)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FREQUENCIES = 2


def product(A: Array, B: Array, C: Array) -> float:
    """Return by how much C (m, n) differs from A (m, k) times B (k, n), relative to how roundings add up."""
    v = signs(B.shape[1])
    error = np.abs(times(C, v) - times(A, times(B, v)))
    return _largest(error / np.sqrt(_squares_times(A, _squares_times(B, v * v))))


def matrix_vector(A: Array, x: Array, y: Array) -> float:
    """Return by how much y (m) differs from A (m, n) times x (n), relative to how roundings add up."""
    return _largest(np.abs(y - times(A, x)) / np.sqrt(_squares_times(A, np.abs(x) ** 2)))


def inner(x: Array, y: Array, s: Array) -> float:
    """Return by how much the number s differs from the sum of x times y (n each), relative to how roundings add up."""
    terms = np.multiply(x, y, dtype=_wide(x))
    return _largest(np.abs(s - terms.sum()) / np.sqrt(np.sum(np.abs(terms) ** 2)))


def cholesky(A: Array, L: Array) -> float:
    """Return by how much L Lᴴ differs from A (n, n), relative to A."""
    return _reconstruction(A, lambda v: times(L, times(L.conj().T, v)))


def linear_system(A: Array, b: Array, x: Array) -> float:
    """Return by how much A (n, n) times x (n) differs from b (n), relative to A and x."""
    scale = np.max(np.sqrt(_squares_times(A, np.abs(x) ** 2))) + np.max(np.abs(b))
    return _largest(np.abs(times(A, x) - b) / scale)


def qr(A: Array, Q: Array, R: Array) -> float:
    """Return by how much Q R differs from A (n, n), relative to A, or Q from orthonormal columns."""
    return max(_reconstruction(A, lambda v: times(Q, times(R, v))), _orthonormality(Q))


def symmetric_eigenvalues(A: Array, values: Array, vectors: Array) -> float:
    """Return by how much V diag(w) Vᴴ differs from A (n, n), relative to A, or V from orthonormal columns."""
    put_together = _reconstruction(A, lambda v: times(vectors, values * times(vectors.conj().T, v)))
    return max(put_together, _orthonormality(vectors))


def singular_values(A: Array, U: Array, s: Array, Vh: Array) -> float:
    """Return by how much U diag(s) Vᴴ differs from A (n, n), relative to A, or U, V from orthonormal columns."""
    put_together = _reconstruction(A, lambda v: times(U, s * times(Vh, v)))
    return max(put_together, _orthonormality(U), _orthonormality(Vh.conj().T))


def fourier(x: Array, X: Array) -> float:
    """Return by how much X (n) differs from the Fourier transform of x (n), by some terms and by Parseval's sum."""
    n = len(x)
    energy = np.sum(np.abs(x) ** 2, dtype=np.float64)
    parseval = abs(np.sum(np.abs(X) ** 2, dtype=np.float64) / n - energy) / energy
    chosen = np.random.default_rng(n).integers(n, size=_FREQUENCIES)
    errors = [abs(X[k] - _fourier_term(x, int(k))) / np.sqrt(energy) for k in chosen]
    return _largest(np.array([parseval, *errors]))


def exponential(x: Array, y: Array) -> float:
    """Return by how much the logarithm of y differs from x (n), for |Re x|, |Im x| of at most 1."""
    return _largest(np.abs(np.log(y) - x))


def signs(n: int) -> Array:
    """Return a vector (n) of +1 and -1 that looks random and is always the same."""
    return np.random.default_rng(n).choice(np.array([-1.0, 1.0]), size=n)


def times(A: Array, v: Array) -> Array:
    """Multiply A (m, n) by v (n) without BLAS, in double precision."""
    result: Array = np.einsum("ij,j->i", A, v, dtype=_wide(A, v), optimize=False)
    return result


def _squares_times(A: Array, w: Array) -> Array:
    """Multiply the squared absolute values of A (m, n) by w (n), without a temporary as large as A."""
    parts = (A.real, A.imag) if np.iscomplexobj(A) else (A,)
    total: Array = np.sum([np.einsum("ij,ij,j->i", p, p, w, dtype=np.float64, optimize=False) for p in parts], axis=0)
    return total


def _reconstruction(A: Array, apply: Callable[[Array], Array]) -> float:
    v = signs(A.shape[1])
    return _largest(np.abs(apply(v) - times(A, v)) / np.max(np.sqrt(_squares_times(A, v * v))))


def _orthonormality(Q: Array) -> float:
    v = signs(Q.shape[1])
    return _largest(np.abs(times(Q.conj().T, times(Q, v)) - v))


def _fourier_term(x: Array, k: int) -> Any:
    n = len(x)
    turns = (np.arange(n) * k % n) / n  # exact in whole numbers, so that large k lose nothing
    return np.sum(x * np.exp(-2j * np.pi * turns))


def _wide(*arrays: Array) -> Any:
    return np.complex128 if any(np.iscomplexobj(array) for array in arrays) else np.float64


def _largest(errors: Array) -> float:
    return float(np.max(errors))
