"""What figures need of a frame: its columns checked, rows that have a rate, and what repeated rows amount to."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from mambakernels.bench.side_by_side import SINGLE
from mambakernels.errors import InvalidRequestError
from mambakernels.numeric.operations import OPERATIONS

Name = Hashable

_OPTIONAL: Mapping[str, Any] = {
    "blas": pd.NA, "blas_version": pd.NA, "architecture": pd.NA, "threads": pd.NA, "cpu": pd.NA, "cores": pd.NA,
    "system": pd.NA, "numpy": pd.NA, "python": pd.NA, "correct": True, "control": False, "flops_nominal": False,
}  # fmt: skip
_LEAST_ROWS = 2


@dataclass(frozen=True)
class Limit:
    """What rates end at: GFLOP/s, and what that number is."""

    gflops: float
    words: str


def checked(frame: pd.DataFrame, needed: Sequence[str], *, figure: str) -> pd.DataFrame:
    """Return the frame with every column a figure uses; InvalidRequestError names those it cannot do without."""
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise InvalidRequestError(
            f"There is nothing to draw: {figure} needs the columns {', '.join(missing)}, which the frame lacks.",
            next_step="Give the frame of `collect`, or that of a comparison.",
        )
    whole = frame.assign(**{name: value for name, value in _OPTIONAL.items() if name not in frame.columns})
    # Threads that were asked for are what a comparison is about; and netlib does not tell how many it uses.
    return whole.assign(threads=whole["asked"].fillna(whole["threads"])) if "asked" in whole.columns else whole


def rated(frame: pd.DataFrame, needed: Sequence[str] = (), *, figure: str) -> pd.DataFrame:
    """Return the rows that have a rate; InvalidRequestError if there is none."""
    whole = checked(frame, ("kernel", "operation", "dtype", "size", "flops", "gflops", *needed), figure=figure)
    rows = whole[np.isfinite(whole["gflops"].astype(float)) & (whole["gflops"] > 0)]
    if rows.empty:
        raise nothing("no measurement has a rate", "Measure an operation such as gemm.")
    return rows


def nothing(missing: str, next_step: str) -> InvalidRequestError:
    """Return the error that says what is missing for a figure."""
    return InvalidRequestError(f"There is nothing to draw: {missing}.", next_step=next_step)


def panels(rows: pd.DataFrame, columns: Sequence[str]) -> list[pd.DataFrame]:
    """Return the rows of each panel: operations in the order of `OPERATIONS`, others as they first appear."""
    parts = [group for _, group in groups(rows, *columns)]
    ranks = {name: rank for rank, name in enumerate(OPERATIONS)}
    return sorted(parts, key=lambda part: ranks.get(part["operation"].iloc[0], len(ranks)))


def points(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Put rows that measured the same into one: `rate` (median GFLOP/s), `low` and `high` (quartiles), `correct`."""
    found = [dict(zip(by, _tuple(key), strict=True)) | _point(group) for key, group in groups(rows, *by)]
    return pd.DataFrame(found)


def usual_threads(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the number of threads that most kernels ran with, the smallest such, and the untold ones."""
    counts = rows.groupby("threads", sort=True)["kernel"].nunique()
    if counts.empty:
        return rows
    fitting = (rows["threads"] == counts.idxmax()).fillna(value=True).astype(bool)
    return rows[fitting]


def largest_common(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest size that all kernels have; of the largest at all where they share none."""
    kernels = rows.groupby("size")["kernel"].nunique()
    shared = kernels[kernels == kernels.max()]
    largest = int(shared.index.max())
    return rows[rows["size"] == largest]


def limit(rows: pd.DataFrame, per_core: float | None) -> Limit:
    """Return the most that rows of one dtype could reach: the theoretical peak where it is known, else the best seen.

    `per_core` counts float64, and is by default the `peak_gflops` that was probed; single precision does twice that.
    """
    per_core = _probed_peak(rows) if per_core is None else per_core
    if per_core is None:
        best = float(points(rows, ["operation", "kernel", "threads", "size"])[["rate", "high"]].max().max())
        return Limit(best, f"best seen: {best:.3g}")
    factor = 2 if rows["dtype"].iloc[0] in SINGLE else 1
    cores = _cores_at_work(rows)
    peak = per_core * factor * cores
    return Limit(peak, f"theoretical peak: {peak:.4g}" + (f" ({cores} cores)" if cores > 1 else ""))


def cores(rows: pd.DataFrame) -> int | None:
    """Return how many cores the machine has, if that is known."""
    known = rows["cores"].dropna()
    return None if known.empty else int(known.max())


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each row as a dictionary."""
    return cast("list[dict[str, Any]]", rows.to_dict(orient="records"))


def groups(rows: pd.DataFrame, *columns: str) -> list[tuple[Any, pd.DataFrame]]:
    """Return the rows that share what is in some columns, by the value, or the values if there are several columns."""
    found = rows.groupby(columns[0] if len(columns) == 1 else list(columns), sort=False, dropna=False)
    return cast("list[tuple[Any, pd.DataFrame]]", list(found))


def samples_of(rows: pd.DataFrame) -> Iterator[tuple[float, float]]:
    """Yield seconds and flops of each raw sample; of the medians where samples were not kept."""
    for row in records(rows):
        taken = row.get("samples")
        if taken is None or np.ndim(taken) == 0:
            taken = [row["flops"] / row["gflops"] / 1e9]
        yield from ((float(seconds), float(row["flops"])) for seconds in taken)


def _point(group: pd.DataFrame) -> dict[str, object]:
    rates = [flops / seconds / 1e9 for seconds, flops in samples_of(group) if seconds > 0]
    rate = float(group["gflops"].median())
    low, high = np.quantile(rates, [0.25, 0.75]) if len(rates) >= _LEAST_ROWS else (rate, rate)
    return {"rate": rate, "low": float(low), "high": float(high), "correct": bool(group["correct"].all())}


def _cores_at_work(rows: pd.DataFrame) -> int:
    threads, present = rows["threads"].dropna(), cores(rows)
    at_work = 1 if threads.empty else int(threads.max())
    return at_work if present is None else min(at_work, present)


def _tuple(key: object) -> tuple[object, ...]:
    return key if isinstance(key, tuple) else (key,)


def _probed_peak(rows: pd.DataFrame) -> float | None:
    """Return the peak of a core that all rows agree on, if they have one."""
    if "peak_gflops" not in rows.columns:
        return None
    found = rows["peak_gflops"].dropna().unique()
    return float(found[0]) if len(found) == 1 else None
