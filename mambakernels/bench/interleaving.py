"""Measuring kernels interleaved, in rounds: every case once on every kernel, in a shuffled order, one at a time.

The first round goes from the cheapest case to the most expensive: each shows what the next will cost, and those that
too few rounds would fit of are left out.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import platform
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mambakernels.bench import idle, planning
from mambakernels.bench.cases import Case, Settings
from mambakernels.bench.live_kernel import LiveKernel
from mambakernels.bench.measured import COLUMNS, Measured, MeasuredKernel, visit_row
from mambakernels.bench.planning import Key, Schedule, VisitCost
from mambakernels.bench.published import frame_of
from mambakernels.errors import KernelError
from mambakernels.numeric.measurement import Measurement
from mambakernels.numeric.user_code import NO_DTYPE
from mambakernels.progress import Event, Progress, silent
from mambakernels.runs.kernelspecs import Kernel, find_kernels
from mambakernels.system.background import in_a_thread
from mambakernels.system.scratch import scratch_folder

_STARTUP_SECONDS = 60.0
_EACH_STARTUP_SECONDS = 5.0  # of those that start at the same time
_STOPPING_SECONDS = 1.0  # of the budget
_GRACE_SECONDS = 0.5
_PATIENCE_SECONDS = 1.0  # for other kernels' threads to stop spinning
_CANARY_REPEATS = 6
_PARTIAL_SHARE = 0.1  # of the time, for what gets partial results


Accept = Callable[[Sequence[MeasuredKernel]], object]
Partial = Callable[[Measured], object]


def ignore(_: object) -> None:
    """Ignore it."""


def measure_interleaved(
    settings: Settings, *, accept: Accept = ignore, progress: Progress = silent, partial: Partial = ignore
) -> Measured:
    """Measure the cases on the kernels in rounds, within the budget; all kernels have ended when it returns.

    `accept` is called with the facts of all kernels before anything is measured, and may raise. `partial` is called, in
    another thread, with what has been measured so far, while nothing is measured. Interrupted (Ctrl-C, or its
    `process.Group` is stopped), it returns the rows measured so far, if any, marked `interrupted`. Cases that do not
    fit are left out, with a note.
    Raises NotFoundError, KernelError if no kernel starts, InvalidRequestError if not even one round of one case fits.
    """
    kernels = find_kernels(settings.kernels)
    settings = replace(settings, kernels=tuple(kernel.name for kernel in kernels))
    record = _Record(settings)
    try:
        in_a_thread(lambda report: _Bench(settings, record, report, partial).run(kernels, accept), progress)
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
    stopped: set[Key] = field(default_factory=set)  # at the end of the budget
    interrupted: bool = False
    started: str = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"))
    begin: float = field(default_factory=time.monotonic)
    end: float | None = None  # where ending the kernels does not count

    @property
    def elapsed(self) -> float:
        return (time.monotonic() if self.end is None else self.end) - self.begin

    def note(self, live: LiveKernel) -> MeasuredKernel:
        """Note the facts of a kernel, and its failure if it has failed."""
        ours = live.kernel.ours or {}
        self.kernels[live.key] = MeasuredKernel(
            kernel=live.kernel.name,
            asked=live.threads,
            facts=live.facts,
            blas=ours.get("blas"),
            prefix=ours.get("prefix"),
            failure=None if live.failure is None or live.key in self.stopped else str(live.failure),
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
    """The results of a visit: its measurements, how busy the other kernels were meanwhile, and its total seconds."""

    measurements: Mapping[Case, Measurement]
    others: float
    seconds: float


class _Bench:
    """One comparison while it runs."""

    def __init__(self, settings: Settings, record: _Record, report: Progress, partial: Partial) -> None:
        self._settings = settings
        self._record = record
        self._report = report
        self._partial = partial
        self._next_partial = 0.0
        self._random = random.Random(settings.seed)  # noqa: S311 (an order, no secret)
        self._kernels: list[LiveKernel] = []
        self._loops: dict[tuple[Key, Case], int] = {}
        self._costs: dict[tuple[Key, Case], VisitCost] = {}
        self._calls: dict[tuple[Key, str, str], dict[int, float]] = {}  # seconds of a call, by size
        self._planned: list[Case] = []
        self._counts: Sequence[int | None] = settings.threads or (None,)
        self._number, self._position = 0, -1

    @property
    def _left(self) -> float:
        """Seconds until the kernels have to be stopped."""
        return self._settings.budget - _STOPPING_SECONDS - self._record.elapsed

    @property
    def _all_once(self) -> bool:
        """Whether each case is measured once even if that exceeds the budget: the user's own code is."""
        return bool(self._settings.codes)

    @property
    def _grace(self) -> float:
        """Seconds by which a visit may exceed the budget before its kernel is ended."""
        return _STARTUP_SECONDS if self._all_once and not self._number else _GRACE_SECONDS

    @property
    def _patience(self) -> float:
        """Seconds to wait until other kernels' threads stop spinning."""
        return min(_PATIENCE_SECONDS, max(0.0, self._left))

    @property
    def _alive(self) -> list[LiveKernel]:
        return [live for live in self._kernels if live.failure is None]

    async def run(self, kernels: Sequence[Kernel], accept: Accept) -> None:
        self._kernels = [LiveKernel(kernel, count) for count in self._counts for kernel in kernels]
        with scratch_folder() as folder:
            async with self._started(folder):
                accept(tuple(self._record.kernels.values()))
                await self._first_round()
                if self._alive:
                    await self._measure(self._plan())
                if not self._settings.starting_counts:
                    self._record.end = time.monotonic()

    @asynccontextmanager
    async def _started(self, folder: Path) -> AsyncIterator[None]:
        cancelled = False
        try:
            for live in self._kernels:
                self._report(Event("starting", live.name))
                await live.start(folder)
            patience = _STARTUP_SECONDS + _EACH_STARTUP_SECONDS * len(self._kernels)
            await asyncio.gather(*(live.boot(patience) for live in self._kernels))
            for live in self._kernels:  # one after another: each looks at how many of its threads work
                await live.describe(_STARTUP_SECONDS)
                for code in self._settings.codes:
                    await live.ask("define", asdict(code), timeout=_STARTUP_SECONDS)
                self._record.note(live)
            if not self._settings.starting_counts:
                self._record.begin = time.monotonic()
            self._check_alive()
            yield
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            for live in self._kernels:
                self._record.note(live)
            await asyncio.gather(*(live.stop(now=cancelled) for live in self._kernels))

    def _check_alive(self) -> None:
        if not self._alive:
            reasons = "; ".join(f"{live.name}: {live.failure}" for live in self._kernels)
            raise KernelError(f"No kernel can be measured: {reasons}")

    async def _first_round(self) -> None:
        """Visit every case that fits once, the cheapest first: this finds the loops, and shows what a round costs."""
        await self._run_canary()
        await self._try_small_sizes()
        rounds, waiting = planning.wanted_rounds(self._settings), planning.stops(self._settings.cases)
        while waiting and self._alive and (self._all_once or self._left > 0 or not self._record.rows):
            stop = self._next(waiting)
            waiting.remove(stop)
            seconds, first = self._guess(stop), all(known.control for known in self._planned)
            if not stop[0].control and not first and not self._all_once:
                chosen = planning.by_case(self._costs)
                if not planning.fits(seconds, chosen, left=self._left, rounds=rounds):
                    self._leave_out({stop[0]: seconds})
                    continue
            if planning.hopeless(seconds, self._left) and not self._all_once:
                raise planning.too_long(stop[0], seconds, settings=self._settings, left=self._left)
            self._planned += stop
            for live in [live for count in self._counts for live in self._in_random_order(count)]:
                await self._measure_stop(live, stop, number=0, rounds=1, samples=1)
            self._hand_over()
        if not self._record.rows:
            self._check_alive()
            raise planning.too_long(self._planned[-1], self._settings.budget, settings=self._settings, left=self._left)

    async def _try_small_sizes(self) -> None:
        """Call operations that are asked for only at large sizes at a small one, to guess how long they take."""
        smallest = {(case.operation, case.dtype): case for case in sorted(self._settings.cases, reverse=True)}
        for case in smallest.values():
            if case.size > planning.PILOT_SIZE and case.dtype != NO_DTYPE:
                small = replace(case, size=planning.PILOT_SIZE)
                for number, live in enumerate(self._alive):
                    self._report(Event("estimating", f"{case.operation}: {live.name}", number, len(self._alive)))
                    self._learn(live, await self._visit(live, (small,), samples=1))

    def _next(self, waiting: Sequence[tuple[Case, ...]]) -> tuple[Case, ...]:
        """Return the controls, then the cheapest, or the first one listed where that is the most important."""
        if self._settings.in_order:
            return next((stop for stop in waiting if stop[0].control), waiting[0])
        return min(waiting, key=lambda stop: (self._guess(stop), stop[0].size))

    def _guess(self, stop: Sequence[Case]) -> float:
        """Guess the seconds that a visit takes, over all kernels."""
        known = (
            (case, self._calls.get((live.key, case.operation, case.dtype), {})) for live in self._alive for case in stop
        )
        return sum(planning.guess(calls, case) for case, calls in known)

    def _learn(self, live: LiveKernel, result: _VisitResult | None) -> None:
        """Keep how many loops make a sample in a kernel, how long a call takes, and what a case costs."""
        measured = {} if result is None else result.measurements
        overhead = planning.overhead(0.0 if result is None else result.seconds, measured.values())
        for case, measurement in measured.items():
            least = min(measurement.samples)
            self._calls.setdefault((live.key, case.operation, case.dtype), {})[case.size] = least
            if case in self._settings.cases:
                self._loops[live.key, case] = measurement.loops
                sampling = self._settings.visit_seconds / len(measured)
                self._costs[live.key, case] = VisitCost(overhead, measurement.loops * least, sampling)

    def _leave_out(self, cases: Mapping[Case, float]) -> None:
        for line in planning.left_out(cases, self._settings, left=self._left):
            self._record.notes.append(line)
            self._report(Event("note", line))

    def _plan(self) -> Schedule:
        """Leave out what turned out to take too long, and divide the seconds left."""
        costs = planning.by_case(self._costs)
        more = max(1, planning.wanted_rounds(self._settings) - 1)
        in_order = self._settings.in_order
        dropped = [] if self._all_once else planning.to_drop(costs, self._left / more, in_order=in_order)
        self._leave_out({case: costs[case] for case in dropped})
        self._planned = [case for case in self._planned if case not in dropped]
        alive = {live.key for live in self._alive}
        kept = {
            (key, case): cost for (key, case), cost in self._costs.items() if key in alive and case in self._planned
        }
        found = planning.schedule(kept, self._settings, self._left)
        rounds = min(self._settings.rounds, 1 + found.rounds)
        self._report(Event("note", f"{len(self._planned)} cases, about {rounds} rounds: {self._settings.budget:g} s"))
        return found

    async def _measure(self, schedule: Schedule) -> None:
        took = schedule.round_seconds
        for number in range(1, self._settings.rounds):
            if self._left < took or not self._alive:
                break
            begin = time.monotonic()
            await self._run_canary()
            expected = min(self._settings.rounds, max(schedule.rounds, number) + 1)
            await self._round(number, expected, schedule.samples)
            self._hand_over()
            took = (took + time.monotonic() - begin) / 2  # follows a slower machine, but not one slow round
        if self._left > 0:
            await self._run_canary()

    async def _round(self, number: int, rounds: int, samples: int) -> None:
        for live, stop in list(self._turns()):
            if self._left < sum(self._costs[live.key, case].with_samples(1) for case in stop):
                return
            if live.failure is None:
                await self._measure_stop(live, stop, number=number, rounds=rounds, samples=samples)

    async def _measure_stop(
        self, live: LiveKernel, stop: tuple[Case, ...], *, number: int, rounds: int, samples: int
    ) -> None:
        if live.failure is not None:
            return
        words = f"round {number + 1} of {rounds}: {live.name}, {_named(stop)}"
        self._say(words, self._record.elapsed, self._settings.budget)
        elapsed = self._record.elapsed
        result = await self._visit(live, stop, samples=samples)
        if result is None:
            return
        if not number:
            self._learn(live, result)
        for measurement in result.measurements.values():
            self._position = self._position + 1 if number == self._number else 0
            self._number = number
            about = {"round": number, "position": self._position, "elapsed": elapsed, "others": result.others}
            self._record.rows.append(visit_row(self._record.kernels[live.key], measurement, about))

    def _turns(self) -> Iterator[tuple[LiveKernel, tuple[Case, ...]]]:
        """Yield kernels and cases in turn: kernels that are compared follow each other, in a random order."""
        pairs = [(count, stop) for count in self._counts for stop in planning.stops(self._planned)]
        for count, stop in self._random.sample(pairs, len(pairs)):
            for live in self._in_random_order(count):
                if possible := tuple(case for case in stop if (live.key, case) in self._costs):
                    yield live, possible

    def _in_random_order(self, count: int | None) -> list[LiveKernel]:
        alive = [live for live in self._alive if live.threads == count]
        return self._random.sample(alive, len(alive))

    async def _visit(self, live: LiveKernel, stop: tuple[Case, ...], *, samples: int) -> _VisitResult | None:
        """Let one kernel measure one case, or all controls, while the others idle; None if it fails."""
        begin = time.monotonic()
        others = [other.pid for other in self._alive if other is not live and other.pid is not None]
        # Its own threads may still spin after the case before: a control would share its core with them.
        own = [live.pid] if live.pid is not None else []
        await idle.until_idle([*others, *own], patience=self._patience)
        before, since = idle.known_seconds(others), time.monotonic()
        answer = await live.ask(
            "visit",
            *((case.operation, case.size, case.dtype, self._loops.get((live.key, case))) for case in stop),
            seed=self._settings.seed, layout_seed=self._random.randrange(2**32), samples=samples,
            seconds=self._settings.visit_seconds / len(stop), min_sample=self._settings.min_sample,
            timeout=max(self._left, 0) + self._grace,
        )  # fmt: skip
        now = time.monotonic()
        if live.failure is not None and self._left <= 0:
            self._record.stopped.add(live.key)
            words = f"The budget was spent while {live.name} measured {_named(stop)}: it was stopped there."
            self._record.notes.append(words)
        elif live.failure is not None:
            self._record.notes.append(f"{live.name} failed at {_named(stop)}: {live.failure}")
        if answer is None:
            return None
        answers = list(zip(stop, answer["answers"], strict=True))
        refused = [(case, one["refused"]) for case, one in answers if "refused" in one]
        self._record.notes.extend(f"{live.name} leaves {case} out: {why}" for case, why in refused)
        busy = idle.share(before, idle.known_seconds(others), now - since)
        return _VisitResult(
            measurements={
                case: Measurement.from_dict(one["measurement"]) for case, one in answers if "measurement" in one
            },
            others=max(busy.values(), default=0.0 if not others else float("nan")),
            seconds=now - begin,
        )

    async def _run_canary(self) -> None:
        """Time a fixed piece of Python, the canary, in the first kernel: it shows how fast the machine is now."""
        if self._alive:
            live = self._alive[0]
            pids = [other.pid for other in self._alive if other.pid is not None]
            await idle.until_idle(pids, patience=self._patience)
            answer = await live.ask("canary", _CANARY_REPEATS, timeout=_STARTUP_SECONDS)
            if answer is not None:
                self._record.canary.append(answer["seconds"])

    def _hand_over(self) -> None:
        """Pass on what was measured so far, unless that took too much of the time already."""
        begin = self._record.elapsed
        if self._record.rows and begin >= self._next_partial:
            self._partial(self._record.result())
            took = self._record.elapsed - begin
            self._next_partial = begin + took / _PARTIAL_SHARE

    def _say(self, what: str, done: float, total: float) -> None:
        self._report(Event("measuring", what, done=done, total=total))


def _named(stop: Sequence[Case]) -> str:
    """Name the cases of a visit."""
    return str(stop[0]) if len(stop) == 1 else "controls"
