"""One process at a time: named locks under the root, and word to those who wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent


@contextmanager
def locked(root: Root, name: str, *, progress: Progress = silent) -> Iterator[None]:
    """Hold the lock of that name; wait for whoever has it. It goes with the process, however that ends."""
    import filelock

    root.locks.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(root.locks / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        progress(Event("wait", f"another process is at work on {name}"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
