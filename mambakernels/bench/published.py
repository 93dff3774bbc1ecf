"""The measurements that executed notebooks published, as one tidy DataFrame, and that frame as a file.

Its columns follow from `mambakernels.numeric.Measurement` and `Probe`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pandas as pd

from mambakernels.errors import RunError
from mambakernels.numeric import probing
from mambakernels.numeric.bundle import MIME_TYPE, SCHEMA, json_schema
from mambakernels.numeric.measurement import Figures, Measurement
from mambakernels.paths import PathLike, path_list, storage_errors
from mambakernels.runs.frame_files import TEXT, FrameFiles
from mambakernels.runs.notebooks import Json, Notebook, find_notebooks, outputs_of
from mambakernels.runs.records import provenance

_LISTS = "object"  # the pandas type of columns of lists


class SchemaError(ValueError):
    """A bundle does not match its schema; the message names the field and says how."""


def validate(content: object) -> None:
    """Check a bundle of measurements against its JSON Schema; SchemaError names the first field that does not fit."""
    import fastjsonschema

    if isinstance(content, Mapping) and content.get("schema") != SCHEMA:
        raise SchemaError(f"schema {content.get('schema')!r} is not known to this version, which reads {SCHEMA}")
    try:
        _checker()(content, name_prefix="bundle")
        json.dumps(content, allow_nan=False)  # the schema lets NaN pass, which JSON does not know
    except fastjsonschema.JsonSchemaValueException as error:
        value = "" if isinstance(error.value, dict | list) else f", not {error.value!r}"
        raise SchemaError(f"{error.message}{value}") from error
    except ValueError as error:
        raise SchemaError(str(error)) from error


@cache
def _checker() -> Any:
    import fastjsonschema

    return fastjsonschema.compile(json_schema())


def _pandas_type(kind: Any) -> str:
    """Return the pandas type of a column whose values have this type; texts also hold mappings, as JSON."""
    options = [one for one in get_args(kind) if one is not NoneType] if NoneType in get_args(kind) else [kind]
    nullable = options != [kind]
    if get_origin(kind) is tuple:
        return _LISTS
    names = {int: ("int64", "Int64"), float: ("float64", "float64"), bool: ("bool", "boolean")}
    return names.get(options[0], (TEXT, TEXT))[nullable]


def _columns(kind: type) -> dict[str, str]:
    hints = get_type_hints(kind)
    return {field.name: _pandas_type(hints[field.name]) for field in fields(kind)}


ORIGIN: Mapping[str, str] = dict.fromkeys(
    ("notebook", "path", "kernel", "status", "started", "host", "parameters"), TEXT
)
RAN: Mapping[str, str] = {
    name: _pandas_type(reduce(lambda kind, part: get_type_hints(kind)[part], path.split("."), probing.Probe))
    for name, path in probing.COLUMNS.items()
} | {"code": TEXT}
_FIELDS: Mapping[str, str] = _columns(Measurement)
MEASURED: Mapping[str, str] = {
    **{name: kind for name, kind in _FIELDS.items() if kind != _LISTS},
    **_columns(Figures),
    **{name: kind for name, kind in _FIELDS.items() if kind == _LISTS},  # last, as they are long
}
COLUMNS: Mapping[str, str] = {**ORIGIN, **RAN, "findings": TEXT, **MEASURED}

RESULTS = FrameFiles(
    types=COLUMNS,
    suffixes=(".csv", ".parquet"),
    things="Results",
    missing="There is no such results file.",
    next_step="Write one with: mambakernels measurements NOTEBOOKS -o FILE",
    foreign="This file does not hold results",
)


@storage_errors
def measurements(paths: PathLike | Iterable[PathLike]) -> pd.DataFrame:
    """Read every measurement that executed notebooks published into one frame, a row per measurement.

    Parameters
    ----------
    paths
        An executed notebook, a folder (searched through, hidden ones left out) or a glob pattern, or several of them.

    Returns
    -------
    pandas.DataFrame
        Where it comes from: `notebook` (file name of the notebook that was run), `path` (of the executed one),
        `kernel`, `status` (`ok` or `failed`: a failed run contributes what it published before), `started`
        (UTC, ISO 8601), `host`, `parameters` (JSON).

        What ran: `blas`, `blas_version`, `architecture` (the code path the library chose), `threads`, `library`
        (path of the mapped file), `lapack`, `numpy`, `python` (versions), `cpu`, `cores`, `system`, `peak_gflops`
        (of one core, theoretical, 10⁹ flops per second), `code` (hash of the sources that measured), `findings`
        (reasons to doubt all of it).

        What was measured: the fields of `mambakernels.numeric.Measurement`, with their units there (`shape` as JSON),
        and what follows from them: `seconds` (per call: the lower quartile of what `estimator` names, which
        `mambakernels.numeric.estimates` explains), `disturbed_samples` (how many of the samples; missing: not known),
        `interval_low` and `interval_high` (of `seconds`, 95 %), `gflops` (10⁹ flops per second, from `seconds`; NaN if
        not known) and `correct` (the residual is within its bound). `samples`, `cpu_samples` (seconds
        per call) and `disturbed` are lists.

    Raises
    ------
    NotFoundError
        A path matches nothing.
    RunError
        A file is not a notebook, or a bundle in it does not match its schema; names the notebook and the cell.
    """
    return frame_of([row for notebook in find_notebooks(path_list(paths)) for row in _rows(notebook)], COLUMNS)


def save(frame: pd.DataFrame, path: PathLike) -> Path:
    """Write a frame to a `.csv` or `.parquet` file, whole or not at all, and return its path; raw samples included."""
    return RESULTS.save(frame, path)


def load(path: PathLike) -> pd.DataFrame:
    """Read a frame that `save` wrote; it equals the one that was saved."""
    return RESULTS.load(path)[0]


def frame_of(rows: Iterable[Mapping[str, Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a frame with exactly these columns, each with its type."""
    return pd.DataFrame.from_records(list(rows), columns=list(types)).astype(dict(types))


def row_of(one: Measurement, probe: Json, code: str | None) -> Json:
    """Return a measurement and what ran as a row: the columns `RAN` and `MEASURED`."""
    ran = {name: reduce(getitem, path.split("."), probe) for name, path in probing.COLUMNS.items()}
    return {
        **ran,
        "code": code,
        **one.as_dict(),
        "threads": ran["threads"] if one.threads is None else one.threads,
        "shape": json.dumps(dict(one.shape), sort_keys=True),
        "remark": one.remark or None,
        **vars(one.figures),
    }


def _rows(notebook: Notebook) -> Iterator[Json]:
    start = provenance(notebook)
    for cell, output in outputs_of(notebook.content):
        bundle = output.get("data", {}).get(MIME_TYPE)
        if bundle is None:
            continue
        try:
            validate(bundle)
        except SchemaError as error:
            raise RunError(
                f"The measurements that cell {cell + 1} published cannot be read: {error}.",
                where=str(notebook.path),
                next_step="Run the notebook again with this version of mambakernels.",
            ) from error
        found = "; ".join(finding["text"] for finding in bundle["findings"]) or None
        for content in bundle["measurements"]:
            one = Measurement.from_dict(content)
            yield {**start, **row_of(one, bundle["probe"], bundle["code"]["sha256"]), "findings": found}
