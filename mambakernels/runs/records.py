"""Runs, and their records: the metadata of executed notebooks, which is the only store of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from mambakernels.errors import RunError
from mambakernels.paths import PathLike
from mambakernels.runs.notebooks import Json, Notebook, outputs_of
from mambakernels.runs.outputs import Place, RemotePath, place
from mambakernels.runs.values import decode_value

METADATA_KEY = "mambakernels"

Status = Literal["ok", "failed", "running", "interrupted"]


@dataclass(frozen=True)
class Failure:
    """Why a run failed, and where.

    `cell` is the place of the failed cell among all cells, from 1; None if the kernel never got to a cell. `prompt` is
    the number that Jupyter shows next to it, `heading` the last heading above it. `source` is the head of the cell,
    `output` the end of what it printed. `stderr` is what the kernel's process wrote to its standard error, and then
    what the cell wrote: the first lines and the last, if there are many.
    """

    ename: str
    evalue: str
    cell: int | None = None
    prompt: int | None = None
    heading: str = ""
    source: str = ""
    traceback: str = ""
    output: str = ""
    stderr: str = ""

    @property
    def place(self) -> str:
        """The cell in words, as a reader of the notebook finds it; empty if the kernel never got to a cell."""
        if self.cell is None:
            return ""
        prompt = f"In [{self.prompt}]" if self.prompt else ""
        heading = f'under "{self.heading}"' if self.heading else ""
        marks = ", ".join(filter(None, (prompt, heading)))
        return f"cell {self.cell} ({marks})" if marks else f"cell {self.cell}"

    def __str__(self) -> str:
        raised = f"{self.ename}: {self.evalue}" if self.evalue else self.ename
        return f"{self.place}: {raised}" if self.place else raised


@dataclass(frozen=True)
class Run:
    """One notebook executed once on one kernel with one set of parameters.

    `path` is the executed notebook; `seconds` counts from starting the kernel to the end of the last cell that
    ran; `started` is UTC in ISO 8601; `parameters` holds every parameter, the defaults included.
    """

    notebook: Path
    kernel: str
    parameters: Mapping[str, Any]
    path: Place
    status: Status
    seconds: float
    started: str
    error: Failure | None = None
    repeat: int = 1

    def check(self) -> Run:
        """Return the run itself if it went well; `RunError` says what failed otherwise."""
        if self.error is None:
            return self
        raise RunError(
            f"{self.notebook.name} failed in {self.kernel}: {str(self.error).rstrip('.')}.",
            where=str(self.path),
            next_step="The executed notebook holds the traceback.",
        )


@dataclass(frozen=True)
class Identity:
    """What makes two runs the same: the cells, the kernelspec and its packages by their SHA-256, and the parameters.

    The parameters are encoded (`values.encode_value`), as in the record.
    """

    cells: str
    parameters: Mapping[str, Any]
    kernel: str
    packages: str | None = None
    repeat: int = 1


@dataclass(frozen=True)
class RecordedNotebook:
    """The notebook that was run: where, the SHA-256 of the file, and that of its cells without outputs."""

    path: str
    sha256: str
    cells: str


@dataclass(frozen=True)
class RecordedKernel:
    """The kernelspec that ran it; `metadata` is what mambakernels registered with it, if it did.

    `packages` is the SHA-256 of the names, versions and builds of its environment's packages where the run was planned,
    `packages_there` where it ran, if those are others.
    """

    name: str
    fingerprint: str
    display_name: str
    metadata: Mapping[str, Any] | None
    packages: str | None = None
    packages_there: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """The provenance of an executed notebook, in its metadata under `METADATA_KEY`.

    `code` is the SHA-256 of each Python file that the notebook imported from its working directory `folder`. A run
    that was retried counts its `attempts`. `blas` is the one BLAS that the kernel's process had loaded
    next to NumPy.
    """

    schema: Literal[1] = 1
    notebook: RecordedNotebook
    kernel: RecordedKernel
    parameters: Mapping[str, Any]
    started: str
    seconds: float
    status: Status
    error: Failure | None
    version: str
    host: str
    folder: str
    repeat: int = 1
    attempts: int = 1
    code: Mapping[str, str] = field(default_factory=dict)
    blas: str | None = None

    @property
    def identity(self) -> Identity:
        """The identity of its run."""
        kernel = self.kernel
        return Identity(self.notebook.cells, self.parameters, kernel.fingerprint, kernel.packages, self.repeat)

    def run(self, path: Place) -> Run:
        """Return the run whose executed notebook is at `path`."""
        return Run(
            notebook=Path(self.notebook.path),
            kernel=self.kernel.name,
            parameters=decode_value(self.parameters),
            path=path,
            status=self.status,
            seconds=self.seconds,
            started=self.started,
            error=self.error,
            repeat=self.repeat,
        )


class _Metadata(msgspec.Struct):
    mambakernels: Record


class _Executed(msgspec.Struct):
    metadata: _Metadata


_DECODER = msgspec.json.Decoder(_Executed)


def read_record(path: Place) -> Record | None:
    """Return the record of an executed notebook, or None if the file is not one (or not there).

    OSError if an address does not answer: that says nothing about a record there.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        if isinstance(path, RemotePath) and not isinstance(error, FileNotFoundError):
            raise
        return None
    return decode_record(raw)


def decode_record(raw: bytes) -> Record | None:
    """Return the record in the bytes of an executed notebook, or None if they are not one."""
    try:
        return _DECODER.decode(raw).metadata.mambakernels
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError:  # half an emoji, which msgspec refuses anywhere, or no JSON
        try:
            return msgspec.convert(json.loads(raw)["metadata"][METADATA_KEY], Record)
        except (ValueError, KeyError, TypeError, RecursionError):  # of which msgspec's errors are some
            return None


def read_run(path: PathLike | RemotePath) -> Run:
    """Return the run of an executed notebook; `RunError` if the file is not one."""
    file = place(path)
    record = read_record(file)
    if record is None:
        raise RunError("This notebook has no record of a run by mambakernels.", where=str(file))
    return record.run(file)


def provenance(notebook: Notebook) -> Json:
    """Return where a notebook's outputs come from: what its record says, else what its metadata shows.

    The keys are `notebook` (file name of the notebook that was run), `path` (of the executed one), `kernel`, `status`,
    `started`, `host` and `parameters` (JSON); None for what is not known of a notebook that was run by hand.
    """
    metadata = notebook.content.get("metadata", {})
    record = metadata.get(METADATA_KEY) or {}
    raised = any(output.get("output_type") == "error" for _, output in outputs_of(notebook.content))
    return {
        "notebook": Path(record.get("notebook", {}).get("path", notebook.path)).name,
        "path": str(notebook.path),
        "kernel": record.get("kernel", metadata.get("kernelspec", {})).get("name"),
        "status": record.get("status", "failed" if raised else "ok"),
        "started": record.get("started"),
        "host": record.get("host"),
        "parameters": json.dumps(record.get("parameters", {}), sort_keys=True),
    }
