"""Ranking: in each case the best kernel, and how much longer each other one takes, as far as the pairs allow."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from mambakernels.bench.summaries import KEY
from mambakernels.kernels.blas import label
from mambakernels.numeric.estimates import DISTURBED

Place = Literal["best", "equal", "slower", "undecided", "disturbed", "failed", "untrusted"]

_CASE = ["asked", *KEY]
_COMPARED = ("best", "equal", "slower", "undecided")
COLUMNS = (*_CASE, "kernel", "threads", "seconds", "gflops", "ratio", "low", "high", "place")


@dataclass(frozen=True)
class _Ratio:
    """A ratio of times with its interval, and whether the first kernel is surely equal, slower or faster."""

    ratio: float
    low: float
    high: float
    verdict: str

    def inverse(self) -> _Ratio:
        """Return it for the same two kernels the other way round."""
        other = {"faster": "slower", "slower": "faster"}.get(self.verdict, self.verdict)
        return _Ratio(1 / self.ratio, 1 / self.high, 1 / self.low, other)


_UNKNOWN = _Ratio(math.nan, math.nan, math.nan, "undecided")


def ranking(
    table: pd.DataFrame, paired: pd.DataFrame, *, failed: Collection[str] = (), trusted: bool = True
) -> pd.DataFrame:
    """Return the place of each kernel in each case; controls are left out.

    `table` is that of `side_by_side`, `paired` every pair (`pairs` of everyone). `failed` are labels of kernels that
    did not pass a gate. A row has `asked`, `operation`, `dtype`, `size`, `kernel`, `threads`, `seconds`, `gflops`,
    `ratio` (its time over the best's), its interval `low` and `high`, and `place`: *best*, *equal* (within the margin),
    *slower*, *undecided*; *disturbed* (by other programs, in every sample) and *failed* are compared with nothing, and
    all others are *untrusted* if the comparison is not to be trusted: then there is no ratio.
    """
    ratios = {key: ratio for row in paired.to_dict(orient="records") for key, ratio in _both_ways(row)}
    rows: list[dict[str, Any]] = []
    for case, group in table[~table["control"]].groupby(_CASE, sort=False, dropna=False):
        mine = {(one, other): ratio for (*where, one, other), ratio in ratios.items() if tuple(where) == _plain(case)}
        rows += _placed(group, mine, failed) if trusted else _untrusted(group, failed)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def resolved(ranked: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the cases that had rounds enough for an interval, or in which a kernel failed.

    If there is none, all rows. A case that turns out to be too long after the first round has only that one.
    """
    known = (ranked["low"].notna() & (ranked["place"] != "best")) | (ranked["place"] == "failed")
    enough = known.groupby([ranked["asked"].fillna(0), *(ranked[column] for column in KEY)]).transform("any")
    return ranked[enough] if enough.any() else ranked


def fastest(ranked: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows are the fastest of their case: the best of several and its equals, if none is undecided."""
    case = [ranked["asked"].fillna(0), *(ranked[column] for column in KEY)]
    several = ranked["place"].isin(_COMPARED).groupby(case).transform("sum") > 1
    undecided = (ranked["place"] == "undecided").groupby(case).transform("any")
    return ranked["place"].isin(["best", "equal"]) & several & ~undecided


def _placed(
    group: pd.DataFrame, ratios: Mapping[tuple[str, str], _Ratio], failed: Collection[str]
) -> Iterator[dict[str, Any]]:
    rows = [{name: row[name] for name in COLUMNS if name in row} for row in group.to_dict(orient="records")]
    bad = dict(zip(group["kernel"], _refused(group, failed), strict=True))
    good = {str(row["kernel"]): row["seconds"] for row in rows if not bad[row["kernel"]]}
    best = _best(good, ratios)
    for row in rows:
        kernel = str(row["kernel"])
        found = ratios.get((kernel, best)) if kernel in good else None
        ratio = _Ratio(1.0, 1.0, 1.0, "best") if kernel == best else found or _UNKNOWN
        place = bad[kernel] or ("undecided" if ratio.verdict == "faster" else ratio.verdict)
        yield row | {"ratio": ratio.ratio, "low": ratio.low, "high": ratio.high, "place": place}


def _refused(group: pd.DataFrame, failed: Collection[str]) -> Iterator[Place | None]:
    """Yield for each row why it is compared with nothing; None if it is compared."""
    for row in group.to_dict(orient="records"):
        asked = None if pd.isna(row["asked"]) else int(row["asked"])
        if not row["correct"] or label(str(row["kernel"]), asked) in failed:
            yield "failed"
        else:
            yield "disturbed" if row["estimator"] == DISTURBED else None


def _best(good: Mapping[str, float], ratios: Mapping[tuple[str, str], _Ratio]) -> str:
    """Return the kernel with the least time among those that no other one is surely faster than."""
    beaten = {other for (one, other), ratio in ratios.items() if ratio.verdict == "faster" and one in good}
    return min([kernel for kernel in good if kernel not in beaten] or good, key=lambda name: good[name], default="")


def _untrusted(group: pd.DataFrame, failed: Collection[str]) -> Iterator[dict[str, Any]]:
    for row, place in zip(group.to_dict(orient="records"), _refused(group, failed), strict=True):
        kept = {str(name): value for name, value in row.items() if name in COLUMNS}
        yield kept | {"ratio": math.nan, "low": math.nan, "high": math.nan, "place": place or "untrusted"}


def _both_ways(row: Mapping[Any, Any]) -> Iterator[tuple[tuple[Any, ...], _Ratio]]:
    case = _plain((row["threads"], *(row[column] for column in KEY)))
    found = _Ratio(row["ratio"], row["low"], row["high"], row["verdict"])
    yield (*case, row["kernel"], row["reference"]), found
    yield (*case, row["reference"], row["kernel"]), found.inverse()


def _plain(case: Any) -> tuple[Any, ...]:
    return tuple(None if pd.isna(value) else value for value in case)
