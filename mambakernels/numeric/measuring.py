"""Measuring operations: each set up, called, checked, timed, and checked again, within a budget."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Collection, Sequence
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np

from mambakernels.numeric.machine import memory_bytes
from mambakernels.numeric.measurement import Measurement
from mambakernels.numeric.operations import DTYPES, OPERATIONS, Operation
from mambakernels.numeric.timing import (
    DEFAULT,
    Clock,
    Sample,
    Sampler,
    Sampling,
    Stability,
    Timing,
    no_garbage_collection,
    sample,
    stability,
)

_ARRAYS_AT_ONCE = 6  # arguments, results, LAPACK's workspace: svd holds most
_DIGEST_BYTES = 8


def measure(
    operations: Sequence[str],
    sizes: Sequence[int],
    *,
    dtypes: Sequence[str] = ("float64",),
    repeats: int = DEFAULT.repeats,
    min_sample: float = DEFAULT.min_sample,
    least: float = DEFAULT.least,
    budget: float = DEFAULT.budget,
    seed: int = 0,
) -> list[Measurement]:
    """Measure every operation at every size with every dtype, in that order.

    Parameters
    ----------
    operations
        Names out of `OPERATIONS`; those of SciPy and scikit-learn need them installed.
    sizes
        Each n means n-by-n matrices, and vectors of n² numbers for dot, fft, exp and sort.
    dtypes
        Out of float32, float64, complex64, complex128.
    repeats
        The least number of samples of each.
    min_sample
        The least seconds of one sample; short calls are repeated until it lasts that long.
    least
        The least seconds for the samples of each: short samples are many.
    budget
        The seconds for one operation, size and dtype, from set-up to the last check. A slow library gets fewer samples
        than `repeats`; one whose first call alone takes longer gets that call as the only sample.
    seed
        Of the random numbers; the same seed gives the same numbers in every kernel.

    Raises
    ------
    ValueError
        A value is not allowed, an operation needs a module that is not installed, or arrays do not fit into memory.
    """
    _check_names("operations", operations, OPERATIONS)
    _check_names("dtypes", dtypes, DTYPES)
    _check_sizes(sizes)
    sampling = Sampling(repeats=repeats, min_sample=min_sample, least=least, budget=budget)
    for name in operations:
        _check_possible(OPERATIONS[name], dtypes)
    cases = product(operations, sizes, dtypes)
    return [measure_one(OPERATIONS[name], n, dtype, sampling=sampling, seed=seed) for name, n, dtype in cases]


def measure_one(
    operation: Operation,
    n: int,
    dtype: str,
    *,
    sampling: Sampling = DEFAULT,
    seed: int = 0,
    clock: Clock = perf_counter,
) -> Measurement:
    """Measure one operation, which need not be among `OPERATIONS`."""
    start = clock()
    call = PreparedCall(operation, n, dtype, seed=seed, clock=clock)
    call.check()
    left = start + sampling.budget - clock()
    if call.first_call > left:
        why = (
            f"One call took {call.first_call:.3g} s and left no time for a second in a budget of "
            f"{sampling.budget:.3g} s: one sample, cold."
        )
        return Measurement.of(call, Timing.of([call.first]), Stability("too short", why))
    one_more = call.first_call + call.check_takes
    checks_again = left > call.first_call + one_more
    deadline = start + sampling.budget - (one_more if checks_again else 0.0)
    with _flags_ignored():
        timing = sample(call.sampler, sampling=sampling, clock=clock, deadline=deadline)
    if checks_again:
        call.check()
    return Measurement.of(call, timing, stability(timing, sampling))


class PreparedCall:
    """One operation, size and dtype, set up and called once: for code that takes its samples in turns with others.

    `first` is the first, cold call as a sample, and `first_call` its seconds; `check_takes` those of the last call of
    `check`; `residual` and `error` the worst of all checks; `fingerprints` one for each.
    """

    def __init__(self, operation: Operation, n: int, dtype: str, *, seed: int = 0, clock: Clock = perf_counter) -> None:
        self.operation, self.n, self.dtype, self.seed = operation, n, dtype, seed
        self.given = operation.setup(n, np.dtype(dtype), np.random.default_rng([seed, n]))
        self.residual = 0.0
        self.error: float | None = None
        self.fingerprints: list[str] = []
        self.check_takes = 0.0
        self._clock = clock
        self.sampler = Sampler(operation.call, self.given, clock=clock)
        self._result: Any
        with _flags_ignored():
            self.first, self._result = self.sampler.first()
        self.first_call = self.first.wall

    def calibrate(self, min_sample: float = DEFAULT.min_sample) -> int:
        """Return how many calls make a sample of at least `min_sample` seconds."""
        with no_garbage_collection(), _flags_ignored():
            return self.sampler.calibrate(min_sample=min_sample)[0]

    def sample(self, loops: int) -> Sample:
        """Take a sample of `loops` calls in a row."""
        with no_garbage_collection(), _flags_ignored():
            return self.sampler.take(loops)

    def check(self) -> float:
        """Check a result, the first call's or that of one more call, and return its residual."""
        start = self._clock()
        with _flags_ignored():  # a wrong result may hold anything, and is reported as wrong
            result = self.operation.call(*self.given) if self._result is None else self._result
            self._result = None  # the first check is of the first call's result
            residual = _finite(self.operation.check(self.given, result))
            # The same entries in every check, and in every kernel.
            error = self.operation.error(self.given, result, np.random.default_rng([self.seed, self.n]))
        self.residual = max(self.residual, residual)
        if error is not None:
            self.error = max(self.error or 0.0, _finite(error))
        self.fingerprints.append(result_fingerprint(result))
        self.check_takes = self._clock() - start
        return residual


def prepare(name: str, n: int, dtype: str = "float64", *, seed: int = 0) -> PreparedCall:
    """Set up one of the `OPERATIONS` and call it once; ValueError for what `measure` would refuse."""
    _check_names("operations", [name], OPERATIONS)
    _check_names("dtypes", [dtype], DTYPES)
    _check_sizes([n])
    _check_possible(OPERATIONS[name], [dtype])
    return PreparedCall(OPERATIONS[name], n, dtype, seed=seed)


def result_fingerprint(result: Any) -> str:
    """Return a hash, in hexadecimal, of the bits of a result and of all its parts."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in result if isinstance(result, tuple) else (result,):
        digest.update(_bits(part))
    return digest.hexdigest()


def _flags_ignored() -> np.errstate:
    """Have NumPy not warn of the processor's floating-point flags.

    Some libraries leave flags behind that say nothing of the result (OpenBLAS and Accelerate do where the processor has
    SME: numpy issues 28687 and 29820), and each warning takes time. Whether a result is right, its residual says.
    """
    return np.errstate(all="ignore")


def _bits(part: Any) -> Any:
    """Return the bytes of an array, or of the text that stands for anything else."""
    try:
        array = np.ascontiguousarray(part)
    except ValueError:  # lists of different lengths
        return repr(part).encode()
    return repr(part).encode() if array.dtype.hasobject else array.reshape(-1).view(np.uint8).data


def _finite(error: float) -> float:
    return error if math.isfinite(error) else sys.float_info.max  # JSON has no infinity


def _check_names(what: str, given: object, allowed: Collection[str]) -> None:
    choices = ", ".join(allowed)
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise ValueError(f"{what} must be a list with some of: {choices}; not {given!r}.")
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise ValueError(f"{what} has {', '.join(map(repr, unknown))}, which is not among: {choices}.")


def _check_possible(operation: Operation, dtypes: Sequence[str]) -> None:
    if not operation.available:
        raise ValueError(f"{operation.name} needs {operation.needs}, which is not installed in this environment.")
    others = [dtype for dtype in dtypes if dtype not in operation.routines]
    if others:
        raise ValueError(f"{operation.name} takes {', '.join(operation.routines)}, not {', '.join(others)}.")


def _check_sizes(given: object) -> None:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise ValueError(f"sizes must be a list of whole numbers, such as [256, 512], not {given!r}.")
    for n in given:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"sizes must hold whole numbers of at least 1, not {n!r}.")
    largest, memory = max(given), memory_bytes()
    needed = _ARRAYS_AT_ONCE * largest**2 * np.dtype("complex128").itemsize
    if memory is not None and needed > memory:
        raise ValueError(
            f"size {largest} means arrays of {largest}² numbers, {needed / 1e9:.3g} GB in all, "
            f"but this machine has {memory / 1e9:.3g} GB of memory."
        )
