"""Timing one call: calibrated loops, raw samples, and a verdict on whether they can be trusted."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter
from typing import Any, Literal

from mambakernels.numeric import formatting, intervals
from mambakernels.numeric.intervals import Interval

Clock = Callable[[], float]
Verdict = Literal["stable", "noisy", "drifting", "too short"]

FEWEST_SAMPLES = 5  # fewer cannot show noise or drift
NOISY = 0.05  # width of the median's interval, relative to the median
DRIFTING = 0.02  # of the last third of the samples against the first
UNLIKELY = 0.05  # probability below which a trend counts as one

_GROWTH = 10  # a first, cold call is a poor guide to how many loops are needed
_UNROLLED = 10


@dataclass(frozen=True)
class Sampling:
    """How to take samples.

    As many calls make one sample as it takes to last `min_sample` seconds; one, if a call takes longer than that.
    `repeats` samples are taken, or as many as fit into `budget` seconds. ValueError if a value is not above 0.
    """

    repeats: int = 7
    min_sample: float = 0.02
    budget: float = 2.0

    def __post_init__(self) -> None:
        kinds = {"repeats": (int,), "min_sample": (int, float), "budget": (int, float)}
        for name, types in kinds.items():
            value = getattr(self, name)
            if type(value) not in types or not value > 0:
                what = "whole number of at least 1" if types == (int,) else "number of seconds above 0"
                raise ValueError(f"{name} must be a {what}, not {value!r}.")


DEFAULT = Sampling()


@dataclass(frozen=True)
class Stability:
    """Whether samples can be trusted, in a word, and in a sentence why not (empty if they can)."""

    verdict: Verdict
    remark: str = ""


class Sampled:
    """Statistics of samples, in seconds per call."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds of a typical call."""
        return statistics.median(self.samples)

    @property
    def minimum(self) -> float:
        """Seconds of a call in the fastest sample."""
        return min(self.samples)

    @property
    def interval(self) -> Interval:
        """The median's confidence interval, without assuming a distribution."""
        return intervals.median_interval(self.samples)


@dataclass(frozen=True)
class Timing(Sampled):
    """Raw samples: seconds per call, each the mean over `loops` calls in a row."""

    loops: int
    samples: tuple[float, ...]


def time_call(
    call: Callable[..., object],
    given: Sequence[Any] = (),
    *,
    sampling: Sampling = DEFAULT,
    clock: Clock = perf_counter,
    deadline: float | None = None,
) -> Timing:
    """Time a call that has been made before, so that caches and libraries are warm; garbage collection waits.

    No sample begins that would end after `deadline` (on the clock; without one, when the budget is spent), but one is
    always taken.
    """
    end = clock() + sampling.budget if deadline is None else deadline
    with no_garbage_collection():
        loops, tries = calibrate(call, given, min_sample=sampling.min_sample, clock=clock, deadline=end)
        # Calls that long needed no calibration, and are samples already; so they are where no time is left for others.
        usable = loops == 1 or clock() + max(tries) > end
        samples = [seconds / loops for seconds in tries[: sampling.repeats]] if usable else []
        while len(samples) < sampling.repeats and (not samples or clock() + max(tries) <= end):
            samples.append(time_loop(call, given, loops=loops, clock=clock) / loops)
    return Timing(loops, tuple(samples))


def calibrate(
    call: Callable[..., object],
    given: Sequence[Any] = (),
    *,
    min_sample: float = DEFAULT.min_sample,
    clock: Clock = perf_counter,
    deadline: float = math.inf,
) -> tuple[int, tuple[float, ...]]:
    """Return how many calls make a sample of `min_sample` seconds, and how long the last tries took.

    Two tries must last that long, as one may have been held up. Where the time until `deadline` is shorter, as many
    calls as take half of it.
    """
    loops = 1
    while True:
        tries: tuple[float, ...] = (time_loop(call, given, loops=loops, clock=clock),)
        wanted = min(min_sample, (deadline - clock()) / 2)
        if tries[0] >= wanted and clock() + tries[0] <= deadline:
            tries += (time_loop(call, given, loops=loops, clock=clock),)
        shortest = min(tries)
        if shortest >= wanted:
            return loops, tries
        factor = wanted / shortest * 1.1 if shortest > 0 else _GROWTH
        loops = math.ceil(loops * min(max(factor, 1.1), _GROWTH))


def time_loop(
    call: Callable[..., object], given: Sequence[Any] = (), *, loops: int, clock: Clock = perf_counter
) -> float:
    """Return how many seconds `loops` calls in a row take.

    Ten calls stand in one round, so that the loop itself costs each of them a few nanoseconds, as
    `benchmarks/cost_of_measuring.py` shows. Results are dropped inside: what it takes to free them belongs to a call.
    """
    rounds, rest = repeat(None, loops // _UNROLLED), repeat(None, loops % _UNROLLED)
    start = clock()
    for _ in rounds:
        call(*given)
        call(*given)
        call(*given)
        call(*given)
        call(*given)
        call(*given)
        call(*given)
        call(*given)
        call(*given)
        call(*given)
    for _ in rest:
        call(*given)
    return clock() - start


def stability(timing: Timing, sampling: Sampling = DEFAULT) -> Stability:
    """Say whether samples can be trusted: too short, drifting, noisy or stable."""
    taken, length = len(timing.samples), timing.loops * timing.median
    width = timing.interval.high - timing.interval.low
    if taken < FEWEST_SAMPLES:
        return Stability("too short", f"{taken} sample{'s' * (taken != 1)}: too few to tell noise from drift.")
    if length < sampling.min_sample / 2:
        asked = formatting.seconds(sampling.min_sample)
        return Stability("too short", f"A sample lasts {formatting.seconds(length)}, and {asked} were asked for.")
    change = intervals.drift(timing.samples)
    if abs(change) > DRIFTING and intervals.trend_probability(timing.samples) < UNLIKELY:
        return Stability(
            "drifting", f"From the first samples to the last, the time changed steadily, by {change:+.1%}."
        )
    if width > NOISY * timing.median:
        return Stability("noisy", f"The median's interval is {width / timing.median:.1%} wide.")
    return Stability("stable")


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep Python's garbage collector from running, and let it run again if it did before."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
