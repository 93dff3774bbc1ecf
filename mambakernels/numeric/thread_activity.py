"""The threads of this process that really work, as the operating system counts them."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from time import perf_counter

import numpy as np

_TASKS = Path("/proc/self/task")
_ORDER = 512  # of the matrices
_BUSY = 0.2  # of the busiest thread's time: far above what a thread needs to wake and sleep again
_SECONDS = (0.1, 0.3, 0.6)  # on a busy machine a thread may get nothing for a tenth of a second


def threads_at_work(expected: int = 1) -> int | None:
    """Return how many threads multiply matrices; None where the system does not report it (only Linux does).

    Looks again, and for longer, while fewer than `expected` were seen: other processes may have had the cores.
    """
    most: int | None = None
    for seconds in _SECONDS:
        working = _seen_working(seconds)
        if working is None:
            return None
        most = max(most or 0, working)
        if most >= expected:
            break
    return most


def _seen_working(seconds: float) -> int | None:
    A = np.ones((_ORDER, _ORDER))
    np.matmul(A, A)
    before, end = _run_times(), perf_counter() + seconds
    for _ in takewhile(lambda _: perf_counter() < end, iter(int, 1)):
        np.matmul(A, A)
    spent = [time - before.get(thread, 0) for thread, time in _run_times().items()]
    return sum(time > _BUSY * max(spent) for time in spent) if spent else None


def _run_times() -> dict[str, int]:
    """Return the nanoseconds each thread of this process has run."""
    files = {task.name: task / "schedstat" for task in _TASKS.iterdir()} if _TASKS.is_dir() else {}
    return {thread: int(file.read_text().split()[0]) for thread, file in files.items() if file.exists()}
