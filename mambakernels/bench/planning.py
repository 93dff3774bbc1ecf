"""The cases and rounds that fit into a budget: pure functions of the costs of visits so far."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mambakernels.bench.cases import Case, Settings
from mambakernels.bench.pairs import FAMILY_LEVEL, rounds_for_interval
from mambakernels.errors import InvalidRequestError
from mambakernels.numeric import formatting
from mambakernels.numeric.measurement import Measurement
from mambakernels.numeric.user_code import NO_DTYPE

Key = tuple[str, int | None]

PILOT_SIZE = 128
ENOUGH_ROUNDS = 15  # with this many, an interval leaves out the most extreme rounds
_SPARE_ROUNDS = 3  # beyond what an interval needs, as other programs spoil some
_FIXED_SECONDS = 0.06  # of a visit: messages, waiting until the others idle, the least time of sampling
_CALLS_PER_VISIT = 2.5  # set-up, first call, check and one sample take as long as a few calls
_LEAST_SECONDS = 5.0  # of measuring that are worth the start of kernels
_FAR_TOO_LONG = 4  # a guess from a smaller size is too high, as larger products run at a higher rate, but by less


@dataclass(frozen=True)
class VisitCost:
    """The cost of a case at a visit, in seconds: the overhead, each sample, and the least time of sampling."""

    overhead: float
    sample: float
    least: float

    def with_samples(self, count: int) -> float:
        """Return the cost with at least `count` samples."""
        return self.overhead + max(count * self.sample, self.least)


Costs = Mapping[tuple[Key, Case], VisitCost]


def overhead(seconds: float, measurements: Collection[Measurement]) -> float:
    """Return the share of each measurement in the seconds of a visit that were not spent on samples."""
    sampling = sum(one.loops * sum(one.samples) for one in measurements)
    return max(0.0, seconds - sampling) / max(1, len(measurements))


@dataclass(frozen=True)
class Schedule:
    """The number of rounds, and of samples at each visit."""

    rounds: int
    samples: int
    round_seconds: float


def guess(known: Mapping[int, float], case: Case) -> float:
    """Guess the cost of a visit from the seconds of a call at smaller sizes, which grow like the flops; 0 without any.

    Operations whose flops are not counted grow like n³, controls like n².
    """
    smaller = [size for size in known if size <= case.size]
    nearest = max(smaller, default=None)
    if nearest is None:
        return 0.0
    return _FIXED_SECONDS + _CALLS_PER_VISIT * known[nearest] * _work(case, case.size) / _work(case, nearest)


def stops(cases: Iterable[Case]) -> list[tuple[Case, ...]]:
    """Return the cases of each visit: all controls together, as they are short; every other one alone."""
    chosen = list(cases)
    controls = tuple(case for case in chosen if case.control)
    return [*((case,) for case in chosen if not case.control), *([controls] if controls else [])]


def wanted_rounds(settings: Settings) -> int:
    """Return how many rounds every case should get: those that an interval needs with so many pairs, and a few more."""
    cases = sum(not case.control for case in settings.cases)
    family = max(1, (len(settings.kernels) - 1) * max(1, len(settings.threads)) * cases)
    return min(settings.rounds, rounds_for_interval(1 - FAMILY_LEVEL / family) + _SPARE_ROUNDS)


def fits(seconds: float, costs: Mapping[Case, float], *, left: float, rounds: int) -> bool:
    """Whether a case that costs so many seconds a round fits next to those that were chosen."""
    return (sum(costs.values()) + seconds) * rounds <= left


def hopeless(seconds: float, left: float) -> bool:
    """Whether a visit guessed to take `seconds` cannot fit into the `left` ones."""
    return seconds > _FAR_TOO_LONG * left


def schedule(costs: Costs, settings: Settings, left: float) -> Schedule:
    """Divide the seconds left: many rounds before many samples; no round if none fits."""
    lengths = {count: _round_seconds(costs, count) for count in range(1, settings.samples + 1)}
    good = [count for count, seconds in lengths.items() if left / seconds >= min(ENOUGH_ROUNDS, settings.rounds)]
    samples = max(good, default=1)
    rounds = min(settings.rounds, max(0, math.floor(left / lengths[samples])))
    return Schedule(rounds, samples, lengths[samples])


def by_case(costs: Costs) -> dict[Case, float]:
    """Return the cost of each case in a round, over all kernels, with one sample each."""
    total: dict[Case, float] = {}
    for (_, case), visit in costs.items():
        total[case] = total.get(case, 0.0) + visit.with_samples(1)
    return total


def to_drop(costs: Mapping[Case, float], left: float, *, in_order: bool = False) -> list[Case]:
    """Return the most expensive cases, or the last ones, without which the others fit; never controls or all others."""
    dropped: list[Case] = []
    whole = sum(costs.values())
    cases = [case for case in costs if not case.control]
    ordered = cases[::-1] if in_order else sorted(cases, key=lambda case: -costs[case])
    for case in ordered[:-1]:
        if whole <= left:
            break
        dropped.append(case)
        whole -= costs[case]
    return dropped


def too_long(case: Case, seconds: float, *, settings: Settings, left: float) -> InvalidRequestError:
    """Return the error for a budget too small for the smallest case, or for the start of the kernels."""
    budget = settings.budget
    wanted = math.ceil(budget - left + max(seconds * wanted_rounds(settings), _LEAST_SECONDS))
    why = f"{case} takes about {formatting.seconds(seconds)} a round, and {left:.1f} s were left after starting."
    advice = f"Give smaller sizes, or a budget of about {wanted} seconds."
    if left <= 0:  # no size is small enough
        why, advice = "starting the kernels took longer.", f"Give a budget of about {wanted} seconds."
    return InvalidRequestError(
        f"Not even one round fits into {budget:g} second{'s' * (budget != 1)}: {why}",
        where=f"--budget {budget:g}",
        next_step=advice,
    )


def left_out(cases: Mapping[Case, float], settings: Settings, *, left: float) -> Iterable[str]:
    """Yield a line for each case that does not fit; the values are seconds of a round."""
    rounds = wanted_rounds(settings)
    for case, seconds in cases.items():
        yield (
            f"{case} is left out: a round of it takes about {formatting.seconds(seconds)}, {rounds} rounds are wanted, "
            f"and {left:.0f} of {settings.budget:g} s were left for all."
        )


def _work(case: Case, n: int) -> float:
    from mambakernels.numeric import OPERATIONS

    n = max(n, 1)  # 0 stands for no size
    if case.control:
        return float(n) ** 2
    counted = case.dtype != NO_DTYPE and OPERATIONS[case.operation].flop_count(n, case.dtype)
    return counted or float(n) ** 3


def _round_seconds(costs: Costs, samples: int) -> float:
    return max(sum(visit.with_samples(samples) for visit in costs.values()), 1e-3)
