"""DataFrames as files: CSV, Parquet or JSON, written whole or not at all, and equal when they are read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from mambakernels.errors import InvalidRequestError, NotFoundError, RunError, from_os_error
from mambakernels.paths import PathLike
from mambakernels.system.files import write_atomically

TEXT = "string"  # not `str`: pandas 2 makes the text "None" of a missing one then

Json = dict[str, Any]
Types = Mapping[str, str]


@dataclass(frozen=True)
class FrameFiles:
    """Files that hold one kind of frame.

    `types` are the frame's columns with their pandas types; `suffixes` the two endings a file may have. A file of a
    `kind` has a head of JSON, with kind, schema and what else is known `about` the frame. The texts go into messages.
    """

    types: Types
    suffixes: tuple[str, str]
    things: str
    missing: str
    next_step: str
    foreign: str
    kind: str | None = None
    schema: int = 1

    def check_target(self, path: PathLike) -> None:
        """Raise InvalidRequestError if a file of that name could not be written."""
        self._format(Path(path))

    def save(self, frame: pd.DataFrame, path: PathLike, about: Json | None = None) -> Path:
        """Write a frame and what is known about it to a file, whole or not at all, and return the file's path."""
        file = Path(path).expanduser().absolute()
        head = {"kind": self.kind, "schema": self.schema, "about": about} if self.kind else {}
        write_atomically(file, self._format(file).write(frame, head))
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

    def _format(self, file: Path) -> type[_Csv | _Parquet | _Json]:
        suffix = file.suffix.lower()
        first, second = self.suffixes
        if suffix not in self.suffixes:
            raise InvalidRequestError(
                f"{self.things} can be saved only as {first} or {second}.",
                where=str(file),
                next_step="Give a name with one of these endings.",
            )
        if suffix == ".parquet":
            _require_pyarrow(instead=second if first == suffix else first)
        return _FORMATS[suffix]


class _Csv:
    """Comma-separated values, UTF-8, without a head; lists of samples as JSON."""

    @staticmethod
    def write(frame: pd.DataFrame, head: Json) -> bytes:
        assert not head
        samples = frame["samples"].map(lambda samples: json.dumps(list(samples)))
        text: str = frame.assign(samples=samples).to_csv(index=False)
        return text.encode()

    @staticmethod
    def read(file: Path, types: Types) -> tuple[pd.DataFrame, Json]:
        # All as text first: pandas' own reading of numbers is not exact in every version. And only an empty field
        # is missing: a kernel may be called `NA`.
        text = pd.read_csv(file, dtype=TEXT, keep_default_na=False, na_values=[""], encoding="utf-8")
        samples = text["samples"].map(json.loads).astype(object)
        words = {"True": True, "False": False}
        flags = {name: text[name].map(words) for name, kind in types.items() if kind in {"bool", "boolean"}}
        return text.assign(samples=samples, **flags), {}


class _Parquet:
    """Apache Parquet, which needs pyarrow; the head is a text among the file's own metadata."""

    @staticmethod
    def write(frame: pd.DataFrame, head: Json) -> bytes:
        stream, written = BytesIO(), frame.copy()
        written.attrs = {"mambakernels": json.dumps(head)}
        written.to_parquet(stream, engine="pyarrow", index=False)
        return stream.getvalue()

    @staticmethod
    def read(file: Path, types: Types) -> tuple[pd.DataFrame, Json]:  # noqa: ARG004 (one signature for all)
        frame = pd.read_parquet(file, engine="pyarrow")
        head = json.loads(str(frame.attrs.pop("mambakernels", "{}")))
        return frame.assign(samples=frame["samples"].map(list)), head


class _Json:
    """One object: the head, and `rows`, with null for what is missing."""

    @staticmethod
    def write(frame: pd.DataFrame, head: Json) -> bytes:
        rows = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        return json.dumps({**head, "rows": rows}, indent=1, allow_nan=False).encode()

    @staticmethod
    def read(file: Path, types: Types) -> tuple[pd.DataFrame, Json]:
        content = json.loads(file.read_bytes())
        if not isinstance(content, dict):
            raise TypeError("it is not a JSON object")
        return pd.DataFrame.from_records(content.get("rows", []), columns=list(types)), content


_FORMATS: Mapping[str, type[_Csv | _Parquet | _Json]] = {".csv": _Csv, ".json": _Json, ".parquet": _Parquet}


def _require_pyarrow(*, instead: str) -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise InvalidRequestError(
            "Parquet files need pyarrow, which is not installed.",
            next_step=f"Install it with `pip install pyarrow`, or use a name that ends in {instead}.",
        )
