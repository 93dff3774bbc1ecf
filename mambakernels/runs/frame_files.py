"""DataFrames as files: CSV, Parquet, JSON or DuckDB, written whole or not at all, and equal when they are read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from mambakernels.errors import InvalidRequestError, NotFoundError, RunError, from_os_error
from mambakernels.paths import PathLike, absolute
from mambakernels.system.files import check_writable, write_atomically

TEXT = "string"  # not `str`: pandas 2 makes the text "None" of a missing one then

Json = dict[str, Any]
Types = Mapping[str, str]


@dataclass(frozen=True)
class FrameFiles:
    """Files that hold one kind of frame.

    `types` are the frame's columns with their pandas types; `suffixes` the endings a file may have. A file of a `kind`
    has a head of JSON, with kind, schema and what else is known `about` the frame. The texts go into messages.
    """

    types: Types
    suffixes: tuple[str, ...]
    things: str
    missing: str
    next_step: str
    foreign: str
    kind: str | None = None
    schema: int = 1

    def check_target(self, path: PathLike) -> None:
        """Raise InvalidRequestError or StorageError if a file of that name could not be written."""
        self._format(Path(path))
        check_writable(absolute(path).parent)

    def save(self, frame: pd.DataFrame, path: PathLike, about: Json | None = None) -> Path:
        """Write a frame and what is known about it to a file, whole or not at all, and return the file's path."""
        file = Path(path).expanduser().absolute()
        head = {"kind": self.kind, "schema": self.schema, "about": about} if self.kind else {}
        self._format(file).save(frame, head, file)
        return file

    def load(self, path: PathLike) -> tuple[pd.DataFrame, Json]:
        """Return the frame that `save` wrote, and what is known about it."""
        file = Path(path).expanduser().absolute()
        reader = self._format(file)
        try:
            frame, head = reader.read(file, self.types)
            self._check_head(head)
            return frame[list(self.types)].astype(dict(self.types)), head.get("about") or {}
        except FileNotFoundError as error:
            raise NotFoundError(self.missing, where=str(file), next_step=self.next_step) from error
        except OSError as error:
            raise from_os_error(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self.not_readable(file, error) from error

    def not_readable(self, path: PathLike, reason: object) -> RunError:
        """Return the error for a file that holds something else."""
        return RunError(f"{self.foreign}: {reason}.", where=str(Path(path).expanduser().absolute()))

    def _check_head(self, head: Json) -> None:
        if head.get("kind") != self.kind:
            raise ValueError("it was written by something else")
        if self.kind and head.get("schema") != self.schema:
            raise ValueError(f"its schema is {head.get('schema')!r}, and this version reads {self.schema}")

    def _format(self, file: Path) -> type[_Format]:
        suffix = file.suffix.lower()
        if suffix not in self.suffixes:
            *others, last = self.suffixes
            raise InvalidRequestError(
                f"{self.things} can be saved only as {', '.join(others)} or {last}.",
                where=str(file),
                next_step="Give a name with one of these endings.",
            )
        return _FORMATS[suffix]


class _Format:
    """A kind of file: written as bytes, whole or not at all."""

    @classmethod
    def save(cls, frame: pd.DataFrame, head: Json, file: Path) -> None:
        write_atomically(file, cls.write(frame, head))

    @classmethod
    def write(cls, frame: pd.DataFrame, head: Json) -> bytes:
        raise NotImplementedError

    @classmethod
    def read(cls, file: Path, types: Types) -> tuple[pd.DataFrame, Json]:
        raise NotImplementedError


class _Csv(_Format):
    """Comma-separated values, UTF-8, without a head; lists as JSON."""

    @classmethod
    def write(cls, frame: pd.DataFrame, head: Json) -> bytes:
        assert not head
        lists = {str(name): frame[name].map(_as_json) for name in frame if str(frame[name].dtype) == "object"}
        text: str = frame.assign(**lists).to_csv(index=False)
        return text.encode()

    @classmethod
    def read(cls, file: Path, types: Types) -> tuple[pd.DataFrame, Json]:
        # All as text first: pandas' own reading of numbers is not exact in every version. And only an empty field
        # is missing: a kernel may be called `NA`.
        text = pd.read_csv(file, dtype=TEXT, keep_default_na=False, na_values=[""], encoding="utf-8")
        lists = {name: text[name].map(json.loads).astype(object) for name, kind in types.items() if kind == "object"}
        words = {"True": True, "False": False}
        flags = {name: text[name].map(words) for name, kind in types.items() if kind in {"bool", "boolean"}}
        return text.assign(**lists, **flags), {}


class _Parquet(_Format):
    """Apache Parquet; the head is a text among the file's own metadata."""

    @classmethod
    def write(cls, frame: pd.DataFrame, head: Json) -> bytes:
        stream, written = BytesIO(), frame.copy()
        written.attrs = {"mambakernels": json.dumps(head)}
        written.to_parquet(stream, engine="pyarrow", index=False)
        return stream.getvalue()

    @classmethod
    def read(cls, file: Path, types: Types) -> tuple[pd.DataFrame, Json]:
        frame = pd.read_parquet(file, engine="pyarrow")
        head = json.loads(str(frame.attrs.pop("mambakernels", "{}")))
        lists = [name for name, kind in types.items() if kind == "object" and name in frame]
        return frame.assign(**{name: frame[name].map(list) for name in lists}), head


class _Json(_Format):
    """One object: the head, and `rows`, with null for what is missing."""

    @classmethod
    def write(cls, frame: pd.DataFrame, head: Json) -> bytes:
        rows = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        return json.dumps({**head, "rows": rows}, indent=1, allow_nan=False).encode()

    @classmethod
    def read(cls, file: Path, types: Types) -> tuple[pd.DataFrame, Json]:
        content = json.loads(file.read_bytes())
        if not isinstance(content, dict):
            raise TypeError("it is not a JSON object")
        return pd.DataFrame.from_records(content.get("rows", []), columns=list(types)), content


class _DuckDb(_Format):
    """The table `runs` of a DuckDB database, replaced in one transaction; other tables in it stay."""

    @classmethod
    def save(cls, frame: pd.DataFrame, head: Json, file: Path) -> None:
        assert not head
        import pyarrow as pa

        duckdb = _duckdb()
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with duckdb.connect(str(file)) as database:
                database.register("collected", pa.Table.from_pandas(frame, preserve_index=False))
                database.execute("CREATE OR REPLACE TABLE runs AS SELECT * FROM collected")
        except duckdb.Error as error:
            raise RunError(
                f"The database cannot be written: {str(error).splitlines()[0]}",
                where=str(file),
                next_step="Close other programs that have it open, or give another name.",
            ) from error


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise InvalidRequestError(
            "DuckDB files need duckdb, which is not installed.",
            next_step="Install it with `pip install duckdb`, or use a name that ends in .parquet or .csv.",
        ) from error
    return duckdb


def _as_json(value: Any) -> str:
    return json.dumps(list(value))


_FORMATS: Mapping[str, type[_Format]] = {".csv": _Csv, ".json": _Json, ".parquet": _Parquet, ".duckdb": _DuckDb}
