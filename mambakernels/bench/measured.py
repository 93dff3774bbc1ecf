"""The measurements of `bench`: a frame with a row per visit, the facts of each kernel, and both as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from mambakernels.bench.cases import Settings
from mambakernels.bench.published import MEASURED, RAN, row_of
from mambakernels.kernels.blas import label
from mambakernels.numeric.measurement import Measurement
from mambakernels.paths import PathLike
from mambakernels.runs.frame_files import TEXT, FrameFiles, Json

COLUMNS: Mapping[str, str] = {
    "kernel": TEXT,
    "asked": "Int64",
    "round": "int64",
    "position": "int64",
    "elapsed": "float64",
    "others": "float64",
    **RAN,
    **MEASURED,
}
COMPARISONS = FrameFiles(
    types=COLUMNS,
    suffixes=(".parquet", ".json"),
    things="Comparisons",
    missing="There is no such comparison.",
    next_step="Write one with: mambakernels bench … --save FILE",
    foreign="This file does not hold a comparison that `bench` saved",
    kind="mambakernels-bench",
)


@dataclass(frozen=True)
class MeasuredKernel:
    """One kernel as it ran.

    `asked` is the number of threads it was given (None: as registered), `facts` its report, `failure` why it failed, if
    it did. `blas` and `prefix` are those of the environment it was registered for; None for a kernel
    that mambakernels did not register.
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
        """Its probe, as JSON; empty if it never answered."""
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


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """All that is known of a comparison besides its measurements.

    `canary` are the seconds of a fixed piece of Python before each round and after the last.
    """

    kernels: tuple[MeasuredKernel, ...]
    settings: Settings
    canary: tuple[float, ...]
    started: str
    host: str
    seconds: float
    rounds: int
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def about(self) -> Json:
        """Return the circumstances as JSON values."""
        about: Json = msgspec.to_builtins({field.name: getattr(self, field.name) for field in fields(Circumstances)})
        return about


@dataclass(frozen=True, kw_only=True)
class Measured(Circumstances):
    """A comparison's measurements.

    `frame` has a row per kernel, case and round: `kernel`, `asked` (threads; missing: as it is registered), `round`,
    `position` in it, `elapsed` (seconds since the start), `others` (share of a core that the busiest of the other
    kernels used meanwhile; missing: cannot be seen), and then, as in the frame of `measurements`, what ran and what was
    measured.
    """

    frame: pd.DataFrame

    def save(self, path: PathLike) -> Path:
        """Write it to a `.parquet` or `.json` file, whole or not at all; raw samples included."""
        return COMPARISONS.save(self.frame, path, self.about())

    @classmethod
    def load(cls, path: PathLike) -> Measured:
        """Read what `save` wrote; NotFoundError, or RunError if the file holds something else."""
        frame, about = COMPARISONS.load(path)
        try:
            return cls(frame=frame, **vars(msgspec.convert(about, Circumstances)))
        except msgspec.ValidationError as error:
            raise COMPARISONS.not_readable(path, error) from error


def visit_row(kernel: MeasuredKernel, measurement: Measurement, circumstances: Mapping[str, Any]) -> Json:
    """Return what a visit measured as a row; `circumstances` are round, position, elapsed and others."""
    measured = row_of(measurement, dict(kernel.probe), kernel.facts.get("code"))
    return {"kernel": kernel.kernel, "asked": kernel.asked, **circumstances, **measured}
