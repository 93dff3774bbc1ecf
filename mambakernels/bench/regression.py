"""A comparison and one that was saved earlier, kernel by kernel, with a verdict per operation.

They were not measured in the same rounds, so ratios are not paired: each interval follows from those of both medians.
The machine is seldom quite the same: an interval is widened by what the kernel's controls have changed by, and by
`LEAST_CHANGE` at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mambakernels.bench.measured import Measured, MeasuredKernel
from mambakernels.bench.pairs import FAMILY_LEVEL, MARGIN, judge
from mambakernels.bench.summaries import KEY, comparable
from mambakernels.errors import InvalidRequestError
from mambakernels.numeric.intervals import median_interval

LEAST_CHANGE = 0.03  # between two times, the machine's own speed changes by more, but the controls show that
CONTROL_TOLERANCE = 0.10

_GROUP = ["kernel", "asked", *KEY, "control"]


@dataclass(frozen=True)
class Regression:
    """The change of each operation since a comparison was saved.

    `frame` has a row per kernel, `asked` threads, operation, dtype and size that both measured: `before` and `now`
    (seconds), `ratio` (now over before; above 1: slower), `low` and `high` (NaN: too few rounds), `verdict` (`faster`,
    `slower`, `equal`, `undecided` or `wrong`) and `control`. `differences` names facts that differ and were accepted
    with `force`; `trusted` and `text` say whether the controls are as they were.
    """

    frame: pd.DataFrame
    differences: tuple[str, ...]
    trusted: bool
    text: str

    @property
    def bad(self) -> pd.DataFrame:
        """The rows that are slower or wrong; controls are not among them."""
        return self.frame[self.frame["verdict"].isin(["slower", "wrong"]) & ~self.frame["control"]]


def compare_with_saved(now: Measured, then: Measured, *, margin: float = MARGIN, force: bool = False) -> Regression:
    """Compare with a saved comparison; changes inside the margin do not matter.

    InvalidRequestError names what makes them incomparable, unless `force`.
    """
    differences = check_comparable(now.kernels, then.kernels, force=force)
    frame = _frame(now, then, margin)
    if frame.empty:
        raise InvalidRequestError(
            "This measurement and the saved one share no kernel, operation, size and thread count.",
            next_step="Give the same --kernel, --operations, --sizes and --threads as for the saved comparison.",
        )
    trusted, text = _trust(frame)
    return Regression(frame, differences, trusted, text)


def check_comparable(
    now: Sequence[MeasuredKernel], then: Sequence[MeasuredKernel], *, force: bool = False
) -> tuple[str, ...]:
    """Return the differences between the kernels of both comparisons; if any, InvalidRequestError, unless `force`."""
    differences = tuple(dict.fromkeys(_differences(now, then)))
    if differences and not force:
        raise InvalidRequestError(
            "This measurement cannot be compared with the saved one: " + "; ".join(differences) + ".",
            next_step="Save a new comparison on this machine, or compare anyway with --force.",
        )
    return differences


def _differences(now: Sequence[MeasuredKernel], then: Sequence[MeasuredKernel]) -> Iterator[str]:
    before = {(kernel.kernel, kernel.asked): kernel for kernel in then}
    for kernel in now:
        same = before.get((kernel.kernel, kernel.asked))
        if same is not None:
            yield from (
                f"{name}: {left} now, {right} then" for name, left, right in _fields(kernel, same) if left != right
            )
        elif counts := [str(other.asked or "as registered") for other in then if other.kernel == kernel.kernel]:
            yield f"threads of {kernel.kernel}: {kernel.asked or 'as registered'} now, {', '.join(counts)} then"


def _fields(kernel: MeasuredKernel, then: MeasuredKernel) -> Iterator[tuple[str, Any, Any]]:
    """Yield each fact that must be the same: its name, its value now, its value then."""
    for key, name in (("cpu", "the processor"), ("cores", "cores"), ("instruction_sets", "instruction sets")):
        yield name, _shown(kernel.machine.get(key)), _shown(then.machine.get(key))
    yield f"NumPy in {kernel.kernel}", kernel.probe.get("numpy"), then.probe.get("numpy")
    for key, name in (("threads", "threads used by"), ("name", "BLAS in"), ("architecture", "code path in")):
        yield f"{name} {kernel.kernel}", kernel.library.get(key), then.library.get(key)


def _shown(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _frame(now: Measured, then: Measured, margin: float) -> pd.DataFrame:
    groups = {_key(key): rows for key, rows in comparable(then.frame).groupby(_GROUP, sort=False, dropna=False)}
    both = [
        (key, rows, groups[_key(key)])
        for key, rows in comparable(now.frame).groupby(_GROUP, sort=False, dropna=False)
        if _key(key) in groups
    ]
    family = max(1, sum(not key[-1] for key, *_ in both))
    raw = pd.DataFrame([_row(key, rows, then, family) for key, rows, then in both])
    if raw.empty:
        return raw
    return _judged(raw, margin)


def _key(group: Any) -> tuple[Any, ...]:
    return tuple(None if pd.isna(value) else value for value in group)


def _row(key: Any, now: pd.DataFrame, then: pd.DataFrame, family: int) -> dict[str, Any]:
    confidence = 1 - FAMILY_LEVEL / family / 2  # both medians have to lie inside
    ours, theirs = (median_interval(rows["seconds"].tolist(), confidence) for rows in (now, then))
    before, after = float(then["seconds"].median()), float(now["seconds"].median())
    sure = min(ours.coverage, theirs.coverage) >= confidence
    return {
        **dict(zip(_GROUP, _key(key), strict=True)),
        "before": before,
        "now": after,
        "ratio": after / before,
        "low": ours.low / theirs.high if sure else math.nan,
        "high": ours.high / theirs.low if sure else math.nan,
        "rounds": min(len(now), len(then)),
        "correct": bool(now["correct"].all()),
    }


def _judged(raw: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Widen the intervals by what each kernel's controls have changed by, and add verdicts."""
    change = raw["ratio"].where(raw["ratio"] >= 1, 1 / raw["ratio"]) - 1
    shift = change.where(raw["control"]).groupby(raw["kernel"]).transform("max")
    widened = 1 + shift.fillna(0.0).clip(lower=LEAST_CHANGE)
    judged = raw.assign(low=raw["low"] / widened, high=raw["high"] * widened)
    verdicts = [
        judge(low, high, margin=margin) if correct else "wrong"
        for low, high, correct in judged[["low", "high", "correct"]].itertuples(index=False)
    ]
    return judged.assign(verdict=verdicts).drop(columns=["correct"])


def _trust(frame: pd.DataFrame) -> tuple[bool, str]:
    controls = frame[frame["control"]]
    if controls.empty:
        return True, "No control was measured both times, so it is not known whether the machine is the same."
    change = controls["ratio"].where(controls["ratio"] >= 1, 1 / controls["ratio"]) - 1
    worst = controls.iloc[int(change.to_numpy().argmax())]
    words = f"{worst['operation']} in {worst['kernel']} takes {worst['ratio']:.2f} times as long as then"
    if change.max() <= CONTROL_TOLERANCE:
        return True, f"The controls are as they were: at most, {words}."
    return False, f"The machine is not as it was: {words}, in which no BLAS takes part."
