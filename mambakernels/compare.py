"""Kernels side by side: pure functions from the frame that `collect` returns to smaller ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

KEY = ("operation", "dtype", "size")

_LIBRARY = ("kernel", "blas", "blas_version", "architecture", "threads", "library", "lapack", "numpy", "python")


@dataclass(frozen=True)
class ControlVerdict:
    """Whether the controls agree across kernels, in one word and in words with figures.

    `spreads` has a row per control: `operation`, `dtype`, `size`, `fastest` and `slowest` (kernels) and `spread`
    (slowest over fastest, minus one; dimensionless).
    """

    verdict: Literal["agree", "differ", "unknown"]
    text: str
    spreads: pd.DataFrame


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each kernel's time per operation, dtype and size, and its ratio to the best.

    The columns are `operation`, `dtype`, `size`, `kernel`, `threads`, `seconds` (median over the runs, per call),
    `gflops` (NaN where the flops are not known), `ratio` (to the smallest time in that group: 1.00 is the
    best; NaN for a wrong result, which is not compared), `correct` (all of them) and `control`. A kernel that ran with
    several numbers of threads has a row for each. Operations and kernels keep the order in which they first appear.
    """
    groups = frame.groupby([*KEY, "kernel", "threads"], sort=False, dropna=False)
    table = groups.agg(
        seconds=("seconds", "median"),
        gflops=("gflops", "median"),
        correct=("correct", "all"),
        control=("control", "first"),
    ).reset_index()
    right = table["seconds"].where(table["correct"])
    best = right.groupby([table[column] for column in KEY]).transform("min")
    table.insert(7, "ratio", right / best)
    return _ordered(table, frame)


def wide(frame: pd.DataFrame, value: Literal["ratio", "seconds", "gflops"] = "ratio") -> pd.DataFrame:
    """Return one row per operation, dtype and size and one column per kernel, filled with `value` of `summary`.

    A kernel that ran with several numbers of threads has a column for each, such as `np-mkl, 2 threads`.
    """
    table = summary(frame)
    label = _labels(table)
    pivoted = table.assign(label=label).pivot_table(
        index=list(KEY), columns="label", values=value, sort=False, dropna=False, observed=True
    )
    present = list(dict.fromkeys(zip(*(table[column] for column in KEY), strict=True)))
    return pivoted.reindex(index=present, columns=list(dict.fromkeys(label))).rename_axis(columns=None).reset_index()


def libraries(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what really ran, one row per kernel: BLAS, version, code path, threads, file, LAPACK, NumPy, Python.

    A kernel has several rows only if it ran differently from run to run, which is worth seeing.
    """
    return frame[list(_LIBRARY)].drop_duplicates().reset_index(drop=True)


def check_controls(frame: pd.DataFrame, tolerance: float = 0.10) -> ControlVerdict:
    """Say whether the controls, which no BLAS takes part in, took equally long on every kernel.

    Their shortest samples are compared, as other load only ever adds time; `tolerance` is how much longer the
    slowest kernel may take than the fastest (0.10: ten percent). If they differ by more, so did the machine or
    NumPy, and the other differences cannot be put down to the BLAS.
    """
    spreads = _spreads(frame[frame["control"]])
    if spreads.empty:
        return ControlVerdict("unknown", "No control ran on two kernels or more, so nothing can be said.", spreads)
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
    best = controls.groupby([*KEY, "kernel"], sort=False)["seconds_min"].min().reset_index()
    rows = [
        (*key, *_extremes(group.set_index("kernel")["seconds_min"]))
        for key, group in best.groupby(list(KEY), sort=False)
        if len(group) > 1
    ]
    return pd.DataFrame(rows, columns=columns)


def _extremes(seconds: pd.Series[float]) -> tuple[str, str, float]:
    fastest, slowest = str(seconds.idxmin()), str(seconds.idxmax())
    return fastest, slowest, float(seconds.max() / seconds.min() - 1)


def _labels(table: pd.DataFrame) -> pd.Series[str]:
    several = table.groupby("kernel")["threads"].transform("nunique") > 1
    return table["kernel"].where(~several, table["kernel"] + ", " + table["threads"].astype("string") + " threads")


def _ordered(table: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by operation, dtype, size and kernel: sizes by value, the others in the order they first appear."""
    ranks = {
        column: {value: rank for rank, value in enumerate(frame[column].unique())}
        for column in ("operation", "dtype", "kernel")
    }
    return table.sort_values(
        [*KEY, "kernel", "threads"],
        key=lambda column: column.map(ranks[str(column.name)]) if column.name in ranks else column,
        ignore_index=True,
    )
