"""A comparison on disk and back: one versioned schema, as Parquet where pyarrow is there, or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from mambakernels.bench.records import DTYPES, Measured, measured_from
from mambakernels.errors import InvalidRequestError, NotFoundError, RunError, from_os_error
from mambakernels.runs.results import require_pyarrow
from mambakernels.system.files import write_atomically

SCHEMA = 1
KIND = "mambakernels-bench"

Json = dict[str, Any]


def check_target(path: Path) -> None:
    """Raise InvalidRequestError if a comparison could not be saved there for its name: before hours of measuring."""
    if _format_of(path) is _Parquet:
        require_pyarrow(instead=".json")


def save(measured: Measured, path: Path) -> Path:
    """Write a comparison to a `.parquet` or `.json` file, whole or not at all; raw samples included."""
    file = path.expanduser().absolute()
    head: Json = {"kind": KIND, "schema": SCHEMA, "about": measured.about()}
    write_atomically(file, _format_of(file).write(measured.frame, head))
    return file


def load(path: Path) -> Measured:
    """Read what `save` wrote; NotFoundError, or RunError if the file holds something else."""
    file = path.expanduser().absolute()
    reader = _format_of(file)
    try:
        frame, head = reader.read(file)
        if head.get("kind") != KIND:
            raise ValueError("it was written by something else")  # noqa: TRY301 (put into words below)
        if head.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {head.get('schema')!r}, and this version reads {SCHEMA}")  # noqa: TRY301
        return measured_from(frame, head["about"])
    except FileNotFoundError as error:
        raise NotFoundError(
            "There is no such comparison.",
            where=str(file),
            next_step="Write one with: mambakernels bench … --save FILE",
        ) from error
    except OSError as error:
        raise from_os_error(error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"This file does not hold a comparison that `bench` saved: {error}.", where=str(file)) from error


class _Format(Protocol):
    """How a frame and what is to be known about it are written and read."""

    @staticmethod
    def write(frame: pd.DataFrame, head: Json) -> bytes: ...

    @staticmethod
    def read(file: Path) -> tuple[pd.DataFrame, Json]: ...


class _Json:
    """One object: `kind`, `schema`, `about`, and `rows`, with null for what is missing."""

    @staticmethod
    def write(frame: pd.DataFrame, head: Json) -> bytes:
        rows = [
            {name: _plain(value) for name, value in row.items()}
            for row in frame.astype(object).to_dict(orient="records")
        ]
        return json.dumps({**head, "rows": rows}, indent=1, allow_nan=False).encode()

    @staticmethod
    def read(file: Path) -> tuple[pd.DataFrame, Json]:
        content = json.loads(file.read_bytes())
        if not isinstance(content, dict):
            raise TypeError("it is no object")
        return pd.DataFrame.from_records(content.get("rows", []), columns=list(DTYPES)), content


class _Parquet:
    """The frame as Apache Parquet, which needs pyarrow; the rest as one text among the file's own metadata."""

    @staticmethod
    def write(frame: pd.DataFrame, head: Json) -> bytes:
        require_pyarrow(instead=".json")
        stream, written = BytesIO(), frame.copy()
        written.attrs = {KIND: json.dumps(head)}
        written.to_parquet(stream, engine="pyarrow", index=False)
        return stream.getvalue()

    @staticmethod
    def read(file: Path) -> tuple[pd.DataFrame, Json]:
        require_pyarrow(instead=".json")
        frame = pd.read_parquet(file, engine="pyarrow")
        head = json.loads(str(frame.attrs.pop(KIND, "{}")))
        return frame.assign(samples=frame["samples"].map(list)), head


_FORMATS: Mapping[str, type[_Format]] = {".json": _Json, ".parquet": _Parquet}


def _format_of(file: Path) -> type[_Format]:
    try:
        return _FORMATS[file.suffix.lower()]
    except KeyError:
        raise InvalidRequestError(
            "Comparisons are kept in .parquet or .json files.", where=str(file), next_step="Give a name that ends so."
        ) from None


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: what is missing is null."""
    if value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value
