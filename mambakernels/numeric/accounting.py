"""What the system counts while a sample is taken: CPU time, involuntary context switches, time on the run queue."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time, thread_time
from types import ModuleType
from typing import NamedTuple

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

_TASKS = Path("/proc/self/task")
_NANO = 1e9
_FIELDS = 64  # bytes: a line of schedstat is shorter
_CPU_CLOCKS_TICK = sys.platform == "win32"  # by 15.6 ms, whatever `time.get_clock_info` says


class Counts(NamedTuple):
    """Differences between two readings; None: the system does not say.

    `own` is CPU seconds of the calling thread, `process` those of all threads, `switches` the involuntary context
    switches and `waited` the seconds on the run queue, both of all threads.
    """

    own: float | None
    process: float | None
    switches: int | None
    waited: float | None


@dataclass(frozen=True)
class _Start:
    switches: int | None
    waited: float | None
    process: float
    own: float


class Counters:
    """The counters of this process.

    The files of the threads that exist now stay open until it is deleted: reading them costs microseconds, opening
    them much more. A thread that appears later is not seen before `refresh`; its counters begin at 0.
    """

    def __init__(self) -> None:
        self._files: list[int] = []
        self._close: Callable[[], object] = lambda: None
        self.refresh()

    def refresh(self) -> None:
        """Look which threads there are."""
        self._close()
        files = [file for file in map(_open, _schedules()) if file is not None]
        self._close = weakref.finalize(self, _close, files)
        # A Linux that was built without these statistics writes zeros: then even the time that threads ran is 0.
        self._files = files if any(_numbers(file)[0] for file in files) else []

    def start(self) -> _Start:
        """Read all counters; the CPU clocks last."""
        switches, waited = self._switches(), self._waited()
        return _Start(switches, waited, process_time(), thread_time())

    def since(self, start: _Start) -> Counts:
        """Return what was counted since; the CPU clocks are read first."""
        own, process = thread_time() - start.own, process_time() - start.process
        switches, waited = self._switches(), self._waited()
        return Counts(
            own=None if _CPU_CLOCKS_TICK else own,
            process=None if _CPU_CLOCKS_TICK else process,
            switches=None if switches is None or start.switches is None else switches - start.switches,
            waited=None if waited is None or start.waited is None else max(0.0, waited - start.waited),
        )

    @staticmethod
    def _switches() -> int | None:
        return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw

    def _waited(self) -> float | None:
        if not self._files:
            return None
        return sum(_numbers(file)[1] for file in self._files) / _NANO


def _schedules() -> list[Path]:
    try:
        return [task / "schedstat" for task in _TASKS.iterdir()]
    except OSError:  # another system than Linux
        return []


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:  # the thread has ended, or this Linux does not count
        return None


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)


def _numbers(file: int) -> tuple[int, int]:
    """Return the nanoseconds a thread has run, and those it has waited for a core."""
    try:
        ran, waited, *_ = os.pread(file, _FIELDS, 0).split()
    except OSError:  # the thread has ended: it waits no more
        return 0, 0
    return int(ran), int(waited)
