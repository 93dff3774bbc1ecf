"""When each run of a matrix begins: how many at once, which ones again, and when to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from mambakernels.paths import Root
from mambakernels.progress import Event, Progress
from mambakernels.runs.execution import LOST, NOT_PROVIDED, Report, code_cells, execute
from mambakernels.runs.outputs import Place
from mambakernels.runs.records import Run, read_run
from mambakernels.runs.tasks import Task
from mambakernels.system.locks import Claims, claiming
from mambakernels.system.quantities import duration_in_words

if TYPE_CHECKING:
    from mambakernels.runs.workers import Workers

DEATHS = frozenset({"KernelDied", "KernelNotReady", "KernelNotStarted", "OutputLost", NOT_PROVIDED, LOST})
"""The names of failures that say nothing of the notebook: those that a retry may get past."""

_BUSY_SECONDS = 0.2
_ROOM_SECONDS = 2.0  # between two looks at how many workers there are


@dataclass(frozen=True)
class Schedule:
    """How the runs of a matrix are executed.

    `jobs` run at once. A run whose kernel dies or does not start is repeated up to `retries` times; with `retry_cells`
    one whose cell fails, too. `fail_fast` starts none after the first failure; `timeout` is the seconds after which
    all stop. With `force` those that are done run again; `failed` runs only those that have failed before.
    """

    jobs: int = 1
    retries: int = 0
    retry_cells: bool = False
    fail_fast: bool = False
    timeout: float | None = None
    force: bool = False
    failed: bool = False
    measure: bool = False


async def execute_all(
    tasks: Sequence[Task],
    schedule: Schedule,
    *,
    workers: Workers | None = None,
    on_run: Callable[[Run], None] | None,
    report: Progress,
) -> list[Run]:
    """Execute tasks, here or on workers, and return their runs in order, without those that never began."""
    if not tasks:
        return []
    with _claiming(tasks[0].output) as claims:
        return await _Queue(tasks, schedule, workers, claims, on_run=on_run, report=report).empty()


class _Queue:
    """The tasks that wait for their turn."""

    def __init__(
        self,
        tasks: Sequence[Task],
        schedule: Schedule,
        workers: Workers | None,
        claims: Claims,
        *,
        on_run: Callable[[Run], None] | None,
        report: Progress,
    ) -> None:
        self._schedule = schedule
        self._workers = workers
        self._claims = claims
        self._on_run = on_run
        self._runs: dict[int, Run] = {}
        self._waiting = deque(enumerate(tasks))
        self._meter = _Meter(report, tasks)

    async def empty(self) -> list[Run]:
        """Execute the tasks until none is left, one has failed that must not, or the time is over."""
        lanes: set[asyncio.Task[None]] = set()
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._keep_busy(lanes), self._schedule.timeout)
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
        return [self._runs[number] for number in sorted(self._runs)]

    async def _keep_busy(self, lanes: set[asyncio.Task[None]]) -> None:
        """Have as many lanes as there is room for, as long as tasks wait; workers may come and go."""
        while self._waiting or lanes:
            room = await self._workers.room() if self._workers else self._schedule.jobs
            wanted = min(room - len(lanes), len(self._waiting))
            lanes |= {asyncio.create_task(self._work()) for _ in range(wanted)}
            timeout = None if self._workers is None else _ROOM_SECONDS
            ended, _ = await asyncio.wait(lanes, timeout=timeout, return_when=asyncio.FIRST_EXCEPTION)
            lanes -= ended
            for lane in ended:
                lane.result()

    async def _work(self) -> None:
        while self._waiting:
            number, task = self._waiting.popleft()
            await asyncio.sleep(0)  # so that an interruption gets through while tasks are found to be done
            if not self._schedule.force and (run := task.done()):
                self._end(number, run, "already done")
                continue
            path = self._claimed(task)
            if path is None:
                self._waiting.append((number, task))
                await asyncio.sleep(_BUSY_SECONDS)
                continue
            try:
                await self._settle(number, task, path)
            finally:
                self._claims.release(_claim(task, path))

    def _claimed(self, task: Task) -> Place | None:
        """Claim the path of a task's record and return it; None if another process has it."""
        while True:
            path, _ = task.place()
            if not self._claims.take(_claim(task, path)):
                return None
            if task.place()[0] == path:
                return path
            self._claims.release(_claim(task, path))  # another run's record has appeared there

    async def _settle(self, number: int, task: Task, path: Place) -> None:
        """Take up the run of a task that another runner has done meanwhile, or execute it."""
        run = None if self._schedule.force else task.done()
        if run is not None:
            self._end(number, run, "already done")
        elif self._is_left_out(task):
            self._meter.finished(number, "left out")
        else:
            try:
                run = await self._execute(number, task, path)
            except asyncio.CancelledError:
                if self._workers is None:  # a run that a worker had leaves no record
                    self._end(number, read_run(path), "interrupted")
                raise
            self._end(number, run, run.status)
            if run.error is not None and self._schedule.fail_fast:
                self._waiting.clear()

    def _end(self, number: int, run: Run, how: str) -> None:
        self._meter.finished(number, how, run if how == run.status else None)
        self._runs[number] = run
        if self._on_run is not None:
            self._on_run(run)

    def _is_left_out(self, task: Task) -> bool:
        _, record = task.place()
        return self._schedule.failed and (record is None or record.status != "failed")

    async def _execute(self, number: int, task: Task, path: Place) -> Run:
        attempt = 1
        while True:
            perform = self._workers.execute if self._workers else execute
            run = await perform(task, path, attempt=attempt, report=self._meter.of(number))
            again = run.error is not None and (self._schedule.retry_cells or run.error.ename in DEATHS)
            if not again or attempt > self._schedule.retries:
                return run
            attempt += 1


def _claiming(output: Place) -> AbstractContextManager[Claims]:
    """Return the claims to records in a folder; those at an address count between the runners of this machine."""
    root = Root.find(None)
    folder = (
        output if isinstance(output, Path) else root.locks / f"runs-{sha256(str(output).encode()).hexdigest()[:16]}"
    )
    return claiming(folder, root)


def _claim(task: Task, path: Place) -> str:
    """Return the name of the claim to a record."""
    return str(path).removeprefix(str(task.output)).strip("/\\").replace("\\", "/").replace("/", "%2F")


class _Meter:
    """Reports the progress of all runs together; amounts are code cells."""

    def __init__(self, report: Progress, tasks: Sequence[Task]) -> None:
        self._report = report
        self._tasks = tasks
        counts: dict[tuple[int, bool], int] = {}  # a task's own copy of its notebook is made when it begins
        for task in tasks:
            key = _kind(task)
            counts[key] = counts.get(key) or len(code_cells(task.content()))
        self._cells = [counts[_kind(task)] for task in tasks]
        self._ended = [0] * len(tasks)
        self._done, self._total = 0, sum(self._cells)
        report(Event("plan", f"{len(tasks)} runs", total=len(tasks)))

    def of(self, number: int) -> Report:
        """Return a function that reports what one run does, and how many of its cells have ended."""
        return lambda what, cells: self._say(number, what, cells)

    def finished(self, number: int, how: str, run: Run | None = None) -> None:
        """Report that a run has ended, and how; `run` is the one that was executed, if one was."""
        took = f" in {duration_in_words(run.seconds)}" if run else ""
        why = f": {str(run.error).splitlines()[0]}" if run and run.error else ""
        self._say(number, f"{how}{took}{why}", self._cells[number], outcome=how)

    def _say(self, number: int, what: str, cells: int, outcome: str = "") -> None:
        self._done += cells - self._ended[number]
        self._ended[number] = cells
        label = self._tasks[number].label
        self._report(Event("run", f"{label}: {what}", done=self._done, total=self._total, item=label, outcome=outcome))


def _kind(task: Task) -> tuple[int, bool]:
    return id(task.notebook), bool(task.given)
