"""Captions: the machine and the versions that a figure's rows come from, and the reasons to doubt them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mambakernels.bench.summaries import comparable, disturbed_share
from mambakernels.plots.frames import completed, untrusted

_BUSY = 0.1  # of the samples were disturbed
_MOST_LIBRARIES = 8
_FACTS = {
    "cpu": "{}",
    "cores": "{} cores",
    "system": "{}",
    "threads": "threads: {}",
    "numpy": "NumPy {}",
    "python": "Python {}",
}


def caption(frame: pd.DataFrame, rows: pd.DataFrame, reading: str) -> tuple[str, str, str]:
    """Return the paragraphs below a figure of these rows of a frame: facts, reasons for doubt, how to read it."""
    return facts(rows), " ".join(filter(None, _doubts(completed(frame)))), reading


def facts(rows: pd.DataFrame) -> str:
    """Return machine, threads and versions in one line; unknown facts are left out."""
    return " · ".join(filter(None, (*(_values(rows[name], form) for name, form in _FACTS.items()), _libraries(rows))))


def in_threads(count: Any) -> str:
    """Return a number of threads in words; an empty text if it is unknown."""
    return "" if pd.isna(count) else f"{int(count)} thread{'s' if int(count) != 1 else ''}"


def _doubts(frame: pd.DataFrame) -> Iterator[str]:
    yield untrusted(frame)
    share = disturbed_share(frame)
    if share is not None and share > _BUSY:
        yield f"The machine was busy: other programs disturbed {share:.0%} of the samples."
    cases = ["kernel", "operation", "dtype", "size"]
    gone = frame.merge(comparable(frame)[cases].drop_duplicates(), how="left", on=cases, indicator=True)
    if kernels := list(dict.fromkeys(gone.loc[gone["_merge"] == "left_only", "kernel"])):
        yield f"Not drawn where they disturbed every sample: {', '.join(kernels)}."


def _libraries(rows: pd.DataFrame) -> str:
    """Return each BLAS with its version, in the order in which they first appear."""
    pairs = rows[["blas", "blas_version"]].dropna(subset=["blas"]).drop_duplicates()
    names = [" ".join(str(word) for word in pair if not pd.isna(word)) for pair in pairs.itertuples(index=False)]
    more = f" and {len(names) - _MOST_LIBRARIES} more" if len(names) > _MOST_LIBRARIES else ""
    return ", ".join(names[:_MOST_LIBRARIES]) + more


def _values(column: pd.Series[Any], form: str) -> str:
    values = [str(value) for value in column.dropna().unique()]
    return form.format(", ".join(values)) if values else ""
