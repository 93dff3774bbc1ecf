"""The memory of a kernel and the processes it starts, as long as they are on this machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import psutil

from mambakernels.runs.records import Failure
from mambakernels.system.quantities import memory_in_words

_TREE_SECONDS = 0.5  # finding the children of a process looks at every process of the machine


class MemoryWatch:
    """Says when a process and its children hold more memory than they may, in bytes."""

    def __init__(self, pid: int, limit: int) -> None:
        self._kernel = psutil.Process(pid)
        self._limit = limit
        self._children: list[psutil.Process] = []
        self._looked = 0.0

    def excess(self) -> Failure | None:
        """Return the failure of a run that holds too much now, else None."""
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended, which the next look finds out
            if time.monotonic() - self._looked > _TREE_SECONDS:
                self._looked = time.monotonic()
                self._children = self._kernel.children(recursive=True)
            tree = [self._kernel, *self._children]
            if _resident(tree) > self._limit and (held := _held(tree)) > self._limit:
                said = f"The run's processes held {memory_in_words(held)} of memory, and may hold "
                return Failure("MemoryLimit", f"{said}{memory_in_words(self._limit)}.")
        return None


def _resident(processes: Iterable[psutil.Process]) -> int:
    """Return the memory of processes, where each page that they share counts several times."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def _held(processes: Iterable[psutil.Process]) -> int:
    """Return the memory of processes, where they share each page that they share; it takes longer."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            try:
                known = process.memory_full_info()
            except psutil.AccessDenied:  # of another user
                total += process.memory_info().rss
            else:
                total += getattr(known, "pss", known.uss)
    return total
