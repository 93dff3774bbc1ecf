"""Kernels that stay alive side by side: `session` starts them, and each cell runs in all of them."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, final

from mambakernels.errors import InvalidRequestError, KernelError, NotFoundError
from mambakernels.kernels.blas import label
from mambakernels.progress import Event, Progress, silent
from mambakernels.runs.kernelspecs import Kernel, find_kernels, with_threads, with_variables
from mambakernels.runs.records import Failure
from mambakernels.sessions import guardian
from mambakernels.sessions.member import Member, MemberState
from mambakernels.sessions.news import News, Tell
from mambakernels.sessions.parcel import NotSentError
from mambakernels.sessions.shown import Results, Shown, reasons_in_words
from mambakernels.sessions.transfer import awaited, folders, packed, packing, pattern, read, unpacking
from mambakernels.system.background import LoopThread

Show = Callable[[Results], float | None]
"""Called with the results so far whenever there is more to show; returns for how many seconds not to call it again."""

_VARIABLE = "MAMBAKERNELS_SESSION"
_AT_ONCE = 8  # kernels that start at the same time


@dataclass(frozen=True)
class KernelStatus:
    """A kernel of a session: `off`, `starting`, `idle`, `busy` or `dead`; `failure` says why it is dead."""

    name: str
    state: MemberState
    pid: int | None
    failure: str | None


def session(
    kernels: str | Iterable[str],
    *,
    threads: int | Iterable[int] | None = None,
    serial: bool = False,
    timeout: float | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> KernelSession:
    """Return a session of kernels that stay alive side by side; use it in a `with` statement, or `start` and `stop` it.

        with mambakernels.session(["np-mkl", "np-openblas"]) as kernels:
            kernels.push(a=a)
            results = kernels.run("(a @ a).sum()")
            print(results["np-mkl"].seconds, kernels.pull("a"))

    Parameters
    ----------
    kernels
        Names of kernelspecs, or patterns such as `np-*`; `all` for every kernel. Names and languages may be mixed.
    threads
        Start each kernel with this number of threads; of several numbers, once with each: `np-mkl (2 threads)`.
    serial
        One kernel works while the others idle, so that their times can be compared.
    timeout
        Seconds after which a cell is interrupted.
    folder
        The working directory of the kernels; by default this process's.
    progress
        Called with each kernel that starts.

    Raises
    ------
    NotFoundError
        A name is not that of a kernel.

    Notes
    -----
    All kernels end with the session, or with this process.
    """
    made = KernelSession(serial=serial, timeout=timeout, folder=folder, progress=progress)
    made.add(kernels, threads=threads)
    return made


@final
class KernelSession:
    """Kernels that stay alive between cells: what one cell defines in a kernel, the next one finds there.

    All methods may be called from any thread, but only one at a time, except `interrupt` and `stop`.
    """

    def __init__(
        self,
        *,
        serial: bool = False,
        timeout: float | None = None,
        folder: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
    ) -> None:
        self.serial = serial
        self.timeout = timeout
        self._folder = Path(folder) if folder is not None else Path.cwd()
        self._progress = progress
        self._members: dict[str, Member] = {}
        self._loop: LoopThread | None = None
        self._guardian: asyncio.subprocess.Process | None = None
        self.mark = uuid.uuid4().hex
        """Its own name, in the variables of its kernels and in the names of its files."""
        self._using = threading.Lock()
        self._interrupted = False

    def __enter__(self) -> KernelSession:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of its kernels."""
        return tuple(self._members)

    def add(self, kernels: str | Iterable[str], *, threads: int | Iterable[int] | None = None) -> tuple[str, ...]:
        """Add kernels that it does not have yet, without starting them; return the names of all those requested."""
        wanted = find_kernels([kernels] if isinstance(kernels, str) else kernels)
        counts = _counts(threads)
        named = {label(kernel.name, count): with_threads(kernel, count) for count in counts for kernel in wanted}
        for name, kernel in named.items():
            if name not in self._members:
                self._members[name] = Member(name, self._marked(kernel), self._folder)
        return tuple(named)

    def start(self, kernels: Iterable[str] | None = None) -> KernelSession:
        """Start those of its kernels that do not run, and wait until they are ready; KernelError if none is."""
        members = self._chosen(kernels)
        self._follow(lambda tell: self._start(members, tell))
        if members and not any(member.state in {"idle", "busy"} for member in members):
            reasons = reasons_in_words({member.name: str(member.failure) for member in members})
            raise KernelError("No kernel started.", next_step=reasons)
        return self

    def stop(self, kernels: Iterable[str] | None = None) -> None:
        """End kernels, by default all, and with the last one all that the session has started."""
        members = self._chosen(kernels)
        if self._loop is None:
            return
        self._loop.begin(_gather(member.stop() for member in members)).result()
        if any(member.state != "off" for member in self._members.values()):
            return
        atexit.unregister(self.stop)
        self._loop.begin(self._dismiss()).result()
        self._loop.close()
        self._loop = None

    def restart(self, kernels: Iterable[str] | None = None) -> None:
        """End kernels, by default all, and start them again; what was defined in them is gone."""
        members = self._chosen(kernels)
        self._follow(lambda _: _gather(member.stop() for member in members))
        self.start([member.name for member in members])

    def interrupt(self, kernels: Iterable[str] | None = None) -> None:
        """Interrupt the cell that kernels execute; `run` goes on with what they showed, and does not begin others."""
        self._interrupted = True
        if self._loop is not None:
            self._loop.begin(_gather(member.interrupt() for member in self._chosen(kernels))).result()

    def status(self) -> tuple[KernelStatus, ...]:
        """Return the state of each kernel."""
        return tuple(
            KernelStatus(one.name, one.state, one.pid, None if one.failure is None else str(one.failure))
            for one in self._members.values()
        )

    def run(
        self,
        code: str,
        *,
        kernels: Iterable[str] | None = None,
        serial: bool | None = None,
        timeout: float | None = None,
        show: Show = lambda _: None,
    ) -> Results:
        """Run a cell in all kernels, or in those that are named, and return what each of them showed.

        A kernel that fails, dies, hangs or asks for input fails alone: `Results.check` raises if one did. Kernels that
        do not run are started. Ctrl-C interrupts the cell everywhere, waits for the results and raises
        KeyboardInterrupt; the kernels stay usable. `show` is called in this thread with the results so far, and at the
        end with all. `serial` and `timeout` are by default the session's.
        """
        members = self._chosen(kernels)
        serial = self.serial if serial is None else serial
        results = Results({member.name: Shown(member.name) for member in members}, serial=serial)
        timeout = self.timeout if timeout is None else timeout

        for member in members:
            results[member.name].state = "starting" if member.state in {"off", "dead"} else "waiting"

        async def each(tell: Tell) -> None:
            tell(None)
            await self._start(members, tell)
            for shown in results.values():
                shown.state = "waiting"
            cells = [
                member.run(code, results[member.name], timeout=timeout, changed=lambda: tell(None))
                for member in members
            ]
            await (self._one_by_one(cells, results) if serial else _gather(cells))

        try:
            self._follow(each, lambda: show(results))
        finally:
            show(results)
        return results

    def push(self, *, kernels: Iterable[str] | None = None, **values: Any) -> None:
        """Define values in the kernels: arrays, frames and whatever else can be pickled.

        They go through one file in shared memory that all kernels map, so that an array takes its memory once, until a
        kernel changes it. InvalidRequestError for a value that cannot be sent; KernelError names the kernels that could
        not take the values, and why. What was sent before is replaced.
        """
        members = self._chosen(kernels)
        self._follow(lambda tell: self._start(members, tell))
        with packed(values, self.mark) as path:
            failed = self._ask({member: unpacking(path) for member in members})
        _require(f"could not take {_listed(values)}", failed, members)

    def pull(self, name: str, *, kernels: Iterable[str] | None = None) -> dict[str, Any]:
        """Return the value that `name` has in each kernel, by kernel; KernelError names those that cannot give it."""
        if not name.isidentifier():
            raise InvalidRequestError(
                f"{name!r} is not the name of a variable.", next_step="Assign the value to one first."
            )
        members, values = self._chosen(kernels), {}
        self._follow(lambda tell: self._start(members, tell))
        with ExitStack() as stack:
            paths = {member: stack.enter_context(awaited(self.mark)) for member in members}
            failed = self._ask({member: packing(name, paths[member]) for member in members})
            for member in [member for member in members if member.name not in failed]:
                try:
                    values[member.name] = read(paths[member], name)
                except (OSError, NotSentError) as error:
                    failed[member.name] = str(error)
        _require(f"could not give {name}", failed, members)
        return values

    def _ask(self, codes: Mapping[Member, str]) -> dict[str, str]:
        """Execute code of ours in kernels, without a trace there; return why it failed, by kernel."""
        python = {member: code for member, code in codes.items() if member.kernel.language == "python"}
        shown = {member: Shown(member.name) for member in python}

        async def each(_: Tell) -> None:
            await _gather(
                member.execute(code, shown[member], timeout=self.timeout, changed=lambda: None, visible=False)
                for member, code in python.items()
            )

        self._follow(each)
        others = {member.name: f"its language is {member.kernel.language}" for member in codes if member not in python}
        failed = {one.kernel: one.error for one in shown.values() if one.error is not None}
        return others | {
            name: error.evalue if error.ename == NotSentError.__name__ else str(error) for name, error in failed.items()
        }

    def _follow(
        self, work: Callable[[Tell], Coroutine[Any, Any, None]], show: Callable[[], float | None] = lambda: None
    ) -> None:
        """Wait for a coroutine on the loop; what it tells is shown in this thread.

        KeyboardInterrupt interrupts all kernels, waits for the end, and is raised then.
        """
        if not self._using.acquire(blocking=False):
            raise InvalidRequestError(
                "Another thread uses this session.", next_step="Wait for it, or make another one."
            )
        try:
            self._interrupted = False
            news = News(self._progress, show)
            outcome = self._running().begin(work(news.tell))
            outcome.add_done_callback(lambda _: news.wake())
            try:
                news.relay(outcome.done)
            except KeyboardInterrupt:
                self.interrupt()
                news.relay(outcome.done)
                raise
            outcome.result()
        finally:
            self._using.release()

    async def _one_by_one(self, cells: Sequence[Coroutine[Any, Any, None]], results: Results) -> None:
        for cell, shown in zip(cells, results.values(), strict=True):
            if self._interrupted:
                cell.close()
                shown.fail(Failure("KeyboardInterrupt", "It was interrupted before it began."))
            else:
                await cell

    def _running(self) -> LoopThread:
        if self._loop is None:
            self._loop = LoopThread()
            atexit.register(self.stop)
        return self._loop

    def _chosen(self, kernels: Iterable[str] | None) -> list[Member]:
        if kernels is None:
            return list(self._members.values())
        names = list(kernels)
        if unknown := [name for name in names if name not in self._members]:
            raise NotFoundError(
                f"The session has no kernel {' and no kernel '.join(unknown)}.",
                next_step=f"It has {', '.join(self._members) or 'none'}.",
            )
        return [self._members[name] for name in names]

    def _marked(self, kernel: Kernel) -> Kernel:
        return with_variables(kernel, {**kernel.spec.env, _VARIABLE: self.mark})

    async def _start(self, members: Iterable[Member], tell: Tell) -> None:
        """Start those that do not run."""
        off = [member for member in members if member.state in {"off", "dead"}]
        if not off:
            return
        await self._appoint_guardian()
        few = asyncio.Semaphore(_AT_ONCE)

        async def one(member: Member) -> None:
            async with few:
                tell(Event("starting", member.name))
                await member.start()

        await _gather(map(one, off))
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.write("".join(f"{one.pid}\n" for one in off if one.pid).encode())

    async def _appoint_guardian(self) -> None:
        """Start the process that ends the kernels if this one is killed; on Windows, ipykernel does that itself."""
        if sys.platform == "win32" or (self._guardian is not None and self._guardian.returncode is None):
            return
        words = [sys.executable, "-I", "-S", guardian.__file__, f"{_VARIABLE}={self.mark}", str(os.getpid())]
        words += [str(Path(folder, pattern(self.mark))) for folder in folders()]
        self._guardian = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    async def _dismiss(self) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.write(guardian.FAREWELL)
            self._guardian.stdin.close()
            await self._guardian.wait()
        self._guardian = None


async def _gather(work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    await asyncio.gather(*work)


def _counts(threads: int | Iterable[int] | None) -> list[int | None]:
    return [threads] if threads is None or isinstance(threads, int) else list(dict.fromkeys(threads))


def _require(deed: str, failed: Mapping[str, str], members: Sequence[Member]) -> None:
    """Raise KernelError unless all kernels did it."""
    if failed:
        raise KernelError(f"{len(failed)} of {len(members)} kernels {deed}.", next_step=reasons_in_words(failed))


def _listed(names: Iterable[str]) -> str:
    return " and ".join(map(repr, names))
