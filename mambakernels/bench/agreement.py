"""The agreement of controls, in which no BLAS takes part: if they differ between kernels, nothing can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from mambakernels.bench.pairs import CONTROL_TOLERANCE, pairs
from mambakernels.bench.summaries import KEY, comparable


@dataclass(frozen=True)
class ControlVerdict:
    """Whether the controls agree across kernels, in one word and in a text with figures.

    `spreads` has a row per control: `operation`, `dtype`, `size`, `fastest` and `slowest` (kernels) and `spread`
    (slowest over fastest, minus one; dimensionless).
    """

    verdict: Literal["agree", "differ", "unknown"]
    text: str
    spreads: pd.DataFrame


def controls_of(frame: pd.DataFrame) -> ControlVerdict:
    """Return whether the controls agree: by their ratios in each round where there are rounds, else by their times."""
    if "round" in frame.columns:
        return check_pairs(pairs(frame[frame["control"]], everyone=True))
    return check_controls(frame)


def check_controls(frame: pd.DataFrame, tolerance: float = 0.10) -> ControlVerdict:
    """Return whether the controls took equally long on every kernel.

    Rows whose samples were all disturbed are left out. `tolerance` is how much longer the slowest kernel may
    take than the fastest (0.10: ten percent). If controls differ by more, so did the machine or NumPy, and other
    differences are not the BLAS's.
    """
    spreads = _spreads(comparable(frame[frame["control"]]))
    if spreads.empty:
        return ControlVerdict(
            "unknown",
            "No control ran on two kernels or more, so it is not known whether they can be compared.",
            spreads,
        )
    worst = spreads.sort_values("spread").iloc[-1]
    figures = (
        f"{worst['spread']:.1%} at most ({worst['operation']}, {worst['dtype']}, n={worst['size']}: "
        f"{worst['slowest']} against {worst['fastest']})"
    )
    if worst["spread"] <= tolerance:
        text = f"The controls agree across kernels: they differ by {figures}; up to {tolerance:.0%} is allowed."
        return ControlVerdict("agree", text, spreads)
    text = (
        f"The controls differ by {figures}, and only {tolerance:.0%} is allowed: something other than the BLAS "
        "changed between the kernels, so don't compare them; run again on a quiet machine."
    )
    return ControlVerdict("differ", text, spreads)


def _spreads(controls: pd.DataFrame) -> pd.DataFrame:
    columns = [*KEY, "fastest", "slowest", "spread"]
    best = controls.groupby([*KEY, "kernel"], sort=False)["seconds"].median().reset_index()
    rows = [
        (*key, *_extremes(group.set_index("kernel")["seconds"]))
        for key, group in best.groupby(list(KEY), sort=False)
        if len(group) > 1
    ]
    return pd.DataFrame(rows, columns=columns)


def _extremes(seconds: pd.Series[float]) -> tuple[str, str, float]:
    fastest, slowest = str(seconds.idxmin()), str(seconds.idxmax())
    return fastest, slowest, float(seconds.max() / seconds.min() - 1)


def check_pairs(paired: pd.DataFrame) -> ControlVerdict:
    """Return whether the controls agree in a frame of `pairs`, where each ratio has an interval.

    They differ if the whole interval of one is farther from 1 than `CONTROL_TOLERANCE`: then something other than the
    BLAS differs between the kernels, and no comparison of the two can be trusted. If noise could explain it, the
    verdict is unknown.
    """
    controls = paired[paired["control"] & paired["ratio"].notna()]
    spreads = _control_ratios(controls)
    if spreads.empty:
        return ControlVerdict("unknown", "No control ran on two kernels, so the comparison cannot be checked.", spreads)
    beyond = (spreads["spread"] > CONTROL_TOLERANCE).to_numpy()
    sure = ((controls["low"] > 1 + CONTROL_TOLERANCE) | (controls["high"] < 1 / (1 + CONTROL_TOLERANCE))).to_numpy()
    known = controls["low"].notna().to_numpy()
    if (beyond & sure).any():
        text = (
            f"This comparison cannot be trusted: {_worst(spreads[beyond & sure])}, though no BLAS takes part in it. "
            "Something else differs between these kernels (NumPy, Python, the processor's state); make that the same, "
            "and measure again."
        )
        return ControlVerdict("differ", text, spreads)
    if beyond.any() or not known.all():
        why = "but there is much noise" if known.all() else "but there are too few rounds"
        text = f"It is not known whether the controls agree: {_worst(spreads)}, {why}."
        return ControlVerdict("unknown", text, spreads)
    text = f"The controls, which no BLAS takes part in, agree: at most, {_worst(spreads)}."
    return ControlVerdict("agree", text, spreads)


def _worst(spreads: pd.DataFrame) -> str:
    worst = spreads.sort_values("spread").iloc[-1]
    return f"{worst['operation']} takes {worst['spread']:.1%} longer in {worst['slowest']} than in {worst['fastest']}"


def _control_ratios(controls: pd.DataFrame) -> pd.DataFrame:
    slower = controls["ratio"] >= 1
    return pd.DataFrame(
        {
            **{column: controls[column] for column in KEY},
            "fastest": controls["reference"].where(slower, controls["kernel"]),
            "slowest": controls["kernel"].where(slower, controls["reference"]),
            "spread": controls["ratio"].where(slower, 1 / controls["ratio"]) - 1,
        }
    )
