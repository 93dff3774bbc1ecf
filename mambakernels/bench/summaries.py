"""Summaries of the frame that `measurements` returns: each kernel's times, rates and libraries."""

from __future__ import annotations

from typing import Literal

import pandas as pd

KEY = ("operation", "dtype", "size")

_LIBRARY = ("kernel", "blas", "blas_version", "architecture", "threads", "library", "lapack", "numpy", "python")


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

    A kernel has more than one row only if it ran differently from run to run.
    """
    return frame[list(_LIBRARY)].drop_duplicates().reset_index(drop=True)


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
