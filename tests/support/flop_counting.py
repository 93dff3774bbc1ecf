"""Numbers that count what is done with them, and textbook algorithms for them: flops counted, not derived."""

# ruff: noqa: N803, N806 (a matrix is a capital letter)
from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass
class Counted:
    """A number whose additions and multiplications count as `costs` says, in real operations."""

    value: complex
    spent: ClassVar[int] = 0
    costs: ClassVar[tuple[int, int]] = (1, 1)  # of an addition, of a multiplication

    def _next(self, value: complex, kind: int) -> Counted:
        Counted.spent += Counted.costs[kind]
        return Counted(value)

    def __add__(self, other: Counted) -> Counted:
        return self._next(self.value + other.value, 0)

    def __sub__(self, other: Counted) -> Counted:
        return self._next(self.value - other.value, 0)

    def __mul__(self, other: Counted) -> Counted:
        return self._next(self.value * other.value, 1)

    def __truediv__(self, other: Counted) -> Counted:
        return self._next(self.value / other.value, 1)

    def root(self) -> Counted:
        return self._next(math.sqrt(abs(self.value)), 1)


Vector = list[Counted]
Matrix = list[Vector]


def _vector(n: int) -> Vector:
    return [Counted(random.uniform(1, 2)) for _ in range(n)]


def _matrix(m: int, n: int) -> Matrix:
    return [[number if i != j else Counted(10.0 * n) for j, number in enumerate(_vector(n))] for i in range(m)]


def _dot(x: Vector, y: Vector) -> Counted:
    total = Counted(0.0)
    for a, b in zip(x, y, strict=True):
        total = total + a * b
    return total


def _times(A: Matrix, B: Matrix) -> Matrix:
    columns = [list(column) for column in zip(*B, strict=True)]
    return [[_dot(row, column) for column in columns] for row in A]


def _square_of(A: Matrix) -> None:
    """Make AᵀA, one triangle of it."""
    columns = [list(column) for column in zip(*A, strict=True)]
    for i, column in enumerate(columns):
        for other in columns[: i + 1]:
            _dot(column, other)


def _norm(A: Matrix, B: Matrix) -> None:
    numbers = [number for row in _times(A, B) for number in row]
    _dot(numbers, numbers).root()


def _eliminate(A: Matrix) -> Matrix:
    """Factorize A = LU in place; diagonals dominate, so that nothing need be exchanged."""
    n = len(A)
    for k in range(n):
        for i in range(k + 1, n):
            A[i][k] = A[i][k] / A[k][k]
            for j in range(k + 1, n):
                A[i][j] = A[i][j] - A[i][k] * A[k][j]
    return A


def _solve(A: Matrix, right: list[Vector]) -> None:
    _eliminate(A)
    n = len(A)
    for b in right:
        for i in range(n):
            for j in range(i):
                b[i] = b[i] - A[i][j] * b[j]
        for i in reversed(range(n)):
            for j in range(i + 1, n):
                b[i] = b[i] - A[i][j] * b[j]
            b[i] = b[i] / A[i][i]


def _cholesky(A: Matrix) -> None:
    n = len(A)
    for j in range(n):
        for k in range(j):
            A[j][j] = A[j][j] - A[j][k] * A[j][k]
        A[j][j] = A[j][j].root()
        for i in range(j + 1, n):
            for k in range(j):
                A[i][j] = A[i][j] - A[i][k] * A[j][k]
            A[i][j] = A[i][j] / A[j][j]


def _householder(A: Matrix, *, form_q: bool) -> None:
    m, n = len(A), len(A[0])
    columns = [list(column) for column in zip(*A, strict=True)]
    reflections: list[tuple[Vector, Counted]] = []
    for k in range(min(m - 1, n)):
        v = columns[k][k:]
        v[0] = v[0] + _dot(v, v).root()
        beta = Counted(2.0) / _dot(v, v)
        reflections.append((v, beta))
        for column in columns[k + 1 :]:
            _reflect(column, k, v, beta)
    if form_q:
        Q = [[Counted(float(i == j)) for i in range(m)] for j in range(n)]
        for k in reversed(range(len(reflections))):
            for column in Q[k:]:
                _reflect(column, k, *reflections[k])


def _reflect(column: Vector, k: int, v: Vector, beta: Counted) -> None:
    factor = beta * _dot(v, column[k:])
    for i, number in enumerate(v):
        column[k + i] = column[k + i] - factor * number


def _identity(n: int) -> list[Vector]:
    return [[Counted(float(i == j)) for i in range(n)] for j in range(n)]


ALGORITHMS: Mapping[str, Callable[[int], object]] = {
    "gemm": lambda n: _times(_matrix(n, n), _matrix(n, n)),
    "gemv": lambda n: _times(_matrix(n, n), _matrix(n, 1)),
    "dot": lambda n: _dot(_vector(n * n), _vector(n * n)),
    "syrk": lambda n: _square_of(_matrix(n, n)),
    "norm": lambda n: _norm(_matrix(n, n), _matrix(n, n)),
    "cholesky": lambda n: _cholesky(_matrix(n, n)),
    "solve": lambda n: _solve(_matrix(n, n), [_vector(n)]),
    "solve_many": lambda n: _solve(_matrix(n, n), [_vector(n) for _ in range(n)]),
    "inv": lambda n: _solve(_matrix(n, n), _identity(n)),
    "det": lambda n: _eliminate(_matrix(n, n)),
    "lu": lambda n: _eliminate(_matrix(n, n)),
    "qr": lambda n: _householder(_matrix(n, n), form_q=True),
    "qr_r": lambda n: _householder(_matrix(n, n), form_q=False),
}
"""By operation: what its textbook does at size n."""
COMPLEX = ("gemm", "gemv", "dot", "syrk", "solve", "solve_many", "det")


def flops(name: str, n: int, *, complex_numbers: bool = False) -> int:
    """Return how many real operations the textbook's algorithm makes."""
    Counted.spent, Counted.costs = 0, (2, 6) if complex_numbers else (1, 1)
    ALGORITHMS[name](n)
    return Counted.spent
