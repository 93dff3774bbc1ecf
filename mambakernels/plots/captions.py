"""Captions: the machine and the versions that a figure's rows come from."""

from __future__ import annotations

from typing import Any

import pandas as pd

_MOST_LIBRARIES = 8
_FACTS = {
    "cpu": "{}",
    "cores": "{} cores",
    "system": "{}",
    "threads": "threads: {}",
    "numpy": "NumPy {}",
    "python": "Python {}",
}


def facts(rows: pd.DataFrame) -> str:
    """Return machine, threads and versions in one line; unknown facts are left out."""
    return " · ".join(filter(None, (*(_values(rows[name], form) for name, form in _FACTS.items()), _libraries(rows))))


def in_threads(count: Any) -> str:
    """Return a number of threads in words; an empty text if it is unknown."""
    return "" if pd.isna(count) else f"{int(count)} thread{'s' if int(count) != 1 else ''}"


def _libraries(rows: pd.DataFrame) -> str:
    """Return each BLAS with its version, in the order in which they first appear."""
    pairs = rows[["blas", "blas_version"]].dropna(subset=["blas"]).drop_duplicates()
    names = [" ".join(str(word) for word in pair if not pd.isna(word)) for pair in pairs.itertuples(index=False)]
    more = f" and {len(names) - _MOST_LIBRARIES} more" if len(names) > _MOST_LIBRARIES else ""
    return ", ".join(names[:_MOST_LIBRARIES]) + more


def _values(column: pd.Series[Any], form: str) -> str:
    values = [str(value) for value in column.dropna().unique()]
    return form.format(", ".join(values)) if values else ""
