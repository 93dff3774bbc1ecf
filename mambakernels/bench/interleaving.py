"""Measuring kernels interleaved, in rounds: every case once on every kernel, in a shuffled order, one at a time."""

from __future__ import annotations

import asyncio
import datetime as dt
import platform
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mambakernels.bench import idle, planning
from mambakernels.bench.cases import Case, Settings
from mambakernels.bench.live_kernel import LiveKernel
from mambakernels.bench.measured import COLUMNS, Measured, MeasuredKernel, visit_row
from mambakernels.bench.planning import Key, Schedule, VisitCost
from mambakernels.bench.published import frame_of
from mambakernels.errors import InvalidRequestError, KernelError
from mambakernels.numeric.measurement import Measurement
from mambakernels.progress import Event, Progress, silent
from mambakernels.runs.kernelspecs import Kernel, find_kernels
from mambakernels.system.background import in_a_thread
from mambakernels.system.scratch import scratch_folder

_STARTUP_SECONDS = 60.0
_STOPPING_SECONDS = 1.0  # of the budget
_GRACE_SECONDS = 0.5  # by which a visit may exceed the budget before its kernel is ended
_PATIENCE_SECONDS = 1.0  # for other kernels' threads to stop spinning
_CANARY_REPEATS = 6


Accept = Callable[[Sequence[MeasuredKernel]], object]


def measure_interleaved(
    settings: Settings, *, accept: Accept = lambda _: None, progress: Progress = silent
) -> Measured:
    """Measure the cases on the kernels in rounds, within the budget; all kernels have ended when it returns.

    `accept` is called with the facts of all kernels before anything is measured, and may raise. Interrupted (Ctrl-C),
    it returns the rows measured so far, if any, marked `interrupted`. Raises NotFoundError, KernelError if no kernel
    starts, InvalidRequestError if not even one round fits.
    """
    kernels = find_kernels(settings.kernels)
    settings = replace(settings, kernels=tuple(kernel.name for kernel in kernels))
    record = _Record(settings)
    try:
        in_a_thread(lambda report: _Bench(settings, record, report).run(kernels, accept), progress)
    except (KeyboardInterrupt, SystemExit):  # our command line turns Ctrl-C into the latter
        if not record.rows:
            raise
        record.interrupted = True
    return record.result()


@dataclass
class _Record:
    """The measurements so far, which remain if the measuring is interrupted."""

    settings: Settings
    rows: list[dict[str, Any]] = field(default_factory=list)
    kernels: dict[Key, MeasuredKernel] = field(default_factory=dict)
    canary: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    started: str = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"))
    begin: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.begin

    def note(self, live: LiveKernel) -> MeasuredKernel:
        """Note the facts of a kernel, and its failure if it has failed."""
        ours = live.kernel.ours or {}
        self.kernels[live.key] = MeasuredKernel(
            kernel=live.kernel.name,
            asked=live.threads,
            facts=live.facts,
            blas=ours.get("blas"),
            prefix=ours.get("prefix"),
            failure=None if live.failure is None else str(live.failure),
        )
        return self.kernels[live.key]

    def result(self) -> Measured:
        return Measured(
            frame=frame_of(sorted(self.rows, key=self._sort_key), COLUMNS),
            kernels=tuple(self.kernels.values()),
            settings=self.settings,
            canary=tuple(self.canary),
            started=self.started,
            host=platform.node(),
            seconds=round(self.elapsed, 3),
            rounds=len({row["round"] for row in self.rows}),
            notes=tuple(dict.fromkeys(self.notes)),
            interrupted=self.interrupted,
        )

    def _sort_key(self, row: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the place of a row in the order of the settings; rounds were shuffled."""
        cases = [(case.operation, case.dtype, case.size) for case in self.settings.cases]
        case = cases.index((row["operation"], row["dtype"], row["size"]))
        return case, row["asked"] or 0, self.settings.kernels.index(row["kernel"]), row["round"]


@dataclass(frozen=True)
class _VisitResult:
    """The results of a visit: the measurement, how busy the other kernels were meanwhile, and its total seconds."""

    measurement: Measurement
    others: float
    seconds: float


class _Bench:
    """One comparison while it runs."""

    def __init__(self, settings: Settings, record: _Record, report: Progress) -> None:
        self._settings = settings
        self._record = record
        self._report = report
        self._random = random.Random(settings.seed)  # noqa: S311 (an order, no secret)
        self._kernels: list[LiveKernel] = []
        self._loops: dict[tuple[Key, Case], int] = {}
        self._costs: dict[tuple[Key, Case], VisitCost] = {}
        self._ready_at = 0.0  # when the kernels were ready, in seconds from the start

    @property
    def _left(self) -> float:
        """Seconds until the kernels have to be stopped."""
        return self._settings.budget - _STOPPING_SECONDS - self._record.elapsed

    @property
    def _alive(self) -> list[LiveKernel]:
        return [live for live in self._kernels if live.failure is None]

    async def run(self, kernels: Sequence[Kernel], accept: Accept) -> None:
        threads: Sequence[int | None] = self._settings.threads or (None,)
        self._kernels = [LiveKernel(kernel, count) for count in threads for kernel in kernels]
        with scratch_folder() as folder:
            async with self._started(folder):
                accept(tuple(self._record.kernels.values()))
                await self._warm_up()
                await self._measure(self._plan())

    @asynccontextmanager
    async def _started(self, folder: Path) -> AsyncIterator[None]:
        try:
            for live in self._kernels:
                self._report(Event("starting", live.name))
                await live.start(folder)
            await asyncio.gather(*(live.boot(_STARTUP_SECONDS) for live in self._kernels))
            for live in self._kernels:  # one after another: each looks at how many of its threads work
                await live.describe(_STARTUP_SECONDS)
                self._record.note(live)
            self._check_alive()
            yield
        finally:
            for live in self._kernels:
                self._record.note(live)
            await asyncio.gather(*(live.stop() for live in self._kernels))

    def _check_alive(self) -> None:
        if not self._alive:
            reasons = "; ".join(f"{live.name}: {live.failure}" for live in self._kernels)
            raise KernelError(f"No kernel can be measured: {reasons}")

    async def _warm_up(self) -> None:
        """Visit every case once, the smallest first: this warms up, finds the loops, and shows the cost of a round."""
        sizes: dict[tuple[Key, str, str], dict[int, float]] = {}
        self._ready_at = self._record.elapsed
        cases = sorted(self._settings.cases, key=lambda case: case.size)
        for number, case in enumerate(cases):
            for live in self._alive:
                self._say(f"warming up: {live.name}, {case}", number, len(cases))
                known = sizes.setdefault((live.key, case.operation, case.dtype), {})
                await self._refuse_hopeless(live, case, known)
                result = await self._visit(live, case, samples=1)
                if result is not None:
                    known[case.size] = min(result.measurement.samples)
                    self._learn(live, case, result)
                elif live.failure is not None and self._left < 0:
                    raise self._too_long(case, self._settings.budget)
        self._check_alive()

    async def _refuse_hopeless(self, live: LiveKernel, case: Case, known: dict[int, float]) -> None:
        """Refuse a case that cannot fit before it begins, judging by a smaller size of it."""
        if not known and case.size > planning.PILOT_SIZE:
            small = Case(case.operation, case.dtype, planning.PILOT_SIZE)
            pilot = await self._visit(live, small, samples=1)
            if pilot is not None:
                known[small.size] = min(pilot.measurement.samples)
        seconds = planning.guess(known, case.size)
        if planning.hopeless(seconds, self._left):
            raise self._too_long(case, seconds)

    def _learn(self, live: LiveKernel, case: Case, result: _VisitResult) -> None:
        """Keep how many loops make a sample in a kernel, and the cost of a visit."""
        measurement = result.measurement
        self._loops[live.key, case] = measurement.loops
        overhead = max(0.0, result.seconds - measurement.loops * sum(measurement.samples))
        self._costs[live.key, case] = VisitCost(overhead, measurement.loops * min(measurement.samples))

    def _too_long(self, case: Case, seconds: float) -> InvalidRequestError:
        costs = planning.by_case(self._costs, self._settings)
        costs[case] = max(costs.get(case, 0.0), seconds)
        costs = planning.with_larger(costs, self._settings.cases)
        room = (self._settings.budget - _STOPPING_SECONDS - self._ready_at) / 2  # warming up takes as long as a round
        return planning.too_long(costs, left=self._left, budget=self._settings.budget, room=room)

    def _plan(self) -> Schedule:
        alive = {live.key for live in self._alive}
        costs = {known: visit for known, visit in self._costs.items() if known[0] in alive}
        return planning.schedule(costs, self._settings, self._left)

    async def _measure(self, schedule: Schedule) -> None:
        took = schedule.round_seconds
        for number in range(self._settings.rounds):
            if self._left < took and number:
                break
            begin = time.monotonic()
            await self._run_canary()
            await self._round(number, max(schedule.rounds, number + 1), schedule.samples)
            took = (took + time.monotonic() - begin) / 2  # follows a slower machine, but not one slow round
        await self._run_canary()

    async def _round(self, number: int, rounds: int, samples: int) -> None:
        turns = list(self._turns())
        for position, (live, case) in enumerate(turns):
            if live.failure is not None:
                continue
            if number and self._left < 0:
                return
            done = (number * len(turns) + position, rounds * len(turns))
            self._say(f"round {number + 1} of {rounds}: {live.name}, {case}", *done)
            elapsed = self._record.elapsed
            result = await self._visit(live, case, samples=samples)
            if result is not None:
                circumstances = {"round": number, "position": position, "elapsed": elapsed, "others": result.others}
                row = visit_row(self._record.kernels[live.key], result.measurement, circumstances)
                self._record.rows.append(row)

    def _turns(self) -> Iterator[tuple[LiveKernel, Case]]:
        """Yield kernels and cases in turn: kernels that are compared follow each other, in a random order."""
        pairs = [(count, case) for count in self._settings.threads or (None,) for case in self._settings.cases]
        for count, case in self._random.sample(pairs, len(pairs)):
            takers = [live for live in self._alive if live.threads == count and (live.key, case) in self._costs]
            yield from ((live, case) for live in self._random.sample(takers, len(takers)))

    async def _visit(self, live: LiveKernel, case: Case, *, samples: int) -> _VisitResult | None:
        """Let one kernel measure one case while the others idle; None if it cannot."""
        begin = time.monotonic()
        others = [other.pid for other in self._alive if other is not live and other.pid is not None]
        await idle.until_idle(others, patience=_PATIENCE_SECONDS)
        before, since = idle.known_seconds(others), time.monotonic()
        answer = await live.ask(
            "visit", case.operation, case.size, case.dtype,
            seed=self._settings.seed, layout_seed=self._random.randrange(2**32), samples=samples,
            loops=self._loops.get((live.key, case)), seconds=self._settings.visit_seconds,
            min_sample=self._settings.min_sample, timeout=max(self._left, 0) + _GRACE_SECONDS,
        )  # fmt: skip
        now = time.monotonic()
        if live.failure is not None:
            self._record.notes.append(f"{live.name} failed at {case}: {live.failure}")
        if answer is None:
            return None
        if "refused" in answer:
            self._record.notes.append(f"{live.name} leaves {case} out: {answer['refused']}")
            return None
        busy = idle.share(before, idle.known_seconds(others), now - since)
        return _VisitResult(
            measurement=Measurement.from_dict(answer["measurement"]),
            others=max(busy.values(), default=0.0 if not others else float("nan")),
            seconds=now - begin,
        )

    async def _run_canary(self) -> None:
        """Time a fixed piece of Python, the canary, in the first kernel: it shows how fast the machine is now."""
        if self._alive:
            live = self._alive[0]
            pids = [other.pid for other in self._alive if other.pid is not None]
            await idle.until_idle(pids, patience=_PATIENCE_SECONDS)
            answer = await live.ask("canary", _CANARY_REPEATS, timeout=_STARTUP_SECONDS)
            if answer is not None:
                self._record.canary.append(answer["seconds"])

    def _say(self, what: str, done: int, total: int) -> None:
        self._report(Event("measuring", what, done=done, total=total))
