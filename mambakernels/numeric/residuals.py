"""Residuals: how wrong a result is, found without the library that computed it.

A product is checked as R. Freivalds proposed: instead of C = AB, compare Cv with A(Bv) for one vector v of signs. The
products with v are sums that NumPy's own loops make (`einsum` without optimisation calls no BLAS), in double precision
at least, so a BLAS that returns wrong numbers cannot agree with itself. Decompositions are checked the same way, by
putting them together again. Each residual is relative: about eps for a right result, near 1 for a wrong one.

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
_WRONG = 1.0
_KEYS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # odd, with bits all over


def product(A: Array, B: Array, C: Array) -> float:
    """Return by how much C (…, m, n) differs from A (…, m, k) times B (…, k, n), relative to how roundings add up."""
    v = signs(B.shape[-1])
    error = np.abs(times(C, v) - times(A, times(B, v)))
    return _largest(error / np.sqrt(_squares_times(A, _squares_times(B, v * v))))


def matrix_vector(A: Array, x: Array, y: Array) -> float:
    """Return by how much y (m) differs from A (m, n) times x (n), relative to how roundings add up."""
    return _largest(np.abs(y - times(A, x)) / np.sqrt(_squares_times(A, np.abs(x) ** 2)))


def inner(x: Array, y: Array, s: Array) -> float:
    """Return by how much the number s differs from the sum of x times y (n each), relative to how roundings add up."""
    terms = np.multiply(x, y, dtype=_wide(x))
    return _largest(np.abs(s - terms.sum()) / np.sqrt(np.sum(np.abs(terms) ** 2)))


def norm_of_product(A: Array, B: Array, norm: Any, C: Array) -> float:
    """Return by how much C differs from A (n, n) times B, or `norm` from C's Frobenius norm, where 4 n² eps may be.

    A library that adds one square after the other is right, and yet off by that.
    """
    n = len(C)
    exact = np.sqrt(np.sum(np.abs(C) ** 2, dtype=np.float64))
    return _worst(product(A, B, C), _largest(np.abs(norm - exact) / exact) * 4 / n**1.5)


def difference(expected: Array, found: Any) -> float:
    """Return by how much `found` differs from what is known to be right, relative to the largest of that."""
    if np.shape(np.atleast_1d(found)) != expected.shape:
        return _WRONG
    return _largest(np.abs(found - expected) / np.max(np.abs(expected)))


def cholesky(A: Array, L: Array) -> float:
    """Return by how much L Lᴴ differs from A (n, n), or L from a lower triangle, relative to A."""
    put_together = _reconstruction(A, lambda v: times(L, times(L.conj().T, v)))
    return _worst(put_together, _outside_triangle(L.T))


def linear_system(A: Array, b: Array, x: Array) -> float:
    """Return by how much A (n, n) times x (n) differs from b (n), relative to A and x."""
    scale = np.max(np.sqrt(_squares_times(A, np.abs(x) ** 2))) + np.max(np.abs(b))
    return _largest(np.abs(times(A, x) - b) / scale)


def linear_systems(A: Array, B: Array, X: Array) -> float:
    """Return by how much A (n, n) times X (n, k) differs from B (n, k), relative to A, X and B."""
    v = signs(B.shape[1])
    scale = np.sqrt(np.max(_squares_times(A, _squares_times(X, v * v))) + np.max(_squares_times(B, v * v)))
    return _largest(np.abs(times(A, times(X, v)) - times(B, v)) / scale)


def inverse(A: Array, X: Array) -> float:
    """Return by how much A (n, n) times X differs from the identity, relative to A and X."""
    v = signs(len(A))
    scale = np.sqrt(np.max(_squares_times(A, _squares_times(X, v * v))))
    return _largest(np.abs(times(A, times(X, v)) - v) / scale)


def lu(A: Array, P: Array, L: Array, U: Array) -> float:
    """Return by how much P L U differs from A (n, n), relative to A, or L and U from triangles."""
    put_together = _reconstruction(A, lambda v: times(P, times(L, times(U, v))))
    return _worst(put_together, _outside_triangle(U), _outside_triangle(L.T), _largest(np.abs(np.diag(L) - 1)))


def qr(A: Array, Q: Array, R: Array) -> float:
    """Return by how much Q R differs from A (m, n), relative to A, Q from orthonormal columns, or R from a triangle."""
    put_together = _reconstruction(A, lambda v: times(Q, times(R, v)))
    return _worst(put_together, _orthonormality(Q), _outside_triangle(R))


def triangular_factor(A: Array, R: Array) -> float:
    """Return by how much Rᴴ R differs from Aᴴ A, relative to A (m, n), or R from a triangle."""
    v = signs(A.shape[1])
    error = np.abs(times(R.conj().T, times(R, v)) - times(A.conj().T, times(A, v)))
    scale = np.sqrt(np.max(_squares_times(A.T, _squares_times(A, v * v))))
    return _worst(_largest(error / scale), _outside_triangle(R))


def symmetric_eigenvalues(A: Array, values: Array, vectors: Array) -> float:
    """Return by how much V diag(w) Vᴴ differs from A (n, n), relative to A, or V from orthonormal columns."""
    put_together = _reconstruction(A, lambda v: times(vectors, values * times(vectors.conj().T, v)))
    return _worst(put_together, _orthonormality(vectors))


def eigenvectors(A: Array, values: Array, vectors: Array) -> float:
    """Return by how much A V differs from V diag(w), relative to A (n, n), V from unit columns, or w from A's trace."""
    v = signs(len(A))
    error = np.abs(times(A, times(vectors, v)) - times(vectors, values * v))
    scale = np.max(np.sqrt(_squares_times(A, np.ones(len(A)))))
    lengths = _squares_times(vectors.T, np.ones(len(A)))
    return _worst(_largest(error / scale), _largest(np.abs(lengths - 1)), eigenvalues(A, values))


def eigenvalues(A: Array, values: Array) -> float:
    """Return by how much the sums of w and of w² differ from the traces of A (n, n) and of A A, relative to A."""
    wide = _wide(A, values)
    square = np.sum(_squares_times(A, np.ones(len(A))))
    first = abs(np.sum(values, dtype=wide) - np.trace(A, dtype=_wide(A))) / np.sqrt(square * len(A))
    second = abs(np.sum(values.astype(wide) ** 2) - np.einsum("ij,ji->", A, A, dtype=_wide(A), optimize=False)) / square
    return _worst(_largest(first), _largest(second))


def singular_values(A: Array, U: Array, s: Array, Vh: Array) -> float:
    """Return by how much U diag(s) Vᴴ differs from A (n, n), relative to A, or U, V from orthonormal columns.

    It is wrong altogether if a singular value is negative, or larger than the one before.
    """
    if s[-1] < 0 or np.any(s[1:] > s[:-1]):
        return _WRONG
    put_together = _reconstruction(A, lambda v: times(U, s * times(Vh, v)))
    return _worst(put_together, _orthonormality(U), _orthonormality(Vh.conj().T))


def least_squares(A: Array, b: Array, x: Array, squares: Array, rank: int, s: Array) -> float:  # noqa: PLR0917 (lstsq's)
    """Return by how much Aᴴ (A x - b) differs from zero, relative to A (m, n), x and b; or s or `squares` from A, x, b.

    It is wrong altogether if it finds a rank other than n: numbers from a normal distribution have it.
    """
    if rank != A.shape[1]:
        return _WRONG
    left = times(A, x) - b
    columns = _squares_times(A.T, np.ones(len(A)))
    total = np.sum(_squares_times(A, np.abs(x) ** 2)) + np.sum(np.abs(b) ** 2)
    orthogonal = np.abs(times(A.conj().T, left)) / np.sqrt(np.max(columns) * total)
    norm = np.abs(np.sum(s.astype(np.float64) ** 2) - np.sum(columns)) / np.sum(columns)
    remainder = np.abs(squares - np.sum(np.abs(left) ** 2)) / total  # empty if there are no more rows than columns
    return _worst(_largest(orthogonal), _largest(norm), _largest(remainder) if remainder.size else 0.0)


def matrix_exponential(A: Array, w: Array, h: Array, E: Array) -> float:
    """Return by how much E differs from exp(A), relative to it, where A (n, n) is H diag(w) H with a reflection H."""
    v = signs(len(A))
    expected = _reflect(h, np.exp(w) * _reflect(h, v))
    return _largest(np.abs(times(E, v) - expected) / np.max(np.abs(expected)))


def principal_components(X: Array, components: Array, variances: Array) -> float:
    """Return by how much the components differ from all orthonormal eigenvectors of X's (m, n) covariance.

    Relative to the total variance.
    """
    m = len(X)
    centred = X - X.mean(axis=0, dtype=np.float64)
    total = np.sum(centred**2) / max(1, m - 1)
    v = signs(len(components))
    image = times(centred.T, times(centred, times(components.T, v))) / max(1, m - 1)
    error = np.abs(image - times(components.T, variances * v)) / total
    missing = np.abs(np.sum(variances, dtype=np.float64) - total) / total
    return _worst(_largest(error), _largest(missing), _orthonormality(components.T))


def support_vectors(
    X: Array, y: Array, weights: Array, chosen: Array, offset: Array, *, gamma: float, C: float
) -> float:
    """Return by how much a support vector machine violates the conditions of its optimum (Karush, Kuhn, Tucker).

    `weights` are signed multipliers of the `chosen` rows of X (m, n), with kernel exp(-gamma |x - x'|²) and limit C.
    """
    squares = np.sum((X[:, None, :] - X[None, chosen, :]) ** 2, axis=2)
    margins = y * (np.einsum("ij,j->i", np.exp(-gamma * squares), weights, optimize=False) + offset)
    a = np.zeros(len(X))
    a[chosen] = weights * y[chosen]
    low, high = np.where(a < C, 1 - margins, 0.0), np.where(a > 0, margins - 1, 0.0)
    limits = np.maximum(-a, a - C)
    return _largest(np.concatenate([low, high, limits, [abs(np.sum(weights)) / C]]))


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


def sorting(x: Array, y: Array) -> float:
    """Return 0 if y holds the numbers of x (n) in rising order, real parts first, and 1 if not."""
    if y.shape != x.shape or y.dtype != x.dtype:
        return _WRONG
    before, after = y[:-1], y[1:]
    rising = (before.real < after.real) | ((before.real == after.real) & (before.imag <= after.imag))
    return 0.0 if rising.all() and _same_numbers(x, y) else _WRONG


def signs(n: int) -> Array:
    """Return a vector (n) of +1 and -1 that looks random and is always the same."""
    return np.random.default_rng(n).choice(np.array([-1.0, 1.0]), size=n)


def times(A: Array, v: Array) -> Array:
    """Multiply A (…, m, n) by v (…, n) without BLAS, in double precision."""
    result: Array = np.einsum("...ij,...j->...i", A, v, dtype=_wide(A, v), optimize=False)
    return result


def _squares_times(A: Array, w: Array) -> Array:
    """Multiply the squared absolute values of A (…, m, n) by w (…, n), without a temporary as large as A."""
    parts = (A.real, A.imag) if np.iscomplexobj(A) else (A,)
    sums = [np.einsum("...ij,...ij,...j->...i", p, p, w, dtype=np.float64, optimize=False) for p in parts]
    total: Array = np.sum(sums, axis=0)
    return total


def _outside_triangle(R: Array) -> float:
    """Return the largest number below R's diagonal, relative to the largest of R."""
    largest = _largest(np.abs(R))
    return _largest(np.abs(np.tril(R, -1))) / largest if largest > 0 else _WRONG


def _reflect(h: Array, v: Array) -> Array:
    reflected: Array = v - 2 * h * np.sum(h.conj() * v)
    return reflected


def _same_numbers(x: Array, y: Array) -> bool:
    """Return whether two arrays almost certainly hold the same bit patterns in any order: compares scrambled sums."""
    return bool(_scrambled_sum(x) == _scrambled_sum(y))


def _scrambled_sum(x: Array) -> np.uint64:
    words = x.view(f"u{x.real.itemsize}").reshape(len(x), -1).astype(np.uint64)
    mixed = words[:, 0] * _KEYS[0] + words[:, -1] * _KEYS[1]
    mixed ^= mixed >> np.uint64(29)
    mixed *= _KEYS[1]
    mixed ^= mixed >> np.uint64(32)
    total: np.uint64 = mixed.sum(dtype=np.uint64)
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


def _worst(*errors: float) -> float:
    """Return the largest; NaN counts as the largest, which Python's `max` would overlook."""
    return float(np.max(errors))


def _largest(errors: Array) -> float:
    return float(np.max(errors))
