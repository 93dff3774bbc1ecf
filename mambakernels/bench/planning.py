"""The schedule of rounds that fits into a budget: pure functions of the costs of visits so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mambakernels.bench.cases import Case, Settings
from mambakernels.errors import InvalidRequestError

Key = tuple[str, int | None]

PILOT_SIZE = 128
ENOUGH_ROUNDS = 15  # with this many, an interval of 99.9 % leaves out the most extreme rounds
_CALLS_PER_VISIT = 4
_FAR_TOO_LONG = (
    4  # a guess from a smaller size is too high, as larger products run at a higher rate, but less than this
)


@dataclass(frozen=True)
class VisitCost:
    """The cost of a visit, in seconds: the overhead, and each sample."""

    overhead: float
    sample: float

    def with_samples(self, count: int, least: float) -> float:
        """Return the cost of a visit with at least `count` samples and at least `least` seconds of sampling."""
        return self.overhead + max(count * self.sample, least)


Costs = Mapping[tuple[Key, Case], VisitCost]


@dataclass(frozen=True)
class Schedule:
    """The number of rounds, and of samples at each visit."""

    rounds: int
    samples: int
    round_seconds: float


def guess(known: Mapping[int, float], n: int) -> float:
    """Guess the cost of a visit at size n from calls at smaller sizes, as if all of it grew like n³; 0 without any.

    Set-up, warm-up, check and one sample take as long as a few calls.
    """
    smaller = [size for size in known if size <= n]
    nearest = max(smaller, default=None)
    return 0.0 if nearest is None else _CALLS_PER_VISIT * known[nearest] * (n / nearest) ** 3


def hopeless(seconds: float, left: float) -> bool:
    """Whether a visit guessed to take `seconds` cannot fit into the `left` ones."""
    return seconds > _FAR_TOO_LONG * left


def schedule(costs: Costs, settings: Settings, left: float) -> Schedule:
    """Divide the seconds left: many rounds before many samples; InvalidRequestError if no round fits."""
    lengths = {count: _round_seconds(costs, settings, count) for count in range(1, settings.samples + 1)}
    good = [count for count, seconds in lengths.items() if left / seconds >= min(ENOUGH_ROUNDS, settings.rounds)]
    samples = max(good, default=1)
    rounds = min(settings.rounds, math.floor(left / lengths[samples]))
    if rounds < 1:
        raise too_long(by_case(costs, settings), left=left, budget=settings.budget)
    return Schedule(rounds, samples, lengths[samples])


def by_case(costs: Costs, settings: Settings) -> dict[Case, float]:
    """Return the cost of each case in a round, over all kernels, with one sample each."""
    total: dict[Case, float] = {}
    for (_, case), visit in costs.items():
        total[case] = total.get(case, 0.0) + visit.with_samples(1, settings.visit_seconds)
    return total


def too_long(
    costs: Mapping[Case, float], *, left: float, budget: float, room: float | None = None
) -> InvalidRequestError:
    """Return the error for a budget too small for a round; it names cases to drop for one of at most `room` seconds."""
    whole = sum(costs.values())
    dropped = ", ".join(f"{case} ({costs[case]:.1f} s)" for case in to_drop(costs, left if room is None else room))
    wanted = math.ceil(budget - left + whole * ENOUGH_ROUNDS)
    return InvalidRequestError(
        f"Not even one round fits into {budget:g} seconds: a round takes about {whole:.1f} s, and "
        f"{max(left, 0):.1f} s are left after starting and warming up.",
        where=f"--budget {budget:g}",
        next_step=(f"Drop {dropped}, or give" if dropped else "Give") + f" a budget of about {wanted} seconds.",
    )


def with_larger(costs: Mapping[Case, float], cases: Iterable[Case]) -> dict[Case, float]:
    """Add the costs of cases that were not reached, guessed from a smaller size of the same."""
    found = dict(costs)
    for case in cases:
        smaller = [known for known in costs if (known.operation, known.dtype) == (case.operation, case.dtype)]
        if case not in found and smaller:
            nearest = max(smaller, key=lambda known: known.size)
            found[case] = costs[nearest] * (case.size / nearest.size) ** 3
    return found


def to_drop(costs: Mapping[Case, float], left: float) -> list[Case]:
    """Return the most expensive cases without which a round fits, never controls."""
    dropped: list[Case] = []
    whole = sum(costs.values())
    for case in sorted((case for case in costs if not case.control), key=lambda case: -costs[case]):
        if whole <= left:
            break
        dropped.append(case)
        whole -= costs[case]
    return dropped


def _round_seconds(costs: Costs, settings: Settings, samples: int) -> float:
    return max(sum(visit.with_samples(samples, settings.visit_seconds) for visit in costs.values()), 1e-3)
