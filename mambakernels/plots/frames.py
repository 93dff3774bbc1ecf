"""Frames of measurements, prepared for drawing: columns checked, rows chosen for panels, repeated rows summarized."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from mambakernels.bench.agreement import controls_of
from mambakernels.bench.side_by_side import SINGLE
from mambakernels.bench.summaries import comparable, pool, usable_samples
from mambakernels.errors import InvalidRequestError
from mambakernels.numeric.operations import OPERATIONS

Name = Hashable

_OPTIONAL: Mapping[str, Any] = {
    "blas": pd.NA, "blas_version": pd.NA, "architecture": pd.NA, "threads": pd.NA, "cpu": pd.NA, "cores": pd.NA,
    "system": pd.NA, "numpy": pd.NA, "python": pd.NA, "correct": True, "control": False, "flops_nominal": False,
    "estimator": "all samples", "disturbed_samples": pd.NA,
}  # fmt: skip
_LEAST_FOR_QUARTILES = 2


@dataclass(frozen=True)
class Limit:
    """The most that a machine can do, and a text that says where the number comes from."""

    value: float
    words: str


def checked(frame: pd.DataFrame, needed: Sequence[str], *, figure: str) -> pd.DataFrame:
    """Return the rows that can be compared, with every column a figure uses.

    InvalidRequestError names the columns that the frame must have and lacks, or says that no row can be compared.
    """
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise InvalidRequestError(
            f"There is nothing to draw: {figure} needs the columns {', '.join(missing)}, which the frame lacks.",
            next_step="Pass a frame from `measurements`, or the frame of a comparison.",
        )
    whole = completed(frame)
    usable = comparable(whole)
    if len(whole) and usable.empty:
        raise nothing("other programs disturbed every sample", "Measure on a quiet machine, or one thread.")
    # A comparison is about the threads that were asked for, and netlib does not report how many it uses.
    return usable.assign(threads=usable["asked"].fillna(usable["threads"])) if "asked" in usable.columns else usable


def completed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the columns that it may lack."""
    return frame.assign(**{name: value for name, value in _OPTIONAL.items() if name not in frame.columns})


def untrusted(frame: pd.DataFrame) -> str:
    """Return why no kernel may be compared with another, as the controls differ; an empty text if they do not."""
    whole = completed(frame)
    if not whole["control"].any():
        return ""
    controls = controls_of(whole)
    return controls.text if controls.verdict == "differ" else ""


def rated(frame: pd.DataFrame, needed: Sequence[str] = (), *, figure: str) -> pd.DataFrame:
    """Return the rows that have a rate; InvalidRequestError if there is none."""
    whole = checked(frame, ("kernel", "operation", "dtype", "size", "flops", "gflops", *needed), figure=figure)
    rows = whole[np.isfinite(whole["gflops"].astype(float)) & (whole["gflops"] > 0)]
    if "seconds" not in rows.columns:
        rows = rows.assign(seconds=rows["flops"] / rows["gflops"] / 1e9)
    if rows.empty:
        raise nothing("no measurement has a rate", "Measure an operation such as gemm.")
    return rows


def nothing(missing: str, next_step: str) -> InvalidRequestError:
    """Return the error for a figure that cannot be drawn because something is missing."""
    return InvalidRequestError(f"There is nothing to draw: {missing}.", next_step=next_step)


def per_panel(rows: pd.DataFrame, *columns: str) -> list[pd.DataFrame]:
    """Return the rows of each panel: operations in the order of `OPERATIONS`, others as they first appear."""
    ranks = {name: rank for rank, name in enumerate(OPERATIONS)}
    parts = [part for _, part in groups(rows, *columns)]
    return sorted(parts, key=lambda part: ranks.get(part["operation"].iloc[0], len(ranks)))


def points(rows: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Summarize rows that measured the same: `rate` (`pool`, GFLOP/s), `low` and `high` (quartiles), `correct`."""
    keys = [(key if isinstance(key, tuple) else (key,), group) for key, group in groups(rows, *by)]
    return pd.DataFrame([dict(zip(by, key, strict=True)) | _point(group) for key, group in keys])


def rate_in_words(point: Mapping[str, Any]) -> str:
    """Return what one of `points` says, such as `38.2 GFLOP/s (quartiles 37.9 to 38.4)`."""
    wrong = "" if point["correct"] else "; the result is wrong"
    return f"{point['rate']:.3g} GFLOP/s (quartiles {point['low']:.3g} to {point['high']:.3g}){wrong}"


def usual_threads(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the number of threads that most kernels ran with (the smallest such), and the unknown."""
    counts = rows.groupby("threads", sort=True)["kernel"].nunique()
    if counts.empty:
        return rows
    return rows[(rows["threads"] == counts.idxmax()).fillna(value=True).astype(bool)]


def largest_common(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest size that all kernels have, or that the most kernels have."""
    kernels = rows.groupby("size")["kernel"].nunique()
    return rows[rows["size"] == int(kernels[kernels == kernels.max()].index.max())]


def highest(rows: pd.DataFrame) -> float:
    """Return the highest GFLOP/s that are drawn of these rows."""
    return float(points(rows, "operation", "kernel", "threads", "size")[["rate", "high"]].max().max())


def peak(rows: pd.DataFrame, per_core: float | None) -> Limit | None:
    """Return the theoretical peak in GFLOP/s for rows of one dtype; None if it is not known.

    `per_core` is for float64, by default the `peak_gflops` that was probed; single precision reaches twice that.
    """
    per_core = _probed_peak(rows) if per_core is None else per_core
    if per_core is None:
        return None
    used = _cores_used(rows)
    value = per_core * used * (2 if rows["dtype"].iloc[0] in SINGLE else 1)
    return Limit(value, f"theoretical peak: {value:.4g}" + (f" ({used} cores)" if used > 1 else ""))


def cores(rows: pd.DataFrame) -> int | None:
    """Return how many cores the machine has, if that is known."""
    known = rows["cores"].dropna()
    return None if known.empty else int(known.max())


def as_dicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each row as a dictionary."""
    return cast("list[dict[str, Any]]", rows.to_dict(orient="records"))


def groups(rows: pd.DataFrame, *columns: str) -> list[tuple[Any, pd.DataFrame]]:
    """Return the rows that agree in some columns, each group with its value, or its tuple of values."""
    found = rows.groupby(columns[0] if len(columns) == 1 else list(columns), sort=False, dropna=False)
    return cast("list[tuple[Any, pd.DataFrame]]", list(found))


def raw_samples(rows: pd.DataFrame) -> list[list[float]]:
    """Return the seconds that each row's estimate is made of; an empty list for a row whose samples were not kept."""
    kept: Sequence[Any] = list(rows["samples"]) if "samples" in rows.columns else [None] * len(rows)
    used = usable_samples(rows) if "cpu_samples" in rows.columns else kept
    return [[] if np.ndim(taken) == 0 else [float(seconds) for seconds in taken if seconds > 0] for taken in used]


def _point(group: pd.DataFrame) -> dict[str, Any]:
    rows = zip(group["flops"], group["gflops"], raw_samples(group), strict=True)
    rates = [rate for flops, gflops, taken in rows for rate in [flops / s / 1e9 for s in taken] or [gflops]]
    rate = float(group["flops"].iloc[0]) / pool(group).seconds / 1e9
    low, high = np.quantile(rates, [0.25, 0.75]) if len(rates) >= _LEAST_FOR_QUARTILES else (rate, rate)
    return {
        "rate": rate,
        "low": min(float(low), rate),
        "high": max(float(high), rate),
        "correct": bool(group["correct"].all()),
    }


def _cores_used(rows: pd.DataFrame) -> int:
    threads, present = rows["threads"].dropna(), cores(rows)
    used = 1 if threads.empty else int(threads.max())
    return used if present is None else min(used, present)


def _probed_peak(rows: pd.DataFrame) -> float | None:
    """Return the peak of a core if all rows agree on it."""
    if "peak_gflops" not in rows.columns:
        return None
    found = rows["peak_gflops"].dropna().unique()
    return float(found[0]) if len(found) == 1 else None
