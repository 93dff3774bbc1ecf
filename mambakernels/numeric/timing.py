"""Timing one call: calibrated loops, raw samples with what the system counted, and whether they can be trusted."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter
from typing import Any, Literal

from mambakernels.numeric import formatting, intervals
from mambakernels.numeric.accounting import Counters, Counts
from mambakernels.numeric.estimates import DISTURBED, Sampled

Clock = Callable[[], float]
Verdict = Literal["stable", "noisy", "drifting", "too short"]

FEWEST_SAMPLES = 5  # fewer cannot show noise or drift
NOISY = 0.05  # width of the estimate's interval, relative to the estimate
DRIFTING = 0.02  # of the last third of the samples against the first
UNLIKELY = 0.05  # probability below which a trend counts as one
WAITED = 0.01  # of a sample's time: a thread that waits longer for a core disturbs it
HELPED = 0.05  # of the calling thread's CPU time: other threads that use more took part in the work

_GROWTH = 10  # a first, cold call is a poor guide to how many loops are needed
_UNROLLED = 10
_UNKNOWN = Counts(None, None, None, None)


@dataclass(frozen=True)
class Sampling:
    """How to take samples.

    As many calls make one sample as it takes to last `min_sample` seconds; one, if a call takes longer than that. Short
    samples are often undisturbed on a busy machine, long ones never. At least `repeats` samples are taken, and more
    until `least` seconds have passed, or as many as fit into `budget` seconds. ValueError if a value is not above 0.
    """

    repeats: int = 7
    min_sample: float = 0.001
    least: float = 0.1
    budget: float = 2.0

    def __post_init__(self) -> None:
        kinds = {"repeats": (int,), "min_sample": (int, float), "least": (int, float), "budget": (int, float)}
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


@dataclass(frozen=True)
class Sample:
    """One sample: seconds of `loops` calls in a row, and what the system counted meanwhile."""

    loops: int
    wall: float
    counts: Counts = _UNKNOWN

    @property
    def per_call(self) -> float:
        """Seconds per call."""
        return self.wall / self.loops

    @property
    def disturbed(self) -> bool | None:
        """Whether other programs interfered; None where the system does not say.

        A thread was switched out, or waited for a core. Where waiting is not counted, a single thread that had the core
        for less than all of the time was disturbed; of several threads, nothing is known.
        """
        own, process, switches, waited = self.counts
        if switches is None or own is None or process is None:
            return None
        if waited is not None:
            return switches > 0 or waited > WAITED * self.wall
        return switches > 0 or self.wall - own > WAITED * self.wall if process - own <= HELPED * own else None


@dataclass(frozen=True)
class Timing(Sampled):
    """Raw samples of one call, each the mean over `loops` calls in a row; `Sampled` explains the fields."""

    loops: int
    samples: tuple[float, ...]
    cpu_samples: tuple[float, ...] = ()
    disturbed: tuple[bool, ...] = ()
    alone: bool = False

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Timing:
        """Return the timing that samples of the same call make."""
        own = [sample.counts.own / sample.loops for sample in samples if sample.counts.own is not None]
        process = sum(sample.counts.process / sample.loops for sample in samples if sample.counts.process is not None)
        disturbed = [sample.disturbed for sample in samples if sample.disturbed is not None]
        return cls(
            loops=samples[0].loops,
            samples=tuple(_rounded(sample.per_call) for sample in samples),
            cpu_samples=tuple(map(_rounded, own)) if len(own) == len(samples) else (),
            disturbed=tuple(disturbed) if len(disturbed) == len(samples) else (),
            alone=bool(own) and process - sum(own) <= HELPED * sum(own),
        )


def _rounded(seconds: float) -> float:
    """Return seconds with the digits that clocks resolve: samples are many, and are stored as text."""
    return float(f"{seconds:.6g}")


class Sampler:
    """Takes samples of one call, which has been made before, so that caches and libraries are warm.

    With another `clock` than the system's, nothing is known but the time.
    """

    def __init__(self, call: Callable[..., object], given: Sequence[Any] = (), *, clock: Clock = perf_counter) -> None:
        self._call, self._given, self._clock = call, given, clock
        self._counters = Counters() if clock is perf_counter else None

    def take(self, loops: int) -> Sample:
        """Take one sample of so many calls."""
        if self._counters is None:
            return Sample(loops, time_loop(self._call, self._given, loops=loops, clock=self._clock))
        start = self._counters.start()
        wall = time_loop(self._call, self._given, loops=loops, clock=self._clock)
        return Sample(loops, wall, self._counters.since(start))

    def first(self) -> tuple[Sample, Any]:
        """Make the first call, which may start threads; return it as a sample, and its result."""
        counters = self._counters
        counted = None if counters is None else counters.start()
        start = self._clock()
        result = self._call(*self._given)
        wall = self._clock() - start
        if counters is None or counted is None:
            return Sample(1, wall), result
        counters.refresh()
        return Sample(1, wall, counters.since(counted)), result

    def calibrate(
        self, *, min_sample: float = DEFAULT.min_sample, deadline: float = math.inf
    ) -> tuple[int, tuple[Sample, ...]]:
        """Return how many calls make a sample of `min_sample` seconds, and the last tries.

        Two tries must last that long, as one may have been held up. Where the time until `deadline` is shorter, as many
        calls as take half of it.
        """
        loops = 1
        while True:
            tries: tuple[Sample, ...] = (self.take(loops),)
            wanted = min(min_sample, (deadline - self._clock()) / 2)
            if tries[0].wall >= wanted and self._clock() + tries[0].wall <= deadline:
                tries += (self.take(loops),)
            shortest = min(one.wall for one in tries)
            if shortest >= wanted:
                return loops, tries
            factor = wanted / shortest * 1.1 if shortest > 0 else _GROWTH
            loops = math.ceil(loops * min(max(factor, 1.1), _GROWTH))


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
    return sample(Sampler(call, given, clock=clock), sampling=sampling, clock=clock, deadline=deadline)


def sample(
    sampler: Sampler, *, sampling: Sampling = DEFAULT, clock: Clock = perf_counter, deadline: float | None = None
) -> Timing:
    """Do what `time_call` does, with a sampler of that call."""
    end = clock() + sampling.budget if deadline is None else deadline
    with no_garbage_collection():
        loops, tries = sampler.calibrate(min_sample=sampling.min_sample, deadline=end)
        longest, enough = max(one.wall for one in tries), clock() + sampling.least
        # Calls that long needed no calibration, and are samples already; so they are where no time is left for others.
        taken = list(tries[: sampling.repeats]) if loops == 1 or clock() + longest > end else []
        while not taken or ((len(taken) < sampling.repeats or clock() < enough) and clock() + longest <= end):
            taken.append(sampler.take(loops))
    return Timing.of(taken)


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
    times, seconds = timing.usable, timing.seconds
    taken, length, width = len(times), timing.loops * seconds, timing.interval.high - timing.interval.low
    if timing.estimator == DISTURBED:
        return Stability("noisy", f"Other programs disturbed all {len(times)} samples.")
    if taken < FEWEST_SAMPLES:
        return Stability("too short", f"{taken} sample{'s' * (taken != 1)}: too few to tell noise from drift.")
    if length < sampling.min_sample / 2:
        asked = formatting.seconds(sampling.min_sample)
        return Stability("too short", f"A sample lasts {formatting.seconds(length)}, and {asked} were asked for.")
    change = intervals.drift(times)
    if abs(change) > DRIFTING and intervals.trend_probability(times) < UNLIKELY:
        return Stability(
            "drifting", f"From the first samples to the last, the time changed steadily, by {change:+.1%}."
        )
    if width > NOISY * seconds:
        return Stability("noisy", f"The estimate's interval is {width / seconds:.1%} wide.")
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
