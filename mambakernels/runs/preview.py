"""What a call of `run` would do, and about how long it would take, before it does it."""

from __future__ import annotations

import contextlib
import heapq
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mambakernels.errors import NotFoundError
from mambakernels.paths import PathLike, absolute, path_list, storage_errors
from mambakernels.runs import outputs
from mambakernels.runs.matrix import Matrix, expand
from mambakernels.runs.outcome_cache import read_outcomes
from mambakernels.runs.outputs import Place
from mambakernels.runs.records import Record
from mambakernels.runs.tasks import Limits, Task
from mambakernels.runs.typed import TypedValues
from mambakernels.runs.values import decode_value

State = Literal["new", "done", "changed", "failed", "interrupted", "running"]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan: what it executes, and where its record is or will be.

    `state` says what the folder holds of it: nothing, a record that is current (`done`) or no longer (`changed`), or
    one that failed, was interrupted, or is running. `runs` says whether it would be executed, and `estimate` how many
    seconds that would take: the median of the earlier runs of the notebook on the kernel; None if there is none.
    """

    notebook: Path
    kernel: str
    parameters: Mapping[str, Any]
    repeat: int
    path: Place
    state: State
    runs: bool
    estimate: float | None

    @property
    def label(self) -> str:
        """The name of the run for people."""
        return self.path.name.removesuffix(".ipynb")


@dataclass(frozen=True)
class Plan:
    """All runs of a call, in their order; `jobs` would execute at once."""

    runs: tuple[PlannedRun, ...]
    jobs: int = 1

    @property
    def to_run(self) -> tuple[PlannedRun, ...]:
        """The runs that would be executed."""
        return tuple(one for one in self.runs if one.runs)

    @property
    def unknown(self) -> int:
        """How many of them have no estimate."""
        return sum(one.estimate is None for one in self.to_run)

    @property
    def seconds(self) -> float | None:
        """About how long those with an estimate take together; None if none has one."""
        known = [one.estimate for one in self.to_run if one.estimate is not None]
        ends = [0.0] * self.jobs
        for estimate in known:
            heapq.heapreplace(ends, ends[0] + estimate)  # begins when the first of the others ends
        return max(ends) if known else None


@storage_errors
def plan(
    notebooks: PathLike | Sequence[PathLike],
    *,
    kernels: str | Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    grid: Mapping[str, TypedValues | Sequence[Any]] | None = None,
    zipped: Sequence[Sequence[str]] = (),
    exclude: Sequence[Mapping[str, Any]] = (),
    repeat: int = 1,
    output: PathLike = outputs.OUTPUT,
    folder: PathLike | None = None,
    jobs: int = 1,
    force: bool = False,
    failed: bool = False,
) -> Plan:
    """Return what `run` would do with the same arguments; nothing is executed or written.

    Raises what `run` does before it executes anything.
    """
    target = outputs.place(output)
    tasks = expand(
        Matrix(
            notebooks=path_list(notebooks),
            kernels=[kernels] if isinstance(kernels, str) else kernels,
            parameters=parameters or {},
            grid=grid or {},
            zipped=zipped,
            exclude=exclude,
            repeat=repeat,
        ),
        output=target,
        folder=absolute(folder) if folder else None,
        limits=Limits(),
    )
    earlier = _earlier_seconds(target)
    return Plan(tuple(_planned(task, earlier, force=force, failed=failed) for task in tasks), jobs)


def _planned(
    task: Task, earlier: Mapping[tuple[Place, str, str | None], float], *, force: bool, failed: bool
) -> PlannedRun:
    path, record = task.place()
    state = _state(task, path, record)
    return PlannedRun(
        notebook=task.notebook.path,
        kernel=task.kernel.name,
        parameters=decode_value(task.identity.parameters),
        repeat=task.identity.repeat,
        path=path,
        state=state,
        runs=(force or state != "done") and (not failed or state == "failed"),
        estimate=earlier.get((path.parent, task.notebook.path.name, task.kernel.name)),
    )


def _state(task: Task, path: Place, record: Record | None) -> State:
    if record is None:
        return "new"
    if record.status == "ok":
        return "done" if task.current(path, record) else "changed"
    return record.status


def _earlier_seconds(output: Place) -> dict[tuple[Place, str, str | None], float]:
    """Return the median of the runs that went well, by their folder, the notebook's name and the kernel."""
    found: dict[tuple[Place, str, str | None], list[float]] = {}
    with contextlib.suppress(NotFoundError):  # no run yet
        for path, outcome in read_outcomes([str(output)]):
            if outcome.status == "ok" and outcome.seconds is not None:
                key = (outputs.place(path).parent, outcome.notebook, outcome.kernel)
                found.setdefault(key, []).append(outcome.seconds)
    return {key: statistics.median(seconds) for key, seconds in found.items()}
