"""Summaries of the frame that `measurements` returns: each kernel's times, rates and libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mambakernels.numeric.estimates import DISTURBED, Sampled
from mambakernels.numeric.timing import Timing

KEY = ("operation", "dtype", "size")

_MOST = 0.5
_LIBRARY = ("kernel", "blas", "blas_version", "architecture", "threads", "library", "lapack", "numpy", "python")


@dataclass(frozen=True)
class Pooled:
    """The estimate of rows that measured the same.

    `seconds` is the median of the rows' estimates; rows whose samples were all disturbed count only if there are no
    others. `estimator` names what it was estimated from, `disturbed` how many of the `samples` other programs
    disturbed (None: not known).
    """

    seconds: float
    estimator: str
    samples: int
    disturbed: int | None

    @property
    def comparable(self) -> bool:
        """Whether the figure can be compared with others."""
        return self.estimator != DISTURBED

    @property
    def disturbed_in_words(self) -> str:
        """How many of the samples were disturbed, such as `12 of 70`; a dash where it is not known."""
        return "-" if self.disturbed is None else f"{self.disturbed} of {self.samples}"


def pool(rows: pd.DataFrame) -> Pooled:
    """Return the one figure for rows that measured the same: used in tables, pictures, reports and verdicts alike."""
    good = _is_comparable(rows)
    seconds, counts = rows["seconds"], rows["disturbed_samples"].dropna()
    used = good if good.any() else np.ones(len(rows), dtype=bool)
    return Pooled(
        seconds=float(seconds[used].median()),
        estimator=", ".join(dict.fromkeys(rows["estimator"][used])),
        samples=sum(map(len, rows["samples"])) if "samples" in rows else 0,
        disturbed=int(counts.sum()) if len(counts) else None,
    )


def estimate_in_words(frame: pd.DataFrame) -> str:
    """Return what times are estimated from, and how many samples other programs disturbed."""
    names = " or ".join(dict.fromkeys(comparable(frame)["estimator"])) or DISTURBED
    counted = frame[frame["disturbed_samples"].notna()]
    taken = sum(map(len, counted["samples"]))
    disturbed = f"; other programs disturbed {int(counted['disturbed_samples'].sum())} of {taken} samples"
    return f"Times are the lower quartile of {names}{disturbed * bool(taken)}."


def disturbed_share(frame: pd.DataFrame) -> float | None:
    """Return the share of the samples that other programs disturbed; None where no system counted them."""
    counted = frame[frame["disturbed_samples"].notna()]
    taken = sum(map(len, counted["samples"])) if "samples" in frame else 0
    return float(counted["disturbed_samples"].sum()) / taken if taken else None


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose figure can be compared.

    Not all of their samples were disturbed, and one thread did not do alone what several do in most rows of the same
    kernel and case: a library may use fewer threads while the machine is busy.
    """
    return frame[_is_comparable(frame)]


def _is_comparable(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    # Lists: pandas takes milliseconds for what figures ask of hundreds of groups of a few rows.
    good = np.array([not (isinstance(name, str) and name == DISTURBED) for name in frame["estimator"]], dtype=bool)
    if "alone" not in frame:
        return good
    alone = frame["alone"].fillna(value=True).astype(bool)
    if alone.all() or not alone.any():
        return good
    share = alone.groupby([frame[name] for name in ("kernel", "threads", *KEY)], dropna=False).transform("mean")
    return good & ~(alone & (share < _MOST)).to_numpy()


def usable_samples(rows: pd.DataFrame) -> list[Sequence[float]]:
    """Return, for each row, the seconds that its estimate is made of."""
    return [
        _sampled(*fields).usable
        for fields in rows[["samples", "cpu_samples", "disturbed", "alone"]].itertuples(index=False)
    ]


def _sampled(samples: Sequence[float], cpu: Sequence[float], disturbed: Sequence[bool], alone: bool) -> Sampled:  # noqa: FBT001
    return Timing(1, tuple(samples), tuple(cpu), tuple(disturbed), bool(alone))


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each kernel's time per operation, dtype and size, and its ratio to the best.

    The columns are `operation`, `dtype`, `size`, `kernel`, `threads`, `seconds` (`pool` of the runs, per call),
    `gflops` (NaN where the flops are not known), `ratio` (to the smallest time in that group: 1.00 is the best; NaN for
    a wrong result and for one whose samples were all disturbed, which are not compared, and for the whole group if such
    a disturbed time is the smallest), `estimator`, `samples` and `disturbed` (how many of them; missing: not known),
    `correct` (all of them) and `control`. A kernel that ran with several numbers of threads has a row for each.
    Operations and kernels keep the order in which they first appear.
    """
    keys = [*KEY, "kernel", "threads"]
    rows = [_summed(dict(zip(keys, key, strict=True)), rows) for key, rows in _groups(frame, keys)]
    table = pd.DataFrame(rows, columns=[*keys, "seconds", "gflops", *_ABOUT]).astype(
        {**{name: frame[name].dtype for name in keys}, "disturbed": "Int64", "correct": "bool", "control": "bool"}
    )
    is_disturbed, group = table["estimator"] == DISTURBED, [table[column] for column in KEY]
    right = table["seconds"].where(table["correct"])
    best = right.where(~is_disturbed).groupby(group).transform("min")
    quickest = right.groupby(group).transform("min")  # a disturbed time may show that the best is not the best
    table.insert(7, "ratio", right.where(~is_disturbed) / best.where(best == quickest))
    return _ordered(table, frame)


def libraries(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what really ran, one row per kernel: BLAS, version, code path, threads, file, LAPACK, NumPy, Python.

    A kernel has more than one row only if it ran differently from run to run.
    """
    return frame[list(_LIBRARY)].drop_duplicates().reset_index(drop=True)


_ABOUT = ("estimator", "samples", "disturbed", "correct", "control")


def _summed(key: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    pooled = pool(rows)
    return {
        **key,
        "seconds": pooled.seconds,
        "gflops": float(rows["flops"].iloc[0]) / pooled.seconds / 1e9,
        "estimator": pooled.estimator,
        "samples": pooled.samples,
        "disturbed": pooled.disturbed,
        "correct": bool(rows["correct"].all()),
        "control": bool(rows["control"].iloc[0]),
    }


def _groups(frame: pd.DataFrame, keys: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    yield from frame.groupby(keys, sort=False, dropna=False)


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
