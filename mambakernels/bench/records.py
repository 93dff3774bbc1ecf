"""What a comparison leaves: a tidy frame with a row per visit, what ran in each kernel, and how the machine was."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from mambakernels.bench.cases import Case, Settings, settings_from
from mambakernels.numeric.rules import counted

Json = dict[str, Any]

_TEXT: Final = "string"
_FACTS: Mapping[str, str] = {
    "kernel": _TEXT, "asked": "Int64", "threads": "Int64",
    "blas": _TEXT, "blas_version": _TEXT, "architecture": _TEXT, "library": _TEXT, "lapack": _TEXT,
    "numpy": _TEXT, "python": _TEXT, "cpu": _TEXT, "cores": "Int64", "system": _TEXT, "code": _TEXT,
}  # fmt: skip
_FIGURES: Mapping[str, str] = {
    "operation": _TEXT, "routine": _TEXT, "dtype": _TEXT, "size": "int64", "shape": _TEXT, "control": "bool",
    "flops": "float64", "flops_nominal": "bool", "bytes": "float64",
    "round": "int64", "position": "int64", "elapsed": "float64", "others": "float64",
    "loops": "int64", "seconds": "float64", "seconds_min": "float64", "gflops": "float64",
    "residual": "float64", "residual_bound": "float64", "error": "float64", "correct": "bool", "fingerprint": _TEXT,
    "samples": "object",
}  # fmt: skip
DTYPES: Mapping[str, str] = {**_FACTS, **_FIGURES}


def label(kernel: str, threads: int | None) -> str:
    """Name a kernel, and its threads if a number was asked for."""
    if threads is None:
        return kernel
    return f"{kernel} ({counted(threads)})" if threads else f"{kernel} (threads as the library chooses)"


@dataclass(frozen=True)
class Worker:
    """One kernel as it ran: `asked` threads (None: as registered), what it told, and why it failed, if it did.

    `blas` and `prefix` are those of the environment it was registered for; None for a kernel of others.
    """

    kernel: str
    asked: int | None
    facts: Mapping[str, Any]
    blas: str | None = None
    prefix: str | None = None
    failure: str | None = None

    @property
    def name(self) -> str:
        """The kernel's name, and its threads if a number was asked for."""
        return label(self.kernel, self.asked)

    @property
    def probe(self) -> Mapping[str, Any]:
        """What ran in it, and on what; empty if it never told."""
        found: Mapping[str, Any] = self.facts.get("probe", {})
        return found

    @property
    def machine(self) -> Mapping[str, Any]:
        """The machine as it saw it."""
        found: Mapping[str, Any] = self.probe.get("machine", {})
        return found

    @property
    def library(self) -> Mapping[str, Any]:
        """The BLAS that ran."""
        found: Mapping[str, Any] = self.probe.get("blas", {})
        return found


@dataclass(frozen=True)
class Measured:
    """A comparison's measurements.

    `frame` has a row per kernel, case and round: `kernel`, `asked` (threads; missing: as it is registered), `threads`
    (as the library says), `blas`, `blas_version`, `architecture` (code path), `library`, `lapack`, `numpy`, `python`,
    `cpu`, `cores`, `system`, `code`; `operation`, `routine`, `dtype`, `size`, `shape` (JSON), `control`, `flops`,
    `flops_nominal`, `bytes` (per call); `round`, `position` in it, `elapsed` (seconds since the start), `others` (share
    of a core that the busiest of the other kernels used meanwhile; missing: cannot be seen), `loops`, `seconds` and
    `seconds_min` (per call; median and least of `samples`), `gflops`, `residual`, `residual_bound`, `error` (of a few
    entries against exact arithmetic, in units of the dtype's eps; missing: not defined), `correct`, `fingerprint` (hash
    of the result's bits), `samples`. `canary` are the seconds of a fixed piece of Python before
    each round and after the last.
    """

    frame: pd.DataFrame
    workers: tuple[Worker, ...]
    settings: Settings
    canary: tuple[float, ...]
    started: str
    host: str
    seconds: float
    rounds: int
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def about(self) -> Json:
        """Return all but the frame, as JSON knows it."""
        return {
            "workers": [vars(worker) | {"facts": dict(worker.facts)} for worker in self.workers],
            "settings": self.settings.as_dict(),
            "canary": list(self.canary),
            "started": self.started,
            "host": self.host,
            "seconds": self.seconds,
            "rounds": self.rounds,
            "notes": list(self.notes),
            "interrupted": self.interrupted,
        }


def measured_from(frame: pd.DataFrame, about: Mapping[str, Any]) -> Measured:
    """Put together again what `about` and the frame hold."""
    return Measured(
        frame=typed(frame),
        workers=tuple(Worker(**worker) for worker in about["workers"]),
        settings=settings_from(about["settings"]),
        canary=tuple(about["canary"]),
        started=about["started"],
        host=about["host"],
        seconds=about["seconds"],
        rounds=about["rounds"],
        notes=tuple(about["notes"]),
        interrupted=about["interrupted"],
    )


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with exactly its columns, each with its type."""
    return frame.reindex(columns=list(DTYPES)).astype(dict(DTYPES))


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as the frame."""
    return typed(pd.DataFrame.from_records(list(rows), columns=list(DTYPES)))


def row(worker: Worker, case: Case, answer: Mapping[str, Any], circumstances: Mapping[str, Any]) -> Json:
    """Put what a visit gave into a row; `circumstances` are round, position, elapsed and others."""
    seconds, flops = statistics.median(answer["samples"]), answer["flops"]
    return {
        **_facts(worker),
        **{name: answer[name] for name in _FIGURES if name in answer},
        **circumstances,
        "threads": answer["threads"],
        "control": case.control,
        "shape": json.dumps(answer["shape"], sort_keys=True),
        "seconds": seconds,
        "seconds_min": min(answer["samples"]),
        "gflops": flops / seconds / 1e9 if flops and seconds > 0 else math.nan,
        "correct": answer["residual"] <= answer["residual_bound"],
    }


def _facts(worker: Worker) -> Json:
    blas, machine = worker.library, worker.machine
    return {
        "kernel": worker.kernel,
        "asked": worker.asked,
        "blas": blas.get("name"),
        "blas_version": blas.get("version"),
        "architecture": blas.get("architecture"),
        "library": blas.get("library"),
        "lapack": worker.probe.get("lapack", {}).get("name"),
        "numpy": worker.probe.get("numpy"),
        "python": worker.probe.get("python"),
        "cpu": machine.get("cpu"),
        "cores": machine.get("cores"),
        "system": machine.get("system"),
        "code": worker.facts.get("code"),
    }
