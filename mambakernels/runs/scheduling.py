"""When each run of a matrix begins: how many at once, which ones again, and when to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from mambakernels.paths import Root
from mambakernels.progress import Event, Progress
from mambakernels.runs.execution import LOST, NOT_PROVIDED, Report, code_cells, execute
from mambakernels.runs.kernelspecs import Kernel
from mambakernels.runs.outputs import Place, RemotePath, Shelf, is_there, read_all, shelf
from mambakernels.runs.records import Run, decode_record, read_run
from mambakernels.runs.tasks import Task
from mambakernels.runs.warm import Warm, WarmPool
from mambakernels.system.locks import Claims, claiming
from mambakernels.system.quantities import duration_in_words

if TYPE_CHECKING:
    from mambakernels.runs.workers import Workers

DEATHS = frozenset({"KernelDied", "KernelNotReady", "KernelNotStarted", "OutputLost", NOT_PROVIDED, LOST})
"""The names of failures that say nothing of the notebook: those that a retry may get past."""

_BUSY_SECONDS = 0.2
_AT_ONCE = 256  # records that are read together at an address
_ROOM_SECONDS = 2.0  # between two looks at how many workers there are
_AHEAD = 1  # kernels that start while the cells of others run


@dataclass(frozen=True)
class Schedule:
    """How the runs of a matrix are executed.

    `jobs` run at once. A run whose kernel dies or does not start is repeated up to `retries` times; with `retry_cells`
    one whose cell fails, too. `fail_fast` starts none after the first failure; `timeout` is the seconds after which
    all stop. With `force` those that are done run again; `failed` runs only those that have failed before.

    The next kernel starts while cells run (unless with `fail_fast`). With `fork`, kernels that are used several times
    are forked (`runs.warm`). With `measure` there is neither: nothing else of ours runs while cells do.
    """

    jobs: int = 1
    retries: int = 0
    retry_cells: bool = False
    fail_fast: bool = False
    timeout: float | None = None
    force: bool = False
    failed: bool = False
    fork: bool = True
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
        self._left = Counter(task.kernel.name for task in tasks)
        self._pool = WarmPool()
        self._ahead = 0 if schedule.measure or schedule.fail_fast else _AHEAD
        self._turns = _Turns(schedule.jobs)
        self._meter = _Meter(report, tasks)
        self._there: Shelf = is_there

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
            await self._pool.close_all()
        return [self._runs[number] for number in sorted(self._runs)]

    async def _keep_busy(self, lanes: set[asyncio.Task[None]]) -> None:
        """Have as many lanes as there is room for, as long as tasks wait; workers may come and go."""
        await self._take_up_listed()
        while self._waiting or lanes:
            room = await self._workers.room() if self._workers else self._schedule.jobs + self._ahead
            wanted = min(room - len(lanes), len(self._waiting))
            lanes |= {asyncio.create_task(self._work()) for _ in range(wanted)}
            timeout = None if self._workers is None else _ROOM_SECONDS
            ended, _ = await asyncio.wait(lanes, timeout=timeout, return_when=asyncio.FIRST_EXCEPTION)
            lanes -= ended
            for lane in ended:
                lane.result()

    async def _take_up_listed(self) -> None:
        """Take up the runs that are done at an address: one list says what is there, and many are read at once."""
        output = self._waiting[0][1].output
        if not isinstance(output, RemotePath):
            return
        self._there = await asyncio.to_thread(shelf, output)
        if self._schedule.force:
            return
        first = [(number, task, output / task.names[0]) for number, task in self._waiting]
        listed = [item for item in first if self._there(item[2])]
        for start in range(0, len(listed), _AT_ONCE):
            some = listed[start : start + _AT_ONCE]
            for (number, task, path), raw in zip(
                some, await asyncio.to_thread(read_all, [one[2] for one in some]), strict=True
            ):
                record = decode_record(raw) if isinstance(raw, bytes) else None
                if record is not None and task.is_record(record) and (run := task.current(path, record)):
                    self._end(number, run, "already done")
                    await self._leave(task.kernel)
        self._waiting = deque((number, task) for number, task in self._waiting if number not in self._runs)

    async def _work(self) -> None:
        while self._waiting:
            number, task = self._waiting.popleft()
            await asyncio.sleep(0)  # so that an interruption gets through while tasks are found to be done
            if not self._schedule.force and (run := task.done(self._there)):
                self._end(number, run, "already done")
                await self._leave(task.kernel)
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
            await self._leave(task.kernel)

    def _claimed(self, task: Task) -> Place | None:
        """Claim the path of a task's record and return it; None if another process has it."""
        while True:
            path, _ = task.place(self._there)
            if not self._claims.take(_claim(task, path)):
                return None
            if task.place(self._there)[0] == path:
                return path
            self._claims.release(_claim(task, path))  # another run's record has appeared there

    async def _settle(self, number: int, task: Task, path: Place) -> None:
        """Take up the run of a task that another runner has done meanwhile, or execute it."""
        run = None if self._schedule.force else task.done(self._there)
        if run is not None:
            self._end(number, run, "already done")
        elif self._is_left_out(task):
            self._meter.finished(number, "left out")
        else:
            try:
                run = await self._execute(number, task, path)
            except asyncio.CancelledError:
                if self._turns.had(number):  # a run that a worker had leaves no record, nor one that has not begun
                    ended = read_run(path)
                    self._end(number, ended, ended.status)
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
        _, record = task.place(self._there)
        return self._schedule.failed and (record is None or record.status != "failed")

    async def _execute(self, number: int, task: Task, path: Place) -> Run:
        attempt = 1
        while True:
            run = await self._attempt(number, task, path, attempt)
            again = run.error is not None and (self._schedule.retry_cells or run.error.ename in DEATHS)
            if not again or attempt > self._schedule.retries:
                return run
            attempt += 1

    async def _attempt(self, number: int, task: Task, path: Place, attempt: int) -> Run:
        report = self._meter.of(number)
        if self._workers:
            return await self._workers.execute(task, path, attempt=attempt, report=report)
        with self._turns.queued(number):
            return await execute(
                task,
                path,
                attempt=attempt,
                report=report,
                warm=self._warm(task, attempt),
                turn=lambda: self._turns.turn(number),
            )

    async def _leave(self, kernel: Kernel) -> None:
        """Take note that one run of a kernel has ended."""
        self._left[kernel.name] -= 1
        if not self._left[kernel.name]:
            await self._pool.close(kernel)

    def _warm(self, task: Task, attempt: int) -> Warm | None:
        """Return what forks the kernel of a task: nothing if that has just failed, or does not pay for one kernel."""
        if not self._schedule.fork or self._schedule.measure or attempt > 1:
            return None
        return self._pool.of(task.kernel, several=self._left[task.kernel.name] > 1)


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


class _Turns:
    """Lets the cells of `jobs` runs run at once, in the order in which their kernels were started."""

    def __init__(self, jobs: int) -> None:
        self._free = jobs
        self._queue: dict[int, asyncio.Future[None] | None] = {}
        self._had: set[int] = set()

    @contextlib.contextmanager
    def queued(self, number: int) -> Iterator[None]:
        """Keep a place in the queue for a run whose kernel starts now."""
        self._queue[number] = None
        try:
            yield
        finally:  # it never had its turn if its kernel did not start
            self._queue.pop(number, None)
            self._next()

    @contextlib.asynccontextmanager
    async def turn(self, number: int) -> AsyncIterator[None]:
        """Wait for the turn of a run whose kernel is ready."""
        self._queue[number] = turn = asyncio.get_running_loop().create_future()
        self._next()
        await turn
        self._had.add(number)
        try:
            yield
        finally:
            self._free += 1
            self._next()

    def had(self, number: int) -> bool:
        """Whether a run has had its turn."""
        return number in self._had

    def _next(self) -> None:
        while self._free and self._queue:
            number, turn = next(iter(self._queue.items()))
            if turn is None:  # its kernel is not ready yet
                return
            del self._queue[number]
            if not turn.done():
                self._free -= 1
                turn.set_result(None)


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
        report(Event("plan", f"{len(tasks)} run{'s' * (len(tasks) != 1)}", total=len(tasks)))

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
