"""Kernels next to each other: time, rate, share of the peak, accuracy, and whether the bits are the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mambakernels.bench.measured import Measured
from mambakernels.bench.summaries import KEY, comparable, pool
from mambakernels.numeric.estimates import DISTURBED
from mambakernels.numeric.intervals import median_interval

SINGLE = frozenset({"float32", "complex64"})
"""Dtypes of single precision: twice as many of its numbers fit into an instruction."""

_GROUP = ["asked", *KEY, "control", "kernel"]


def side_by_side(measured: Measured) -> pd.DataFrame:
    """Return a row per number of threads asked for, operation, dtype, size and kernel.

    The columns are `threads` (as the library says), `seconds` (`pool` of the rounds), `low` and `high` (its interval,
    95 % if there are rounds enough), `estimator`, `samples`, `disturbed` (how many of them; missing: not known),
    `gflops`, `of_peak` (share of the theoretical peak of
    the threads used; NaN where no peak is known), `of_best` (share of the best rate that any kernel reached with this
    dtype and as many threads; NaN for controls and for
    figures that cannot be compared), `residual` (the worst), `eps` (the same in units of the dtype's
    rounding), `error` (the worst of a few entries against exact arithmetic, relative to the sum of the absolute
    products and in the same units; NaN where entries are not sums of products), `correct`, `fingerprint` (of the
    result's bits; the first), `reproducible` (the same bits in all rounds; None for one round), `same_bits` (as the
    kernel listed first).
    """
    frame = measured.frame
    peaks = {(kernel.kernel, kernel.asked): _peak(kernel.machine) for kernel in measured.kernels}
    rows = [_row(group, visits, peaks) for group, visits in frame.groupby(_GROUP, sort=False, dropna=False)]
    table = pd.DataFrame(rows, columns=[*_GROUP, *_COLUMNS]).astype({"control": bool})  # also without any row
    rated = table["gflops"].where(~table["control"] & (table["estimator"] != DISTURBED))
    table["of_best"] = rated / rated.groupby([table["asked"].fillna(0), table["dtype"]]).transform("max")
    first = table.groupby(["asked", *KEY], sort=False, dropna=False)["fingerprint"].transform("first")
    table["same_bits"] = table["fingerprint"] == first
    return table


_COLUMNS = (
    "threads", "seconds", "low", "high", "estimator", "samples", "disturbed",
    "gflops", "of_peak", "of_best", "residual", "eps", "error", "correct",
    "fingerprint", "reproducible", "same_bits",
)  # fmt: skip


def _row(group: Any, visits: pd.DataFrame, peaks: Mapping[tuple[str, int | None], float | None]) -> dict[str, Any]:
    names = dict(zip(_GROUP, group, strict=True))
    first, dtype = visits.iloc[0], str(names["dtype"])
    pooled, good = pool(visits), comparable(visits)
    interval = median_interval((good if len(good) else visits)["seconds"].tolist())
    gflops = first["flops"] / pooled.seconds / 1e9
    asked = None if pd.isna(names["asked"]) else int(names["asked"])
    peak = peaks.get((str(names["kernel"]), asked))
    used = 1 if pd.isna(first["threads"]) else int(first["threads"])
    residual = float(visits["residual"].max())
    return {
        **names,
        "threads": first["threads"],
        "seconds": pooled.seconds,
        "low": interval.low,
        "high": interval.high,
        "estimator": pooled.estimator,
        "samples": pooled.samples,
        "disturbed": pooled.disturbed,
        "gflops": gflops,
        "of_peak": gflops / (peak * used * (2 if dtype in SINGLE else 1)) if peak else math.nan,
        "residual": residual,
        "eps": residual / (2.0**-23 if dtype in SINGLE else 2.0**-52),
        "error": float(visits["error"].max()),
        "correct": bool(visits["correct"].all()),
        "fingerprint": first["fingerprint"],
        "reproducible": len(set(visits["fingerprint"])) == 1 if len(visits) > 1 else None,
    }


def _peak(machine: Mapping[str, Any]) -> float | None:
    """Return a core's peak, float64, in 10⁹ operations a second."""
    peak: float | None = (machine.get("peak") or {}).get("gflops_per_core")
    return peak
