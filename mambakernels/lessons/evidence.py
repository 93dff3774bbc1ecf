"""How busy the machine was while a lesson measured: a control next to each measurement, and the disturbed samples.

The control sorts a few thousand numbers, in which no BLAS takes part. If it always takes equally long, the machine is
not the reason for what a lesson sees, or does not see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

STEADY = 1.15  # times as long as at best, in the worst case
BUSY = 0.5  # of the samples
_CONTROL_NUMBERS = 4096
_CONTROL_SECONDS = 0.01
_LATEST = 60


@dataclass(frozen=True)
class Evidence:
    """Seconds of the control, and how many of the samples of a measurement other programs disturbed.

    `where` names what the control ran in: it takes another time on another code path of NumPy, whatever else runs.
    """

    controls: tuple[float, ...]
    samples: int
    disturbed: int
    where: str = "this kernel"


EVIDENCE: deque[Evidence] = deque(maxlen=_LATEST)


def seconds_of(call: Callable[..., object], *arguments: Any, budget: float = 0.3) -> float:
    """Return the seconds of a call, measured for about `budget` seconds, after a first one that does not count.

    What other programs add to it is left out as far as the system counts it. A control is measured next to it.
    """
    return _measured({"": (call, arguments)}, budget=budget, least=3)[""]


def race(calls: Mapping[str, Callable[[], object]], *, budget: float = 1.0, least: int = 3) -> dict[str, float]:
    """Measure calls in turns, for `budget` seconds and at least `least` turns; return the seconds of each, by name."""
    return _measured({name: (call, ()) for name, call in calls.items()}, budget=budget, least=least)


def _measured(
    calls: Mapping[str, tuple[Callable[..., object], Sequence[Any]]], *, budget: float, least: int
) -> dict[str, float]:
    from mambakernels.numeric.timing import Sample, Sampler, Timing, no_garbage_collection

    samplers = {name: Sampler(call, given) for name, (call, given) in calls.items()}
    taken: dict[str, list[Sample]] = {name: [] for name in calls}
    with no_garbage_collection():
        for sampler in samplers.values():
            sampler.first()
        before, begin = _control(), perf_counter()
        each = budget / len(calls) / 20
        loops = {name: sampler.calibrate(min_sample=min(0.001, each))[0] for name, sampler in samplers.items()}
        while perf_counter() - begin < budget or min(map(len, taken.values())) < least:
            for name, sampler in samplers.items():
                taken[name].append(sampler.take(loops[name]))
        after = _control()
    samples = [sample for several in taken.values() for sample in several if sample.disturbed is not None]
    EVIDENCE.append(Evidence((before, after), len(samples), sum(map(bool, (one.disturbed for one in samples)))))
    return {name: Timing.of(several).seconds for name, several in taken.items()}


def reason(otherwise: str, *, gap: float) -> str:
    """Return why an expectation was not met: a busy machine if the evidence says so, or else `otherwise`.

    `gap` is the factor by which it was missed. Where other programs disturbed few samples, they can explain no more
    than the control differs by.
    """
    controls: dict[str, list[float]] = {}
    for one in EVIDENCE:
        controls.setdefault(one.where, []).extend(one.controls)
    samples, disturbed = sum(one.samples for one in EVIDENCE), sum(one.disturbed for one in EVIDENCE)
    if not controls:
        return otherwise
    apart = max((max(taken) / min(taken) for taken in controls.values() if taken), default=1.0)
    share = disturbed / samples if samples else 0.0
    seen = f"other programs disturbed {share:.0%} of the samples, and a control took up to {apart:.2f} times its least"
    if share > BUSY or STEADY < apart >= gap:
        return f"The machine was busy: {seen}. Run it again when less is going on."
    busy = "The machine was busy, but that does not explain it"
    not_it = busy if apart > STEADY else "The machine is not the reason"
    return f"{not_it}: {seen}. {otherwise}".rstrip()


def _control() -> float:
    """Return the seconds that sorting takes now."""
    import numpy as np

    from mambakernels.numeric.timing import Sampling, time_call

    numbers = np.random.default_rng(0).random(_CONTROL_NUMBERS)
    np.sort(numbers)
    sampling = Sampling(repeats=3, min_sample=_CONTROL_SECONDS / 10, least=_CONTROL_SECONDS, budget=_CONTROL_SECONDS)
    return time_call(np.sort, (numbers,), sampling=sampling).seconds
