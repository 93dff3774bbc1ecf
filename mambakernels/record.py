"""Results of your own: `record(r2=0.93)` in a notebook becomes a column of `mambakernels.collect`.

This file is copied into every Python environment that mambakernels makes, so it needs the standard library alone, and
any Python from 3.8 on. A bundle of results is one JSON object in an output of MIME type `MIME_TYPE`: values by name.
What JSON lacks is an object with one key: `{"$numberDouble": "NaN"}`, `{"$date": "2026-11-26T12:00:00+00:00"}` and
`{"$table": {"columns": [...], "index": [...], "data": [[...]]}}`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

MIME_TYPE = "application/vnd.mambakernels.result+json"
MOST_VALUES = 100_000
MOST_CHARACTERS = 2_000_000  # of JSON; a notebook with more is slow to open
NUMBER, DATE, TABLE = "$numberDouble", "$date", "$table"

_SHOWN_LINES, _SHOWN_CHARACTERS = 12, 200
_ADVICE = "Record a summary of it, or save it to a file and record the file's path."


def record(results: Mapping[str, Any] | None = None, /, **named: Any) -> None:
    """Record results in the notebook, each under its name, as one output that also shows them.

    A result is a number, text, bool, None, date or path; a list, dict or array of them; or a table: a DataFrame or
    Series of pandas or polars, or a table of pyarrow. NumPy's scalars count as numbers, a timedelta as seconds. Of one
    name, the last result counts. Names that Python does not allow can be given as a mapping: `record({"R²": 0.93})`.

    Raises
    ------
    TypeError
        A result is of another type.
    ValueError
        A result has more than `MOST_VALUES` values, or more than `MOST_CHARACTERS` as JSON.
    """
    given = {**(results or {}), **named}
    bundle = {str(name): _encoded(str(name), value) for name, value in given.items()}
    text = "\n".join(_shown(str(name), value) for name, value in given.items())
    ipython = sys.modules.get("IPython")  # not imported: if it is not loaded, nothing can be displayed
    if ipython is None or ipython.get_ipython() is None:
        print(text)  # noqa: T201 (a script has no other place for it)
        return
    from IPython.display import display

    display({MIME_TYPE: bundle, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]


def _encoded(name: str, value: Any) -> Any:
    try:
        _check_shape(value)
        encoded = encode(value)
        _check_length(len(json.dumps(encoded)))
    except (ValueError, TypeError) as error:
        raise type(error)(f"The result '{name}' is {error}. {_ADVICE}") from None
    return encoded


def encode(value: Any) -> Any:
    """Return a value as JSON has it; TypeError or ValueError says what it is that cannot be recorded."""
    if value is None or isinstance(value, (bool, str)):
        return value if value is None or isinstance(value, bool) else str(value)
    if isinstance(value, enum.Enum):
        return encode(value.value)
    for kinds, encoder in _ENCODERS:
        if isinstance(value, kinds):
            return encoder(value)
    if hasattr(value, "to_frame") and (hasattr(value, "iloc") or not hasattr(value, "tolist")):  # a Series, no Index
        value = value.to_frame()
    if hasattr(value, "columns") or hasattr(value, "column_names"):
        return {TABLE: _table(value)}
    if hasattr(value, "tolist"):  # an array, or a scalar of NumPy
        return encode(value.tolist())
    if type(value).__name__ == "NAType":
        return None
    raise TypeError(f"of type {type(value).__name__}, which cannot be recorded")


def _number(value: float) -> Any:
    if math.isfinite(value):
        return float(value)
    return {NUMBER: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def _date(value: dt.date) -> Any:
    return None if _is_nat(value) else {DATE: value.isoformat()}


def _is_nat(value: Any) -> bool:
    return bool(value != value)  # noqa: PLR0124 (pandas' missing time is a datetime and a timedelta)


def _dict(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): encode(item) for key, item in value.items()}


def _list(value: Any) -> list[Any]:
    return [encode(item) for item in value]


_ENCODERS: Any = (
    (int, int),
    (float, _number),
    ((decimal.Decimal, fractions.Fraction), lambda value: _number(float(value))),
    (dt.timedelta, lambda value: None if _is_nat(value) else value.total_seconds()),
    (dt.date, _date),
    (os.PathLike, os.fspath),
    (Mapping, _dict),
    ((list, tuple, set, frozenset, range), _list),
)


def _table(value: Any) -> dict[str, Any]:
    """Return a frame of pandas, polars or pyarrow as its columns, index and rows."""
    if hasattr(value, "iloc"):
        split = value.to_dict(orient="split")
        return {"columns": _list(split["columns"]), "index": _list(split["index"]), "data": _list(split["data"])}
    names = getattr(value, "column_names", None) or value.columns
    data = _list(value.rows() if hasattr(value, "rows") else [list(row.values()) for row in value.to_pylist()])
    return {"columns": _list(names), "index": list(range(len(data))), "data": data}


def _check_shape(value: Any) -> None:
    """Refuse what is large before it is turned into Python's numbers."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and math.prod(shape) > MOST_VALUES:
        sizes = " by ".join(f"{size:,}" for size in shape)
        raise ValueError(f"of {sizes} values, and at most {MOST_VALUES:,} can be recorded")


def _check_length(length: int) -> None:
    if length > MOST_CHARACTERS:
        raise ValueError(f"{length:,} characters as JSON, and at most {MOST_CHARACTERS:,} can be recorded")


def _shown(name: str, value: Any) -> str:
    """Return a result for a reader: short ones on one line, tables below their names."""
    lines = str(value).splitlines() or [""]
    if len(lines) > _SHOWN_LINES:
        lines = [*lines[:_SHOWN_LINES], "…"]
    lines = [line if len(line) <= _SHOWN_CHARACTERS else line[:_SHOWN_CHARACTERS] + "…" for line in lines]
    return "\n".join([name + ":", *lines]) if len(lines) > 1 else f"{name} = {lines[0]}"
