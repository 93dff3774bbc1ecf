"""What is written below a figure: the machine, the versions, and how to read it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd

_MOST_LIBRARIES = 8


def caption(rows: pd.DataFrame, reading: str, *, letters: int) -> str:
    """Return the facts of what ran and a sentence on how to read the figure, in lines of so many letters."""
    return "\n".join(textwrap.fill(line, letters) for line in (facts(rows), reading) if line)


def facts(rows: pd.DataFrame) -> str:
    """Return machine, threads and versions in one line; what is not known is left out."""
    known = (
        _machine(rows),
        _all_of(rows["threads"], "threads: {}"),
        _all_of(rows["numpy"], "NumPy {}"),
        _all_of(rows["python"], "Python {}"),
        libraries(rows),
    )
    return " · ".join(filter(None, known))


def in_threads(count: Any) -> str:
    """Return a number of threads in words; nothing where it is not known."""
    return "" if pd.isna(count) else f"{int(count)} thread{'s' if int(count) != 1 else ''}"


def libraries(rows: pd.DataFrame) -> str:
    """Return each BLAS with its version, in the order in which they first appear."""
    pairs = rows[["blas", "blas_version"]].dropna(subset=["blas"]).drop_duplicates()
    names = [" ".join(str(word) for word in pair if not pd.isna(word)) for pair in pairs.itertuples(index=False)]
    more = f" and {len(names) - _MOST_LIBRARIES} more" if len(names) > _MOST_LIBRARIES else ""
    return ", ".join(names[:_MOST_LIBRARIES]) + more


def _machine(rows: pd.DataFrame) -> str:
    words: Sequence[str] = (
        _all_of(rows["cpu"], "{}"),
        _all_of(rows["cores"], "{} cores"),
        _all_of(rows["system"], "{}"),
    )
    return " · ".join(filter(None, words))


def _all_of(column: pd.Series[Any], form: str) -> str:
    values = [str(value) for value in column.dropna().unique()]
    return form.format(", ".join(values)) if values else ""
