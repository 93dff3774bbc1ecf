"""Measuring operations: each set up, called, checked, timed, and checked again."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from mambakernels.numeric.machine import memory_bytes
from mambakernels.numeric.operations import DTYPES, OPERATIONS, Operation
from mambakernels.numeric.probing import blas_threads
from mambakernels.numeric.timing import DEFAULT, Sampling, Timing, time_call

_ARRAYS_AT_ONCE = 6  # arguments, results, LAPACK's workspace: svd holds most


@dataclass(frozen=True)
class Measurement:
    """One operation at one size and dtype, timed and checked.

    `samples` are seconds per call, each the mean over `loops` calls; `flops` and `bytes` belong to one call; `threads`
    is how many the BLAS used, if it tells. A result is right if `residual` is at most `residual_bound`.
    """

    operation: str
    routine: str | None
    dtype: str
    size: int
    shape: Mapping[str, int]
    flops: float | None
    flops_nominal: bool
    bytes: float | None
    control: bool
    threads: int | None
    loops: int
    samples: tuple[float, ...]
    residual: float
    residual_bound: float

    @property
    def median(self) -> float:
        """Seconds of a typical call."""
        return Timing(self.loops, self.samples).median

    @property
    def gflops(self) -> float | None:
        """Floating-point operations a second at the median time, in 10⁹; None where they are not counted."""
        return self.flops / self.median / 1e9 if self.flops else None

    @property
    def correct(self) -> bool:
        """Whether the result is right, as far as its residual tells."""
        return self.residual <= self.residual_bound

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it, every field under its own name."""
        return vars(self) | {"shape": dict(self.shape), "samples": list(self.samples)}


def measure(
    operations: Sequence[str],
    sizes: Sequence[int],
    *,
    dtypes: Sequence[str] = ("float64",),
    repeats: int = DEFAULT.repeats,
    min_sample: float = DEFAULT.min_sample,
    budget: float = DEFAULT.budget,
    seed: int = 0,
) -> list[Measurement]:
    """Measure every operation at every size with every dtype, in that order.

    Parameters
    ----------
    operations
        Names out of `OPERATIONS`.
    sizes
        Each n means n-by-n matrices, and vectors of n² numbers for dot, fft and exp.
    dtypes
        Out of float32, float64, complex128.
    repeats
        How many samples to take of each.
    min_sample
        Seconds that one sample lasts at least; short calls are repeated until it does.
    budget
        Seconds the samples of one operation, size and dtype may take together; a slow library gets fewer samples than
        `repeats`, but at least three.
    seed
        Of the random numbers; the same seed gives the same numbers in every kernel.

    Raises
    ------
    ValueError
        Something is not among the values that are allowed, or a size does not fit into memory.
    """
    _check_names("operations", operations, OPERATIONS)
    _check_names("dtypes", dtypes, DTYPES)
    _check_sizes(sizes)
    sampling = Sampling(repeats=repeats, min_sample=min_sample, budget=budget)
    cases = product(operations, sizes, dtypes)
    return [measure_one(OPERATIONS[name], n, dtype, sampling=sampling, seed=seed) for name, n, dtype in cases]


def measure_one(
    operation: Operation, n: int, dtype: str, *, sampling: Sampling = DEFAULT, seed: int = 0
) -> Measurement:
    """Measure one operation, which need not be among `OPERATIONS`."""
    given = operation.setup(n, np.dtype(dtype), np.random.default_rng([seed, n]))
    first = _residual(operation, given)
    timing = time_call(lambda: operation.call(*given), sampling)
    last = _residual(operation, given)
    return Measurement(
        operation=operation.name,
        routine=operation.routines[dtype],
        dtype=dtype,
        size=n,
        shape=MappingProxyType(operation.shape(n)),
        flops=operation.flop_count(n, dtype),
        flops_nominal=operation.flops_nominal,
        bytes=operation.byte_count(n, dtype),
        control=operation.control,
        threads=blas_threads(),
        loops=timing.loops,
        samples=timing.samples,
        residual=max(first, last),
        residual_bound=operation.bound(n) * float(np.finfo(dtype).eps),
    )


def _residual(operation: Operation, given: tuple[Any, ...]) -> float:
    """Call the operation and return how wrong its result is; the largest number there is, if that is not a number."""
    with np.errstate(all="ignore"):  # a wrong result may hold anything, and is reported as wrong
        residual = operation.check(given, operation.call(*given))
    return residual if math.isfinite(residual) else sys.float_info.max  # JSON knows no infinity


def _check_names(what: str, given: object, allowed: Collection[str]) -> None:
    choices = ", ".join(allowed)
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise ValueError(f"{what} must be a list with some of: {choices}; not {given!r}.")
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise ValueError(f"{what} has {', '.join(map(repr, unknown))}, which is not among: {choices}.")


def _check_sizes(given: object) -> None:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise ValueError(f"sizes must be a list of whole numbers, such as [256, 512], not {given!r}.")
    for size in given:
        _check_size(size)


def _check_size(n: object) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"sizes must hold whole numbers of at least 1, not {n!r}.")
    needed = _ARRAYS_AT_ONCE * n**2 * np.dtype("complex128").itemsize
    available = memory_bytes()
    if available is not None and needed > available:
        raise ValueError(
            f"size {n} means arrays of {n}² numbers, {needed / 1e9:.3g} GB in all, "
            f"but this machine has {available / 1e9:.3g} GB of memory."
        )
