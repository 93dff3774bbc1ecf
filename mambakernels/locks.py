"""One process at a time: named locks under the root, and word to those who wait."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent

if TYPE_CHECKING:
    from filelock import BaseFileLock

_IN_USE = "in-use"
# Waiting so long is not worth a word; threads of our own wait for each other as well.
_UNNOTICED_SECONDS = 0.2


@contextmanager
def locked(root: Root, name: str, *, progress: Progress = silent) -> Iterator[None]:
    """Hold the lock of that name; wait for whoever has it. It goes with the process, however that ends."""
    lock = _lock(root, name)
    _acquire(lock, f"another process is at work on {name}", progress)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def using_packages(root: Root, *, progress: Progress = silent) -> Iterator[None]:
    """Keep the package cache from being emptied; any number of processes may use it at once."""
    with locked(root, "packages", progress=progress):
        lock = _lock(root, f"{_IN_USE}-{secrets.token_hex(8)}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        _path(lock).unlink(missing_ok=True)


@contextmanager
def nobody_using_packages(root: Root, *, progress: Progress = silent) -> Iterator[None]:
    """Wait until no process uses the package cache, and keep others from beginning to."""
    with locked(root, "packages", progress=progress):
        for path in root.locks.glob(f"{_IN_USE}-*.lock"):
            lock = _lock(root, path.stem)
            _acquire(lock, "another process is using the package cache", progress)
            lock.release()
            path.unlink(missing_ok=True)
        yield


def _lock(root: Root, name: str) -> BaseFileLock:
    import filelock

    root.locks.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(root.locks / f"{name}.lock")


def _path(lock: BaseFileLock) -> Path:
    return Path(lock.lock_file)


def _acquire(lock: BaseFileLock, why: str, progress: Progress) -> None:
    import filelock

    try:
        lock.acquire(timeout=_UNNOTICED_SECONDS, poll_interval=0.005)
    except filelock.Timeout:
        progress(Event("wait", why))
        lock.acquire()
