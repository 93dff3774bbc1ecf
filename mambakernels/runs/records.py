"""What is known of a run afterwards; it lives in the metadata of the executed notebook, and nowhere else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mambakernels.errors import MambakernelsError, RunError
from mambakernels.runs.notebooks import Json, Notebook, outputs_of, read_notebook

METADATA_KEY = "mambakernels"
SCHEMA = 1

Status = Literal["ok", "failed"]


@dataclass(frozen=True)
class Failure:
    """Why a run failed; `cell` is None when the kernel never got to a cell.

    `cell` is its index in the notebook, from 0, text cells included; in words it is counted from 1.

    `source` is the head of that cell, `stderr` what the kernel's process wrote itself and then what the cell wrote to
    its standard error: the first lines and the last, if they are many.
    """

    ename: str
    evalue: str
    cell: int | None = None
    source: str = ""
    traceback: str = ""
    stderr: str = ""

    def __str__(self) -> str:
        place = "" if self.cell is None else f"cell {self.cell + 1}: "
        return f"{place}{self.ename}: {self.evalue}" if self.evalue else f"{place}{self.ename}"


@dataclass(frozen=True)
class Run:
    """One notebook executed once on one kernel with one set of parameters.

    `path` is the executed notebook; `seconds` counts from starting the kernel to the end of the last cell that
    ran; `started` is UTC in ISO 8601; `parameters` holds every parameter, the defaults included.
    """

    notebook: Path
    kernel: str
    parameters: Mapping[str, Any]
    path: Path
    status: Status
    seconds: float
    started: str
    error: Failure | None = None

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
    """What makes two runs the same: notebook, parameters and kernelspec, the first and last by their SHA-256."""

    notebook_sha256: str
    parameters: Mapping[str, Any]
    kernel_fingerprint: str


def describe(run: Run, *, identity: Identity, kernel: Json, surroundings: Json) -> Json:
    """Return the provenance that goes into the executed notebook's metadata."""
    return {
        "schema": SCHEMA,
        "notebook": {"path": str(run.notebook), "sha256": identity.notebook_sha256},
        "kernel": {**kernel, "name": run.kernel, "fingerprint": identity.kernel_fingerprint},
        "parameters": dict(run.parameters),
        "started": run.started,
        "seconds": run.seconds,
        "status": run.status,
        "error": asdict(run.error) if run.error else None,
        **surroundings,
    }


def read_record(path: Path) -> Json | None:
    """Return the provenance of an executed notebook, or None if the file is not one (or not there)."""
    try:
        metadata = read_notebook(path).content.get("metadata", {})
    except MambakernelsError:
        return None
    record = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    return record if isinstance(record, dict) and record.get("schema") == SCHEMA else None


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read a run back from its executed notebook; `RunError` if the file is none."""
    file = Path(path).absolute()
    record = read_record(file)
    try:
        return _revive(record or {}, file)
    except (KeyError, TypeError) as error:
        raise RunError("This notebook does not say how it was run by mambakernels.", where=str(file)) from error


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


def is_current(path: str | os.PathLike[str], identity: Identity) -> bool:
    """Tell whether the executed notebook at `path` is the record of this very run, and the run went well."""
    record = read_record(Path(path))
    return record is not None and record.get("status") == "ok" and _identity_of(record) == identity


def record_path(folder: Path, *, notebook: Path, kernel: str, parameters: Mapping[str, Any]) -> Path:
    """Return where a run's executed notebook goes: `<notebook>.<kernel>.ipynb`.

    If a file of that name is not the record of the same notebook file, kernel and parameters, a short hash of
    these is added, so that no other run's record and no file of the user's is ever replaced.
    """
    plain = folder / f"{notebook.stem}.{kernel}.ipynb"
    record = read_record(plain)
    if not plain.exists() or (record and _subject_of(record) == (str(notebook), kernel, dict(parameters))):
        return plain
    subject = json.dumps([str(notebook), dict(parameters)], sort_keys=True)
    return folder / f"{notebook.stem}.{kernel}.{hashlib.sha256(subject.encode()).hexdigest()[:8]}.ipynb"


def _revive(record: Json, file: Path) -> Run:
    error = record["error"]
    return Run(
        notebook=Path(record["notebook"]["path"]),
        kernel=record["kernel"]["name"],
        parameters=record["parameters"],
        path=file,
        status=record["status"],
        seconds=record["seconds"],
        started=record["started"],
        error=Failure(**error) if error else None,
    )


def _identity_of(record: Json) -> Identity | None:
    try:
        return Identity(record["notebook"]["sha256"], record["parameters"], record["kernel"]["fingerprint"])
    except (KeyError, TypeError):
        return None


def _subject_of(record: Json) -> tuple[Any, Any, Any] | None:
    try:
        return record["notebook"]["path"], record["kernel"]["name"], record["parameters"]
    except (KeyError, TypeError):
        return None
