"""Results of runs as one table: a row per executed notebook, whatever is in it, ours or of other programs."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mambakernels.paths import PathLike, path_list, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.record import DATE, NUMBER, TABLE
from mambakernels.runs.outcome_cache import read_outcomes
from mambakernels.runs.outcomes import Outcome, as_time

if TYPE_CHECKING:
    import pandas as pd

    from mambakernels.runs.frame_files import FrameFiles

Row = dict[str, Any]

FORMATS = ("csv", "parquet", "duckdb")
_STARTED = "datetime64[us, UTC]"
_TYPES: Mapping[str, str] = {
    "notebook": "string",
    "kernel": "string",
    "environment": "string",
    "status": "string",
    "error": "string",
    "seconds": "float64",
    "started": _STARTED,
    "host": "string",
    "path": "string",
    "repeat": "Int64",
    "blas": "string",
}
FIXED = tuple(_TYPES)
"""The columns that every table of runs has; those of parameters and results follow."""


@dataclass(frozen=True)
class Table:
    """A table that a notebook recorded, as pandas splits one: names of columns, names of rows, and rows of values."""

    columns: list[Any]
    index: list[Any]
    data: list[list[Any]]

    def as_frame(self) -> pd.DataFrame:
        """Return it as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.data, index=_labels(self.index), columns=_labels(self.columns))


@storage_errors
def collect(
    paths: PathLike | Iterable[PathLike], *, to: PathLike | None = None, progress: Progress = silent
) -> pd.DataFrame:
    """Read executed notebooks into one table with a row per run, failed and interrupted ones included.

    Every notebook that was executed counts: by `run`, by papermill, by nbconvert or by hand; what is not known of a run
    is missing. Notebooks that were never executed are left out. What was read is kept in a hidden file of the folder,
    so that the next call reads only new and changed notebooks.

    Parameters
    ----------
    paths
        An executed notebook, a folder (searched through, hidden ones left out) or a glob pattern, or several of them;
        notebooks and folders also at an address that fsspec opens (`s3://bucket/runs`).
    to
        Also write the table to this file, whole or not at all: `.csv`, `.parquet` or `.duckdb` (its table `runs`).
        `csv`, `parquet` or `duckdb` alone is a file `results` of that kind. Tables and lists are JSON in it.
    progress
        Called while many notebooks are read.

    Returns
    -------
    pandas.DataFrame
        `notebook` (file name of the notebook that was run), `kernel`, `environment` (name or prefix of the kernel's
        environment), `status` (`ok`, `failed`, `interrupted`, `running` or `unreadable`), `error` (a short text),
        `seconds`, `started` (UTC), `host`, `path` (of the executed notebook), `repeat` (from 1), `blas` (the one
        that the kernel had loaded next to NumPy, on Linux, or that code in the kernel proved to run).

        Then a column for each parameter and each recorded result (`mambakernels.record`, cells tagged `result:NAME`,
        scrapbook's `glue`): of whole numbers (`Int64`), numbers, bools, texts or times, else of objects; a recorded
        table is a DataFrame. A parameter that has the name of a column above is called `parameter.NAME`; a result that
        has the name of one of those or of a parameter, `result.NAME`. The frame's `attrs` name the columns of either
        kind, under `parameters` and `results`.

    Raises
    ------
    NotFoundError
        A path matches nothing.
    InvalidRequestError
        `to` has another ending, or its format needs a package that is not installed.
    """
    file = None if to is None else target(to)
    found, parameters, results = _read(paths, progress)
    frame = _frame(found)
    frame.attrs = {"parameters": parameters, "results": results}
    if file is not None:
        _files().save(_plain(frame), file)
    return frame


def rows(paths: PathLike | Iterable[PathLike], *, progress: Progress = silent) -> list[Row]:
    """Return the rows of `collect` without pandas: all with the same keys, None for what is missing.

    `started` is a datetime in UTC, a recorded table a `Table`.
    """
    return _read(paths, progress)[0]


def _read(paths: PathLike | Iterable[PathLike], progress: Progress) -> tuple[list[Row], list[str], list[str]]:
    """Return the rows, and the names of the columns that hold parameters and results."""
    runs = list(read_outcomes(path_list(paths), progress))
    outcomes = [outcome for _, outcome in runs]
    parameters = _named("parameter", (outcome.parameters for outcome in outcomes), taken=FIXED)
    results = _named("result", (outcome.results for outcome in outcomes), taken=(*FIXED, *parameters.values()))
    blank = dict.fromkeys((*FIXED, *parameters.values(), *results.values()))
    found = [blank | _row(path, outcome, parameters, results) for path, outcome in runs]
    return found, list(parameters.values()), list(results.values())


def _named(kind: str, values: Iterable[Mapping[str, Any]], *, taken: Sequence[str]) -> dict[str, str]:
    """Return the column of each name that occurs: the name itself, with the kind before it where it is taken."""
    columns: dict[str, str] = {}
    used = set(taken)
    for name in dict.fromkeys(name for one in values for name in one):
        column = name
        while column in used:
            column = f"{kind}.{column}"
        columns[name] = column
        used.add(column)
    return columns


def _row(path: str, outcome: Outcome, parameters: Mapping[str, str], results: Mapping[str, str]) -> Row:
    return {
        **{name: getattr(outcome, name) for name in FIXED if name not in {"path", "started"}},
        "path": path,
        "started": as_time(outcome.started),
        **{parameters[name]: _decode(value) for name, value in outcome.parameters.items()},
        **{results[name]: _decode(value) for name, value in outcome.results.items()},
    }


def _decode(value: Any) -> Any:
    """Return a value that a record holds as JSON as Python has it."""
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, content),) = value.items()
        if key in _DECODERS:
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):  # another program's `$date`
                return _DECODERS[key](content)
    return {key: _decode(item) for key, item in value.items()}


def _table(content: Mapping[str, Any]) -> Table:
    columns, index, data = (_decode(content[name]) for name in ("columns", "index", "data"))
    if len(index) != len(data) or any(len(row) != len(columns) for row in data):
        raise ValueError("the rows do not fit their names")
    return Table(columns, index, data)


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


_DECODERS: Mapping[str, Callable[[Any], Any]] = {NUMBER: float, DATE: _time, TABLE: _table}


def _frame(found: Sequence[Row]) -> pd.DataFrame:
    import pandas as pd

    names = list(found[0]) if found else list(FIXED)
    columns = {name: [row[name] for row in found] for name in names}
    return pd.DataFrame({name: _series(values, _TYPES.get(name)) for name, values in columns.items()})


def _series(values: list[Any], kind: str | None) -> Any:
    """Return a column with the type that all its values have, which is never lost where some are missing."""
    import pandas as pd

    shown: list[Any] = [value.as_frame() if isinstance(value, Table) else value for value in values]
    return pd.Series(shown, dtype=kind or _kind(values))


_KINDS: Mapping[frozenset[type], str] = {
    frozenset({bool}): "boolean",
    frozenset({int}): "Int64",
    frozenset({float}): "float64",
    frozenset({int, float}): "float64",
    frozenset({str}): "string",
    frozenset({dt.datetime}): "datetime64[us]",
}


def _kind(values: Sequence[Any]) -> str:
    there = [value for value in values if value is not None]
    kind = _KINDS.get(frozenset(map(type, there)), "object")
    if kind == "Int64" and not all(-(2**63) <= value < 2**63 for value in there):
        return "object"
    if kind == "datetime64[us]" and (zones := {value.tzinfo is not None for value in there}) != {False}:
        return _STARTED if zones == {True} else "object"
    return kind


def _labels(names: list[Any]) -> Any:
    """Return names of rows or columns as pandas has them: lists are the levels of one name."""
    import pandas as pd

    if names and all(isinstance(name, list) for name in names):
        return pd.MultiIndex.from_tuples([tuple(name) for name in names])
    return pd.Index(names)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table as files have it: objects as JSON, but texts as they are."""
    objects = [name for name in frame if str(frame[name].dtype) == "object"]
    texts = {str(name): frame[name].map(_as_text, na_action=None).astype("string") for name in objects}
    return frame.assign(**texts)


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(as_json(value), ensure_ascii=False)


def as_json(value: Any) -> Any:
    """Return a value of a row, or of a table of runs, as JSON: times as texts, and None for NaN and the infinities."""
    if isinstance(value, Table):
        value = asdict(value)
    elif hasattr(value, "columns"):
        value = value.to_dict(orient="split")
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, dt.date):
        return value.isoformat() if value == value else None  # noqa: PLR0124 (pandas' missing time)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def target(to: PathLike) -> Path:
    """Return the file that `to` names; InvalidRequestError if no table of runs can be saved as such a file."""
    file = Path(f"results.{to}") if to in FORMATS else Path(to)
    _files().check_target(file)
    return file


def _files() -> FrameFiles:
    from mambakernels.runs.frame_files import FrameFiles

    return FrameFiles(
        types={},
        suffixes=tuple(f".{name}" for name in FORMATS),
        things="Tables of runs",
        missing="",
        next_step="",
        foreign="",
    )
