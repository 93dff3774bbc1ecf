"""Timing one call: calibrated loops, raw samples, nothing averaged away."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter

_FEWEST_SAMPLES = 3
_GROWTH = 10  # a first, cold call is a poor guide to how many loops are needed


@dataclass(frozen=True)
class Sampling:
    """How to take samples.

    As many calls make one sample as it takes to last `min_sample` seconds; one, if a call takes longer than that.
    Where `repeats` samples would take longer than `budget` seconds, fewer are taken, but never fewer than three (or
    `repeats`, if that is less). Raises ValueError for what is not above 0.
    """

    repeats: int = 5
    min_sample: float = 0.02
    budget: float = 2.0

    def __post_init__(self) -> None:
        kinds = {"repeats": (int,), "min_sample": (int, float), "budget": (int, float)}
        for name, types in kinds.items():
            value = getattr(self, name)
            if type(value) not in types or not value > 0:
                what = "whole number of at least 1" if types == (int,) else "number of seconds above 0"
                raise ValueError(f"{name} must be a {what}, not {value!r}.")

    def affordable(self, seconds: float) -> int:
        """Return how many samples to take if each takes that long."""
        return min(self.repeats, max(_FEWEST_SAMPLES, int(min(self.repeats, self.budget / seconds))))


DEFAULT = Sampling()


@dataclass(frozen=True)
class Timing:
    """Raw samples: seconds per call, each the mean over `loops` calls in a row."""

    loops: int
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds of a typical call."""
        return statistics.median(self.samples)


def time_call(
    call: Callable[[], object], sampling: Sampling = DEFAULT, *, clock: Callable[[], float] = perf_counter
) -> Timing:
    """Time a call that has been made before, so that caches and libraries are warm; garbage collection waits."""
    with _no_garbage_collection():
        loops, elapsed = _calibrate(call, sampling.min_sample, clock)
        known = (elapsed,) if loops == 1 else ()  # a call that long needed no calibration, and is a sample already
        wanted = sampling.affordable(elapsed) - len(known)
        samples = tuple(_elapsed(call, loops, clock) / loops for _ in range(wanted))
    return Timing(loops, known + samples)


def _calibrate(call: Callable[[], object], min_sample: float, clock: Callable[[], float]) -> tuple[int, float]:
    loops = 1
    while (elapsed := _elapsed(call, loops, clock)) < min_sample:
        wanted = min_sample / elapsed * 1.1 if elapsed > 0 else _GROWTH
        loops = math.ceil(loops * min(max(wanted, 1.1), _GROWTH))
    return loops, elapsed


def _elapsed(call: Callable[[], object], loops: int, clock: Callable[[], float]) -> float:
    rounds = repeat(None, loops)
    start = clock()
    for _ in rounds:
        call()
    return clock() - start


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
