"""Pairs of kernels: ratios paired over the rounds, with an interval and a verdict.

The unit is the round: in each, the kernels measured a case one right after the other, so that what slows the machine
for a while slows both. A kernel's least time in a round counts, as other load only adds time. The ratio is the median
of the rounds' ratios. Its interval lies between two of them (order statistics), so no distribution is assumed: heavy
tails and outliers cost rounds, nothing else. With many pairs, each has to be surer (Bonferroni): the chance that any
pair is called different by accident stays below `FAMILY_LEVEL`.

Two processes with the same library differ slightly as long as they live (where its pages and buffers lie), and no
number of rounds averages that out. It was measured as `PER_PROCESS`, and widens the interval by that much at either
end. A difference counts if the ratio differs from 1 by more than a margin, and the whole interval by more than half of
that. The margin is `LEAST_MARGIN`, or what a control of the same two kernels surely differs by, if that is more; where
it is more than `CONTROL_TOLERANCE`, no comparison of them can be trusted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mambakernels.bench.summaries import KEY
from mambakernels.numeric.intervals import median_interval

Verdict = Literal["faster", "slower", "equal", "undecided", "wrong"]

FAMILY_LEVEL = 0.05
LEAST_MARGIN = 0.03
CONTROL_TOLERANCE = 0.05
PER_PROCESS = 0.01  # 20 pairs of equal kernels, each in new processes, had ratios with a standard deviation of 0.8 %
PLAIN = 1.25  # a ratio that counts from two rounds on, if all of them show it
BLIND = 2.0  # with an interval that reaches so far, no verdict is `equal`

_TWICE = 2.0
_GROUP = ("asked", *KEY)


@dataclass(frozen=True)
class Pair:
    """One kernel compared with another in one case.

    `ratio` is its time over the reference's (above 1: slower), between `low` and `high` with probability `coverage`;
    a ratio has to differ from 1 by `margin` to count.
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
    verdict: Verdict
    text: str


COLUMNS = tuple(Pair.__dataclass_fields__)


def pairs(frame: pd.DataFrame, *, reference: str | None = None, everyone: bool = False) -> pd.DataFrame:
    """Compare each kernel with the reference (by default the first in the frame), or all with each other.

    Returns a row per pair, number of threads asked for, operation, dtype and size, with the fields of `Pair`; controls
    come last and do not count among the pairs.
    """
    against = _sides(list(dict.fromkeys(frame["kernel"])), reference, everyone=everyone)
    logs = dict(_log_ratios(frame, against))
    family = sum(not control for (*_, control) in logs)
    margins = _margins(logs)
    wrong = _wrong(frame)
    rows = []
    for key, ratios in logs.items():
        kernel, other, threads, operation, dtype, size, control = key
        margin = LEAST_MARGIN if control else margins.get((kernel, other, threads), LEAST_MARGIN)
        bad = [name for name in (kernel, other) if (name, threads, operation, dtype, size) in wrong]
        rows.append(asdict(_pair(key, ratios, margin=margin, family=max(family, 1), bad=bad)))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"threads": "Int64", "control": "bool"})


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
            by_round = visits.pivot_table(index="round", columns="kernel", values="seconds_min", aggfunc="min")
            for kernel, other in against:
                if kernel in by_round and other in by_round:
                    logs = np.log((by_round[kernel] / by_round[other]).dropna()).tolist()
                    if logs:
                        yield (kernel, other, threads, operation, dtype, size, control), logs


def _plain(value: Any) -> Any:
    """Return a pandas number as a Python one, and None for a missing value."""
    if pd.isna(value):
        return None
    return int(value) if isinstance(value, np.integer) else value


def _margins(logs: Mapping[_Key, Sequence[float]]) -> dict[tuple[str, str, int | None], float]:
    """Return by how much the controls of two kernels surely differ, if that is more than the least margin."""
    found: dict[tuple[str, str, int | None], float] = {}
    for (kernel, other, threads, *_, control), ratios in logs.items():
        interval = median_interval(ratios, 1 - FAMILY_LEVEL)
        if control and not interval.low <= 0 <= interval.high:
            key, shown = (kernel, other, threads), math.exp(abs(statistics.median(ratios))) - 1
            found[key] = max(found.get(key, LEAST_MARGIN), min(shown, CONTROL_TOLERANCE))
    return found


def _wrong(frame: pd.DataFrame) -> set[tuple[object, ...]]:
    rows = frame.loc[~frame["correct"], ["kernel", *_GROUP]].drop_duplicates()
    return {tuple(_plain(value) for value in row) for row in rows.itertuples(index=False)}


def _pair(key: _Key, logs: Sequence[float], *, margin: float, family: int, bad: Sequence[str]) -> Pair:
    kernel, other, threads, operation, dtype, size, control = key
    confidence = 1 - FAMILY_LEVEL / (1 if control else family)
    interval = median_interval(logs, confidence)
    ratio = math.exp(statistics.median(logs))
    low, high = math.exp(interval.low) / (1 + PER_PROCESS), math.exp(interval.high) * (1 + PER_PROCESS)
    verdict = (
        "wrong"
        if bad
        else judge(ratio, low, high, sure=interval.coverage >= confidence, rounds=len(logs), margin=margin)
    )
    text = (
        f"The result of {' and of '.join(bad)} is wrong."
        if bad
        else _in_words(verdict, ratio, low, high, margin=margin)
    )
    return Pair(
        kernel=kernel, reference=other, threads=threads, operation=operation, dtype=dtype, size=size, control=control,
        rounds=len(logs), ratio=ratio, low=low, high=high, coverage=interval.coverage, margin=margin,
        verdict=verdict, text=text,
    )  # fmt: skip


def judge(ratio: float, low: float, high: float, *, sure: bool, rounds: int, margin: float) -> Verdict:
    """Return the verdict on a ratio with its interval; `sure`: the interval has the coverage it needs.

    A ratio too near to 1 to be called different is `equal`, unless the interval is too wide for any verdict. Few rounds
    cannot reach the coverage: then only a ratio that is plain in all of them counts.
    """
    near, far = 1 + margin / 2, 1 + margin
    if (low <= near and high >= 1 / near) or 1 / far <= ratio <= far:
        return "equal" if _hidden(low, high) < BLIND - 1 else "undecided"
    plain = rounds > 1 and (low > PLAIN or high < 1 / PLAIN)
    if not (sure or plain):
        return "undecided"
    return "slower" if ratio > 1 else "faster"


def _in_words(verdict: Verdict, ratio: float, low: float, high: float, *, margin: float) -> str:
    between = f"{low:.3f} to {high:.3f}"
    if verdict in {"slower", "faster"}:
        factor = max(ratio, 1 / ratio)
        much = f"{factor:.1f} times as" if factor >= _TWICE else f"{factor - 1:.1%}"
        word = {"slower": "slow", "faster": "fast"}[verdict] if factor >= _TWICE else verdict
        return f"{much} {word} ({between})"
    hidden = max(_hidden(low, high), margin)
    if verdict == "equal":
        return f"equal within the noise ({between}; differences below {hidden:.1%} could not be seen)"
    if hidden >= BLIND - 1:
        return f"undecided: the noise hides differences below {hidden:.0%} ({between})"
    return f"undecided: too few rounds for so many comparisons ({between})"


def _hidden(low: float, high: float) -> float:
    """Return how large a difference the interval does not exclude."""
    return max(high - 1, 1 / low - 1)
