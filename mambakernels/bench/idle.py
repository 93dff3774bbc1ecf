"""Idle processes, by the processor time that the system counts for each.

After a product, the threads of many libraries spin for a while and wait for the next: MKL's for 200 ms. A kernel
measured in that time loses a core to them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_PROC = Path("/proc")
_NANO = 1e9
_WINDOW = 0.005  # seconds
_BUSY = 0.1  # of a core: a kernel that waits for messages uses less than a hundredth


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time that a process' threads have used so far; None where the system does not report it.

    Linux counts nanoseconds per thread if it was built to do so, and otherwise hundredths of a second.
    """
    try:
        return sum(_task_seconds(task) for task in (_PROC / str(pid) / "task").iterdir())
    except OSError:  # another system, or the process has ended
        return None


def known_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Return the processor time of each process for which the system reports it."""
    found = {pid: cpu_seconds(pid) for pid in pids}
    return {pid: seconds for pid, seconds in found.items() if seconds is not None}


def share_in_use(seconds: float = 0.5) -> float | None:
    """Return the share of this machine's processor time that all programs use meanwhile; None if nobody knows."""
    import psutil

    try:
        return float(psutil.cpu_percent(interval=seconds)) / 100
    except (OSError, RuntimeError):  # a sandbox hides /proc/stat
        return None


def share(before: Mapping[int, float], after: Mapping[int, float], elapsed: float) -> dict[int, float]:
    """Return how much of a core each process used in `elapsed` seconds."""
    return {pid: max(0.0, after[pid] - before[pid]) / elapsed for pid in before if pid in after}


async def until_idle(pids: Iterable[int], *, patience: float) -> bool | None:
    """Return whether all processes become idle within `patience` seconds; None where that cannot be seen."""
    end, watched = time.monotonic() + patience, list(pids)
    before, since = known_seconds(watched), time.monotonic()
    if not before:
        return None if watched else True
    while time.monotonic() < end:
        await asyncio.sleep(_WINDOW)
        after, now = known_seconds(watched), time.monotonic()
        quiet = max(share(before, after, now - since).values(), default=0.0) < _BUSY
        if quiet and not any(map(_is_runnable, watched)):  # on a busy machine, a thread may have to wait for a core
            return True
        before, since = after, now
    return False


def _is_runnable(pid: int) -> bool:
    """Whether a thread of the process works, or would if there were a processor for it."""
    try:
        states = [_fields(task)[0] for task in (_PROC / str(pid) / "task").iterdir()]
    except OSError:  # the process, or one of its threads, has ended
        return False
    return "R" in states


def _fields(task: Path) -> list[str]:
    """Return the fields of a thread's `stat` after its name: the state first."""
    return (task / "stat").read_text().rpartition(")")[2].split()


def _task_seconds(task: Path) -> float:
    try:
        return int((task / "schedstat").read_text().split()[0]) / _NANO
    except FileNotFoundError:
        fields = _fields(task)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
