"""Arguments of the operations: random arrays, some with a known spectrum or determinant.

Where a result cannot be checked in n² steps (a determinant, singular values without vectors), the matrix is made so
that the right answer is known without computing it: from reflections H = I - 2 w wᴴ, or as a diagonal plus one product.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mambakernels.numeric.residuals import Array

_SKINNY = 32
_STACK_NUMBERS = 256 * 256


def normal(shape: int | tuple[int, ...], dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Return numbers from the normal distribution, real and imaginary part alike."""
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def matrix(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Return a matrix (n, n) of normal numbers."""
    return normal((n, n), dtype, rng)


def two_matrices(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    """Return two matrices (n, n) of normal numbers."""
    return matrix(n, dtype, rng), matrix(n, dtype, rng)


def matrix_and_vector(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a matrix (n, n) and n normal numbers."""
    return matrix(n, dtype, rng), normal(n, dtype, rng)


def vector(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Return n² normal numbers, as many as a matrix has."""
    return normal(n * n, dtype, rng)


def uniform(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Return n² numbers between -1 and 1, real and imaginary part alike."""
    x = rng.uniform(-1, 1, n * n)
    return (x + 1j * rng.uniform(-1, 1, n * n) if dtype.kind == "c" else x).astype(dtype)


def hermitian(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Return a Hermitian matrix (n, n) of normal numbers."""
    A = matrix(n, dtype, rng)
    return (A + A.conj().T) / 2


def positive_definite(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Return a Hermitian matrix whose diagonal outweighs the rest of each row, so that it is positive definite."""
    A = hermitian(n, dtype, rng)
    np.fill_diagonal(A, np.abs(A).sum(axis=1) + 1)
    return A


def tall_shape(n: int) -> dict[str, int]:
    """Return the rows m and columns n of a tall, skinny matrix with n² numbers."""
    columns = min(_SKINNY, n)
    return {"m": n * n // columns, "n": columns}


def stack_shape(n: int) -> dict[str, int]:
    """Return how many (b) products of small matrices make a stack: together they hold 65536 numbers."""
    return {"b": max(1, _STACK_NUMBERS // n**2), "m": n, "n": n, "k": n}


def known_determinant(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a matrix P (D + u vᴴ), rows permuted by P, and its determinant: ± prod(D) (1 + vᴴ D⁻¹ u).

    v is chosen so that the sum is positive, which keeps the matrix far from singular.
    """
    D = _phases(n, dtype, rng)
    u = normal(n, np.dtype(_wide(dtype)), rng)
    A = np.multiply.outer(u, u.conj() * D / np.sqrt(n))
    A[np.diag_indices(n)] += D
    order = rng.permutation(n)
    determinant = _parity(order) * np.prod(D) * (1 + np.sum(np.abs(u) ** 2) / np.sqrt(n))
    return A[order].astype(dtype), np.array([determinant])


def known_eigenvalues(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return H diag(w) H, Hermitian, its eigenvalues w between -1 and 1 as H has them, and H's vector."""
    w, h = rng.uniform(-1, 1, n), _unit(n, dtype, rng)
    A = _reflected(h, w, h)
    return ((A + A.conj().T) / 2).astype(dtype), w, h


def known_singular_values(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    """Return G diag(s) H with two reflections, and its singular values s between 0 and 1, the largest first."""
    s = rng.uniform(0, 1, n)
    A = _reflected(_unit(n, dtype, rng), s, _unit(n, dtype, rng))
    return A.astype(dtype), np.sort(s)[::-1]


def _reflected(g: Array, d: Array, h: Array) -> Array:
    """Return (I - 2 g gᴴ) diag(d) (I - 2 h hᴴ)."""
    outer = np.multiply.outer
    A: Array = (
        4 * np.sum(g.conj() * d * h) * outer(g, h.conj()) - 2 * outer(g, g.conj() * d) - 2 * outer(d * h, h.conj())
    )
    A[np.diag_indices(len(d))] += d
    return A


def _unit(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    h = normal(n, np.dtype(_wide(dtype)), rng)
    unit: Array = h / np.sqrt(np.sum(np.abs(h) ** 2))
    return unit


def _phases(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Return n numbers of absolute value 1: signs, or points of the unit circle."""
    if dtype.kind == "c":
        phases: Array = np.exp(2j * np.pi * rng.uniform(size=n))
        return phases
    return rng.choice(np.array([-1.0, 1.0]), size=n)


def _parity(order: Array) -> int:
    """Return the sign of a permutation: each cycle of even length turns it."""
    seen, sign = set[int](), 1
    for start in range(len(order)):
        length, place = 0, start
        while place not in seen:
            seen.add(place)
            place = int(order[place])
            length += 1
        sign *= -1 if length and length % 2 == 0 else 1
    return sign


def _wide(dtype: np.dtype[Any]) -> type:
    return np.complex128 if dtype.kind == "c" else np.float64
