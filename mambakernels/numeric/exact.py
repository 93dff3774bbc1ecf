"""The distance of a computed sum of products from the true one, found without rounding.

A product of two doubles is the sum of two doubles. The leading bits of many numbers can be cut off at one place, so far
to the left that adding the parts cut off rounds nothing, in any order. `math.fsum` adds the few sums that remain.
All of it is elementwise arithmetic and NumPy's sums: no BLAS takes part.

Source: T. J. Dekker, "A floating-point technique for extending the available precision", Numerische Mathematik 18,
1971; S. M. Rump, T. Ogita, S. Oishi, "Accurate floating-point summation", SIAM J. Sci. Comput. 31, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mambakernels.numeric.residuals import Array

Sum = tuple[Array, Array, Any]
"""Vectors x and y (n each), and the computed sum of x times y."""

_ENTRIES = 4
_BLOCK_BITS = 14
_BLOCK = 2**_BLOCK_BITS  # numbers at a time: their intermediates stay in the processor's cache
_CUTS = 2  # the rest is then below 2⁻⁷⁶ of the largest, and adding it may round
_SPLITTER = 2.0**27 + 1


def of_matrix(rng: np.random.Generator, A: Array, B: Array, C: Array) -> Iterator[Sum]:
    """Yield the sums behind a few entries of C (…, m, n), that is A (…, m, k) times B (…, k, n)."""
    for *stack, i, j in rng.integers(C.shape, size=(_ENTRIES, C.ndim)).tolist():
        yield A[(*stack, i)], B[(*stack, slice(None), j)], C[(*stack, i, j)]


def of_vector(rng: np.random.Generator, A: Array, x: Array, y: Array) -> Iterator[Sum]:
    """Yield the sums behind a few entries of y (m), that is A (m, n) times x (n)."""
    for i in rng.integers(len(y), size=_ENTRIES).tolist():
        yield A[i], x, y[i]


def of_number(_rng: np.random.Generator, x: Array, y: Array, s: Any) -> Iterator[Sum]:
    """Yield the one sum behind the number s, that is x times y (n each)."""
    yield x, y, s


def error(x: Array, y: Array, s: Any) -> float:
    """Return by how much s differs from the true sum of x times y (n each), relative to the sum of |x| |y|.

    In units of the dtype's eps: a sum that is rounded only once, at its end, is off by 0.5 at most.
    """
    scale = np.einsum("i,i->", np.abs(x), np.abs(y), dtype=np.float64, optimize=False)
    distance = math.hypot(*_distances(x, y, s))
    return float(np.divide(distance, scale)) / float(np.finfo(x.dtype).eps) if distance else 0.0


def _distances(x: Array, y: Array, s: Any) -> tuple[float, ...]:
    """Return s, or its real and imaginary part, minus the true one."""
    if not np.iscomplexobj(x):
        return (_distance(s, (x, y)),)
    return (
        _distance(s.real, (x.real, y.real), (-x.imag, y.imag)),
        _distance(s.imag, (x.real, y.imag), (x.imag, y.real)),
    )


def _distance(s: Any, *factors: tuple[Array, Array]) -> float:
    return math.fsum([float(s), *(-part for x, y in factors for part in _parts(x, y))])


def _parts(x: Array, y: Array) -> Iterator[float]:
    """Yield a few numbers that add up to the sum of x times y."""
    for start in range(0, len(x), _BLOCK):
        a, b = (vector[start : start + _BLOCK].astype(np.float64) for vector in (x, y))
        products = a * b
        yield from _sums(products)
        if x.real.itemsize == a.itemsize:  # products of shorter numbers fit into doubles
            yield float(_rounded_off(a, b, products).sum())


def _sums(values: Array) -> Iterator[float]:
    """Yield a few numbers that add up to the sum of at most `_BLOCK` values."""
    for _ in range(_CUTS):
        cut = np.ldexp(1.0, int(np.frexp(np.abs(values).max())[1]) + _BLOCK_BITS + 1)
        leading = (values + cut) - cut
        yield float(leading.sum())
        values = values - leading
    yield float(values.sum())


def _rounded_off(a: Array, b: Array, products: Array) -> Array:
    """Return by how much a b is more than its rounded products, exactly."""
    (high_a, low_a), (high_b, low_b) = _halves(a), _halves(b)
    off: Array = ((high_a * high_b - products) + high_a * low_b + low_a * high_b) + low_a * low_b
    return off


def _halves(a: Array) -> tuple[Array, Array]:
    """Return two numbers of 26 bits each that add up to a (G. W. Veltkamp's splitting)."""
    large = _SPLITTER * a
    high = large - (large - a)
    return high, a - high
