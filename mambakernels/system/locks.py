"""Locks between processes, by name; a process that waits for one under the root reports what it waits for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process
from mambakernels.system.files import remove_abandoned

if TYPE_CHECKING:
    from filelock import BaseFileLock

_IN_USE = "in-use"
_MEASURING = "MAMBAKERNELS_MEASURING"
_CLAIMANT = "claimant-"
_OWN = "own-"
_ENVIRONMENT = "env-"  # begins the name of an environment's lock
# A shorter wait is not reported; threads of one process wait for each other as well.
_UNNOTICED_SECONDS = 0.2
_CHECK_SECONDS = 0.5  # after which a thread that waits notices that it was stopped


@contextmanager
def locked(root: Root, name: str, *, why: str = "", progress: Progress = silent) -> Iterator[None]:
    """Hold the lock of that name, after waiting for the process that has it. The lock ends with its process.

    `why` says what the process that has it does.
    """
    lock = _lock(root, name)
    _acquire(lock, why or f"another process is at work on {name.removeprefix(_ENVIRONMENT)}", progress)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_if_free(root: Root, name: str) -> Iterator[bool]:
    """Hold the lock of that name if no process has it; yield whether it is held."""
    lock = _lock(root, name)
    try:
        yield _is_free_and_now_held(lock)
    finally:
        lock.release()  # does nothing unless it is held


@contextmanager
def measuring(root: Root, *, progress: Progress = silent) -> Iterator[None]:
    """Measure, while no other process of this machine that shares the root does; wait for one that does.

    What this process starts meanwhile is part of the same measurement and waits for nothing.
    """
    if os.environ.get(_MEASURING):
        yield
        return
    import platform  # slow to import

    with locked(root, f"measuring-{platform.node()}", why="another measurement is going on", progress=progress):
        os.environ[_MEASURING] = "1"
        try:
            yield
        finally:
            del os.environ[_MEASURING]


def _nothing() -> None:
    """Do nothing."""


@contextmanager
def using_packages(root: Root, *, alone: Callable[[], None] = _nothing, progress: Progress = silent) -> Iterator[None]:
    """Keep the package cache from being emptied; any number of processes may use it at once.

    `alone` is called first if no other process uses it.
    """
    # Not filelock's ReadWriteLock: that is an SQLite database, which many network file systems do not support.
    with locked(root, "packages", progress=progress):
        if not any(_is_held(path) for path in root.locks.glob(f"{_IN_USE}-*.lock")):
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


def _is_held(path: Path) -> bool:
    """Whether a process holds a lock; if none does, as it was killed, remove the lock's file."""
    if not path.exists():
        return False
    lock = _file_lock(path)
    if not _is_free_and_now_held(lock):
        return True
    lock.release()
    path.unlink(missing_ok=True)
    return False


def _is_free_and_now_held(lock: BaseFileLock) -> bool:
    import filelock

    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    return True


def _lock(root: Root, name: str) -> BaseFileLock:
    root.locks.mkdir(parents=True, exist_ok=True)
    return _file_lock(root.locks / f"{name}.lock")


def _file_lock(path: Path) -> BaseFileLock:
    import filelock

    return filelock.FileLock(path, thread_local=False)


def _path(lock: BaseFileLock) -> Path:
    return Path(lock.lock_file)


def _acquire(lock: BaseFileLock, why: str, progress: Progress) -> None:
    import filelock

    try:
        lock.acquire(timeout=_UNNOTICED_SECONDS, poll_interval=0.005)
    except filelock.Timeout:
        progress(Event("wait", why))
        while not lock.is_locked:
            process.check_stopped()
            with contextlib.suppress(filelock.Timeout):
                lock.acquire(timeout=_CHECK_SECONDS)


@contextmanager
def claiming(folder: Path, root: Root) -> Iterator[Claims]:
    """Yield claims to names in a folder; they lie in a hidden folder there, which the last process removes.

    It removes the unfinished files, too, that processes left there which were killed before.
    """
    claims, begin = Claims(folder, root), time.time()
    claims.open()
    try:
        yield claims
    finally:
        if claims.close():
            remove_abandoned(folder, before=begin)


class Claims:
    """Names in a folder that one process works on at a time; the claims of a process that was killed count no more."""

    def __init__(self, folder: Path, root: Root) -> None:
        self._folder = folder / ".claims"
        self._root = root
        self._table = f"claims-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}"
        self._token = secrets.token_hex(8)
        self._alive = _file_lock(self._folder / f"{_CLAIMANT}{self._token}")
        self._own = self._folder / f"{_OWN}{self._token}"

    def open(self) -> None:
        """Begin: from now on claims by this object count."""
        with locked(self._root, self._table):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._alive.acquire()
            self._own.write_text(self._token, encoding="utf-8")

    def close(self) -> bool:
        """Give up all claims; return whether no other process has any."""
        with locked(self._root, self._table):
            self._alive.release()
            _path(self._alive).unlink(missing_ok=True)
            self._own.unlink(missing_ok=True)
            # Those of processes that were killed go, too. There is nothing if a notebook has deleted the folder.
            for path in list(self._folder.glob("*")):
                if path.name.startswith(_CLAIMANT):
                    _is_held(path)
                elif not self._is_alive_other(path):
                    path.unlink()
            try:
                self._folder.rmdir()
            except OSError:  # another process has claims there
                return False
        return True

    def take(self, name: str) -> bool:
        """Claim a name; False if another process, or another user of this class, has it."""
        claim = self._folder / name
        with contextlib.suppress(OSError):  # there is one already, or this file system has no links
            os.link(self._own, claim)  # one step, which takes a tenth of the lock's time
            return True
        with locked(self._root, self._table):
            if self._is_alive_other(claim):
                return False
            self._take_over(claim)
            return not self._is_alive_other(claim)

    def _take_over(self, claim: Path) -> None:
        """Put our claim where there is none, or that of a process that was killed."""
        spare = self._folder / f"{_OWN}{secrets.token_hex(8)}"
        spare.write_text(self._token, encoding="utf-8")
        try:
            os.link(spare, claim)
        except FileExistsError:
            if not self._is_alive_other(claim):  # nobody else changes it: links fail, and the lock is ours
                spare.replace(claim)
        except OSError:  # without links, all claims are made under the lock
            spare.replace(claim)
        finally:
            spare.unlink(missing_ok=True)

    def release(self, name: str) -> None:
        """Give up the claim to a name."""
        (self._folder / name).unlink(missing_ok=True)

    def _is_alive_other(self, claim: Path) -> bool:
        """Whether a claim is there that another process holds."""
        try:
            token = claim.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return bool(token) and token != self._token and _is_held(self._folder / f"{_CLAIMANT}{token}")
