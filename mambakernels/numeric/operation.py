"""An operation, as data: one NumPy call that is timed and checked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mambakernels.numeric import exact
from mambakernels.numeric.residuals import Array

DTYPES = ("float32", "float64", "complex64", "complex128")
LETTERS = dict(zip(DTYPES, "sdcz", strict=True))
_REAL_LETTERS = dict(zip(DTYPES, "sdsd", strict=True))

Setup = Callable[[int, "np.dtype[Any]", np.random.Generator], tuple[Array, ...]]
Routines = Mapping[str, "str | None"]


@dataclass(frozen=True)
class Operation:
    """One call that is timed and checked.

    Attributes
    ----------
    routines
        The BLAS or LAPACK routines behind the call (`dgeqrf+dorgqr`), by dtype; None where there is none. A dtype that
        is not a key is one that the call does not take.
    setup
        From (n, dtype, random generator) to the call's arguments.
    call
        What is timed.
    shape
        From n to the sizes, named as BLAS does. The formulas below take these names.
    flops
        Floating-point operations for real numbers, from the shape; None where counting makes no sense.
    elements
        The least number of elements that must move between memory and processor, from the shape; or None.
    residual
        From the arguments and then the result, or its parts, to a relative error.
    bound
        The largest residual of a right result, in units of the dtype's eps, from the shape.
    sums
        From a random generator, the arguments and then the result to a few entries of it, each with the vectors whose
        product it is; None where entries are not such sums.
    complex_flops
        The same as `flops` for complex numbers, counted in real operations, where it is not four times that.
    flops_nominal
        Whether the work depends on the data, so that `flops` is a convention.
    control
        Whether no BLAS takes part: kernels that differ only in BLAS must agree on it.
    needs
        The module that the call needs in addition to NumPy, such as `scipy`.
    """

    name: str
    routines: Routines
    setup: Setup
    call: Callable[..., Any]
    shape: Callable[[int], dict[str, int]]
    flops: Callable[..., float] | None
    elements: Callable[..., int] | None
    residual: Callable[..., float]
    bound: Callable[..., float]
    sums: Callable[..., Iterable[exact.Sum]] | None = None
    complex_flops: Callable[..., float] | None = None
    flops_nominal: bool = False
    control: bool = False
    needs: str | None = None

    @property
    def available(self) -> bool:
        """Whether the module that the call needs is installed here."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None

    def flop_count(self, n: int, dtype: str) -> float | None:
        """Return the floating-point operations of one call, complex ones in real ones."""
        if self.flops is None:
            return None
        if np.dtype(dtype).kind != "c":
            return self.flops(**self.shape(n))
        return self.complex_flops(**self.shape(n)) if self.complex_flops else 4.0 * self.flops(**self.shape(n))

    def byte_count(self, n: int, dtype: str) -> float | None:
        """Return the least number of bytes one call must move between memory and processor."""
        return float(self.elements(**self.shape(n)) * np.dtype(dtype).itemsize) if self.elements else None

    def check(self, given: tuple[Array, ...], result: Any) -> float:
        """Return how wrong the result of a call with these arguments is."""
        parts = result if isinstance(result, tuple) else (result,)
        return self.residual(*given, *parts)

    def error(self, given: tuple[Array, ...], result: Any, rng: np.random.Generator) -> float | None:
        """Return the largest error of entries that `rng` chooses, against exact arithmetic, as `exact.error` does."""
        if self.sums is None:
            return None
        return float(np.max([exact.error(*one) for one in self.sums(rng, *given, result)]))

    def allowed(self, n: int, dtype: str) -> float:
        """Return the largest residual of a right result."""
        return self.bound(**self.shape(n)) * float(np.finfo(dtype).eps)


def blas(*stems: str, then_real: str = "") -> dict[str, str | None]:
    """Return routines by dtype: `gemm` is sgemm, dgemm, cgemm and zgemm; `then_real` has no complex form."""
    names = {dtype: [letter + stem for stem in stems] for dtype, letter in LETTERS.items()}
    real = {dtype: [letter + then_real] if then_real else [] for dtype, letter in _REAL_LETTERS.items()}
    return {dtype: "+".join(names[dtype] + real[dtype]) for dtype in DTYPES}


def lapack(real: str, hermitian: str = "") -> dict[str, str | None]:
    """Return the LAPACK routines that `numpy.linalg` calls; it computes single precision in double and rounds."""
    names = {"f": "d" + real, "c": "z" + (hermitian or real)}
    return {dtype: names[np.dtype(dtype).kind] for dtype in DTYPES}


def none() -> dict[str, str | None]:
    """Return no routine for any dtype: no BLAS takes part."""
    return dict.fromkeys(DTYPES)
