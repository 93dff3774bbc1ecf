"""Pairs of kernels: ratios paired over the rounds, with an interval and a verdict.

The unit is the round: in each, the kernels measured a case one right after the other, so that what slows the machine
for a while slows both. The ratio is the median of the rounds' ratios. Its interval lies between two of them (order
statistics), so no distribution is assumed: heavy tails and outliers cost rounds, nothing else. Too few rounds give no
interval. With many pairs, each has to be surer (Bonferroni): the chance that any pair is called different by accident
stays below `FAMILY_LEVEL`. Visits whose samples were all disturbed do not count.

Two processes with the same library differ slightly as long as they live (where its pages and buffers lie), and no
number of rounds averages that out: 20 pairs, each in new processes, had ratios with a standard deviation of 0.8 %.
`PER_PROCESS` widens the interval at either end. So does what a control of the same two kernels surely differs by, up to
`CONTROL_TOLERANCE`; beyond that, no comparison of them can be trusted.

The verdict is *equal* if the whole interval lies inside the margin, from 1 / (1 + margin) to 1 + margin: a difference
that small does not matter, even if it is surely there. Otherwise it is *faster* or *slower* if the whole interval lies
on one side of 1, and *undecided* if not, or if there is no interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mambakernels.bench.summaries import KEY, comparable
from mambakernels.numeric.intervals import median_interval

Verdict = Literal["faster", "slower", "equal", "undecided", "wrong"]

FAMILY_LEVEL = 0.01
MARGIN = 0.05
CONTROL_TOLERANCE = 0.05
PER_PROCESS = 0.02
MOST_ROUNDS = 10_000  # a verdict that needs more is out of reach

_TWICE = 2.0
_NO_DIFFERENCE = 0.0005  # what would be written as 0.0%
_GROUP = ("asked", *KEY)


@dataclass(frozen=True)
class Pair:
    """One kernel compared with another in one case.

    `ratio` is its time over the reference's (above 1: slower), between `low` and `high` with probability `coverage`.
    Without enough rounds, `low` and `high` are NaN; without any, `ratio` is, too. Differences inside `margin` do not
    matter. `needed` is how many rounds would decide an undecided pair, as far as the interval shows; missing if more
    rounds would not help.
    """

    kernel: str
    reference: str
    threads: int | None
    operation: str
    dtype: str
    size: int
    control: bool
    rounds: int
    ratio: float
    low: float
    high: float
    coverage: float
    margin: float
    needed: int | None
    verdict: Verdict
    text: str


COLUMNS = tuple(Pair.__dataclass_fields__)


def pairs(
    frame: pd.DataFrame, *, reference: str | None = None, everyone: bool = False, margin: float = MARGIN
) -> pd.DataFrame:
    """Compare each kernel with the reference (by default the first in the frame), or all with each other.

    Returns a row per pair, number of threads asked for, operation, dtype and size, with the fields of `Pair`; controls
    come last and do not count among the pairs.
    """
    against = _sides(list(dict.fromkeys(frame["kernel"])), reference, everyone=everyone)
    logs = dict(_log_ratios(frame, against))
    family = max(1, sum(not control for (*_, control) in logs))
    differing, wrong = _differing_controls(logs), _wrong(frame)
    rows = []
    for key, ratios in logs.items():
        kernel, other, threads, operation, dtype, size, control = key
        bad = [name for name in (kernel, other) if (name, threads, operation, dtype, size) in wrong]
        found = ratio_of(
            ratios,
            confidence=1 - FAMILY_LEVEL / (1 if control else family),
            widened=(1 + PER_PROCESS) * (1 if control else 1 + differing.get((kernel, other, threads), 0.0)) - 1,
        )
        rows.append(asdict(_pair(key, found, margin=CONTROL_TOLERANCE if control else margin, bad=bad)))
    types = {"threads": "Int64", "control": "bool", "needed": "Int64"}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios, with an interval that is `widened` at either end; NaN where there is none."""

    rounds: int
    middle: float
    low: float
    high: float
    coverage: float
    confidence: float
    widened: float

    @property
    def needed_for_interval(self) -> int:
        """How many rounds an interval needs."""
        return rounds_for_interval(self.confidence)

    def verdict(self, margin: float) -> Verdict:
        """Return the verdict; see the module."""
        return judge(self.low, self.high, margin=margin)

    def needed(self, margin: float) -> int | None:
        """Return about how many rounds would decide it: the width of an interval shrinks with their square root."""
        if math.isnan(self.low):
            return self.needed_for_interval if self.rounds else None
        own = math.log1p(self.widened)
        half = (math.log(self.high) - math.log(self.low)) / 2 - own
        away = abs(math.log(self.middle))
        room = max(math.log1p(margin) - away, away) - own  # to be inside the margin, or away from 1
        rounds = self.rounds * (half / room) ** 2 if room > 0 else math.inf
        return max(math.ceil(rounds), self.rounds + 1) if rounds <= MOST_ROUNDS else None


def rounds_for_interval(confidence: float) -> int:
    """Return how many rounds an interval of that coverage needs: from the least to the largest, 1 - 2^(1 - n)."""
    return math.ceil(1 - math.log2(1 - confidence))


def ratio_of(logs: Sequence[float], *, confidence: float, widened: float) -> Ratio:
    """Return the ratio that the rounds' logarithms of ratios give."""
    if not logs:
        return Ratio(0, math.nan, math.nan, math.nan, 0.0, confidence, widened)
    interval, middle = median_interval(logs, confidence), math.exp(statistics.median(logs))
    if interval.coverage < confidence:
        return Ratio(len(logs), middle, math.nan, math.nan, interval.coverage, confidence, widened)
    low, high = math.exp(interval.low) / (1 + widened), math.exp(interval.high) * (1 + widened)
    return Ratio(len(logs), middle, low, high, interval.coverage, confidence, widened)


def judge(low: float, high: float, *, margin: float) -> Verdict:
    """Return the verdict on a ratio with its interval; NaN: there is none."""
    if 1 / (1 + margin) <= low and high <= 1 + margin:
        return "equal"
    if low > 1:
        return "slower"
    return "faster" if high < 1 else "undecided"


_Key = tuple[str, str, int | None, str, str, int, bool]


def _sides(kernels: Sequence[str], reference: str | None, *, everyone: bool) -> list[tuple[str, str]]:
    if everyone:
        return [(kernel, other) for number, other in enumerate(kernels) for kernel in kernels[number + 1 :]]
    first = reference or (kernels[0] if kernels else "")
    return [(kernel, first) for kernel in kernels if kernel != first]


def _log_ratios(frame: pd.DataFrame, against: Sequence[tuple[str, str]]) -> Iterator[tuple[_Key, list[float]]]:
    for control in (False, True):
        for group, visits in frame[frame["control"] == control].groupby(list(_GROUP), sort=False, dropna=False):
            threads, operation, dtype, size = (_plain(value) for value in group)
            measured = [kernel for pair in against for kernel in pair if kernel in set(visits["kernel"])]
            by_round = (
                comparable(visits)
                .pivot_table(index="round", columns="kernel", values="seconds", aggfunc="min")
                .reindex(columns=list(dict.fromkeys(measured)))
            )
            for kernel, other in against:
                if kernel in by_round and other in by_round:
                    logs = np.log((by_round[kernel] / by_round[other]).dropna().astype(float)).tolist()
                    yield (kernel, other, threads, operation, dtype, size, control), logs


def _plain(value: Any) -> Any:
    """Return a pandas number as a Python one, and None for a missing value."""
    if pd.isna(value):
        return None
    return int(value) if isinstance(value, np.integer) else value


def _differing_controls(logs: Mapping[_Key, Sequence[float]]) -> dict[tuple[str, str, int | None], float]:
    """Return by how much the controls of two kernels surely differ: at least 0, at most `CONTROL_TOLERANCE`."""
    found: dict[tuple[str, str, int | None], float] = {}
    for (kernel, other, threads, *_, control), ratios in logs.items():
        ratio = ratio_of(ratios, confidence=1 - FAMILY_LEVEL, widened=PER_PROCESS)
        if control and not math.isnan(ratio.low):
            key, surely = (kernel, other, threads), max(ratio.low, 1 / ratio.high) - 1
            found[key] = max(found.get(key, 0.0), min(surely, CONTROL_TOLERANCE))
    return found


def _wrong(frame: pd.DataFrame) -> set[tuple[object, ...]]:
    rows = frame.loc[~frame["correct"], ["kernel", *_GROUP]].drop_duplicates()
    return {tuple(_plain(value) for value in row) for row in rows.itertuples(index=False)}


def _pair(key: _Key, found: Ratio, *, margin: float, bad: Sequence[str]) -> Pair:
    kernel, other, threads, operation, dtype, size, control = key
    verdict: Verdict = "wrong" if bad else found.verdict(margin)
    return Pair(
        kernel=kernel, reference=other, threads=threads, operation=operation, dtype=dtype, size=size, control=control,
        rounds=found.rounds, ratio=found.middle, low=found.low, high=found.high, coverage=found.coverage,
        margin=margin, needed=found.needed(margin) if verdict == "undecided" else None, verdict=verdict,
        text=f"The result of {' and of '.join(bad)} is wrong." if bad else in_words(found, margin),
    )  # fmt: skip


def in_words(found: Ratio, margin: float) -> str:
    """Return the verdict with its figures; undecided, what would decide it."""
    verdict = found.verdict(margin)
    if verdict == "undecided":
        return f"undecided: {_why_undecided(found, margin)}"
    between = f"({found.low:.3f} to {found.high:.3f})"
    if verdict == "equal":
        return f"equal within {_percent(margin)} {between}"
    return f"{difference(found.middle)} {between}"


def difference(ratio: float) -> str:
    """Write a ratio of times as people say it: `12.0% slower`, `2.0 times as fast`."""
    factor, slower = max(ratio, 1 / ratio), ratio >= 1
    if factor - 1 < _NO_DIFFERENCE:
        return "as fast"
    if factor >= _TWICE:
        return f"{factor:.1f} times as {'slow' if slower else 'fast'}"
    return f"{factor - 1:.1%} {'slower' if slower else 'faster'}"


def _why_undecided(found: Ratio, margin: float) -> str:
    if not found.rounds:
        return "other programs disturbed every sample; a quieter machine, or one thread, would decide"
    if math.isnan(found.low):
        rounds = f"{found.rounds} round{'s' * (found.rounds != 1)}"
        return f"{difference(found.middle)} in {rounds}, and an interval needs {found.needed_for_interval}"
    needed, between = found.needed(margin), f"{found.low:.3f} to {found.high:.3f}"
    if needed is None:
        return f"{between}; a quieter machine would decide"
    return f"{between} in {found.rounds} rounds; about {needed} would decide"


def _percent(share: float) -> str:
    """Write a share as percent, without digits that say nothing: 5%, 2.5%."""
    return f"{100 * share:.3g}%"
