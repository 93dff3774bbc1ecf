"""Locks between processes: by name, under the root; a process that waits gets a progress event that says for what."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent

if TYPE_CHECKING:
    from filelock import BaseFileLock

_IN_USE = "in-use"
_ENVIRONMENT = "env-"  # begins the name of an environment's lock
# A shorter wait is not reported; threads of one process wait for each other as well.
_UNNOTICED_SECONDS = 0.2


@contextmanager
def locked(root: Root, name: str, *, progress: Progress = silent) -> Iterator[None]:
    """Hold the lock of that name, after waiting for the process that has it. The lock ends with its process."""
    lock = _lock(root, name)
    _acquire(lock, f"another process is at work on {name.removeprefix(_ENVIRONMENT)}", progress)
    try:
        yield
    finally:
        lock.release()


def _nothing() -> None:
    """Do nothing."""


@contextmanager
def using_packages(root: Root, *, alone: Callable[[], None] = _nothing, progress: Progress = silent) -> Iterator[None]:
    """Keep the package cache from being emptied; any number of processes may use it at once.

    `alone` is called first if no other process uses it.
    """
    # Not filelock's ReadWriteLock: that is an SQLite database, which many network file systems do not support.
    with locked(root, "packages", progress=progress):
        if not any(_is_held(root, path) for path in root.locks.glob(f"{_IN_USE}-*.lock")):
            alone()
        lock = _lock(root, f"{_IN_USE}-{secrets.token_hex(8)}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        _path(lock).unlink(missing_ok=True)


@contextmanager
def nobody_using_packages(root: Root, *, progress: Progress = silent) -> Iterator[None]:
    """Hold the package cache alone: wait until no process uses it, and keep others from using it meanwhile."""
    with locked(root, "packages", progress=progress):
        for path in root.locks.glob(f"{_IN_USE}-*.lock"):
            lock = _lock(root, path.stem)
            _acquire(lock, "another process is using the package cache", progress)
            lock.release()
            path.unlink(missing_ok=True)
        yield


def _is_held(root: Root, path: Path) -> bool:
    """Whether a process holds a lock; if none does, as it was killed, remove the lock's file."""
    import filelock

    lock = _lock(root, path.stem)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    lock.release()
    path.unlink(missing_ok=True)
    return False


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
