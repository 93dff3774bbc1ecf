"""Runs before they start: what each executes, where its record goes, and which record makes it superfluous."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mambakernels.runs.kernelspecs import Kernel
from mambakernels.runs.notebooks import Json, Notebook
from mambakernels.runs.outputs import Place, Shelf, is_there
from mambakernels.runs.parameters import inject
from mambakernels.runs.records import Identity, Record, Run, read_record
from mambakernels.system.files import digest

_LONGEST_NAME = 200  # bytes; file systems allow 255, and a page, a log and a temporary file have longer ones
_HASH_DIGITS = 8
_UNSAFE = re.compile(r"""[\x00-\x20\x7f\ud800-\udfff/\\:*?"'<>|]+""")  # in file names, on one system or another


@dataclass(frozen=True)
class Limits:
    """The most seconds for a kernel's start, for one cell and for the run, and the most bytes of memory for a run."""

    startup: float = 60.0
    cell: float | None = None
    run: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Task:
    """One run before it starts.

    `given` holds the parameters that are injected; those of the identity are all, the defaults included. `names` are
    the names that its record may have, best first: the first one is taken that no other run's record has.
    """

    notebook: Notebook
    kernel: Kernel
    given: Mapping[str, Any]
    identity: Identity
    names: tuple[str, ...]
    output: Place
    folder: Path
    limits: Limits

    @property
    def label(self) -> str:
        """The name of the run for people, such as `study.np-mkl.n=512`."""
        return self.names[0].removesuffix(".ipynb")

    def content(self) -> Json:
        """Return the notebook with its parameters injected."""
        return inject(self.notebook.content, self.given, self.notebook.language)

    def is_record(self, record: Record) -> bool:
        """Whether this is the record of the same run: of this notebook, kernel, parameters and repetition."""
        return (record.notebook.path, record.kernel.name, record.parameters, record.repeat) == (
            str(self.notebook.path),
            self.kernel.name,
            self.identity.parameters,
            self.identity.repeat,
        )

    def place(self, there: Shelf = is_there) -> tuple[Place, Record | None]:
        """Return the path for its record, and the record of an earlier run that is there.

        No other run's record and no file of the user's is ever replaced. `there` says whether a file exists.
        """
        for name in self.names:
            path = self.output / name
            if not there(path):
                return path, None
            record = read_record(path)
            if record is not None and self.is_record(record):
                return path, record
        raise AssertionError("the last name holds a hash of the run")

    def done(self, there: Shelf = is_there) -> Run | None:
        """Return the run of its record, if that is current: it went well, and nothing that it depends on changed."""
        return self.current(*self.place(there))

    def current(self, path: Place, record: Record | None) -> Run | None:
        """Return the run of a record of the same run, if that is current."""
        if record is None or record.status != "ok" or record.identity != self.identity:
            return None
        current = all(_is_unchanged(self.folder / name, sha256) for name, sha256 in record.code.items())
        return record.run(path) if current else None


def record_names(
    notebook: Path, kernel: str, *, swept: Mapping[str, Any], given: Mapping[str, Any], identity: Identity
) -> tuple[str, ...]:
    """Return the names that a run's record may have, best first.

    `notebook` is relative to the folder that was given, `swept` holds the parameters that differ between runs.
    """
    subject = json.dumps([str(notebook), kernel, identity.parameters, identity.repeat], sort_keys=True)
    short = hashlib.sha256(subject.encode()).hexdigest()[:_HASH_DIGITS]
    start = f"{notebook.with_suffix('')}.{kernel}"
    end = "" if identity.repeat == 1 else f".r{identity.repeat}"
    marks = dict.fromkeys([_marks(swept), _marks(given), f".{short}"])
    return tuple(_fitting(start + mark + end, f".{short}") for mark in marks)


def _marks(values: Mapping[str, Any]) -> str:
    return "." + ",".join(f"{name}={_readable(value)}" for name, value in values.items()) if values else ""


def _readable(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _UNSAFE.sub("_", text)


def _fitting(name: str, short: str) -> str:
    """Return a file name that is not too long: its end is replaced by a hash where it is."""
    if len(name.encode()) <= _LONGEST_NAME:
        return f"{name}.ipynb"
    room = _LONGEST_NAME - len(short)
    return f"{name.encode()[:room].decode(errors='ignore')}{short}.ipynb"


def _is_unchanged(path: Path, sha256: str) -> bool:
    return path.is_file() and digest(path) == sha256
