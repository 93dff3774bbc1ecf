"""Scratch folders with short names: removed at their end, or by the next process if theirs was killed."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PREFIX = "mk-"
_LOCK = "lock"
_YOUNG_SECONDS = 5.0  # the process that makes a folder may not have its lock yet


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder, and remove it at the end."""
    folder = _SHELTER.take()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _SHELTER.give_back()


class _Shelter:
    """The folder that holds all scratch folders of this process; the lock in it says that the process lives."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._process = 0
        self._used = 0
        self._folder = Path()
        self._lock: BaseFileLock | None = None

    def take(self) -> Path:
        """Return a new folder."""
        with self._guard:
            if self._process != os.getpid():  # the first time, or after a fork
                self._process, self._used = os.getpid(), 0
            if self._used == 0:
                self._open()
            folder = self._folder / str(next(self._numbers))
            folder.mkdir()
            self._used += 1
            return folder

    def give_back(self) -> None:
        """Take note that a folder is gone; the last one takes the shelter with it."""
        with self._guard:
            self._used -= 1
            if self._used == 0 and self._process == os.getpid():
                assert self._lock is not None
                self._lock.release()
                shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self) -> None:
        for abandoned in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            _remove_if_abandoned(abandoned)
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = _lock(self._folder)
        self._lock.acquire()


_SHELTER = _Shelter()


def _remove_if_abandoned(folder: Path) -> None:
    """Remove the folder of a process that was killed; those of other users and of living processes stay."""
    import filelock

    with contextlib.suppress(OSError, filelock.Timeout):  # it lives, or another process removes it now
        state = folder.lstat()
        is_ours = not hasattr(os, "getuid") or state.st_uid == os.getuid()
        if not is_ours or folder.is_symlink() or time.time() - state.st_mtime < _YOUNG_SECONDS:
            return
        if not (folder / _LOCK).exists():
            return
        with _lock(folder).acquire(timeout=0):
            shutil.rmtree(folder)


def _lock(folder: Path) -> BaseFileLock:
    import filelock

    return filelock.FileLock(folder / _LOCK, thread_local=False)
