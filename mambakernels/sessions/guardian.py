"""Ends the kernels of a session whose process is gone, however that ended.

    PYTHON guardian.py MARK PARENT FILES...

It is a process of its own with nothing but the standard library. MARK is `NAME=VALUE`, a variable that the kernels and
all that they start have; PARENT is the process that they must not outlive. FILES are beginnings of paths of files to
remove. Standard input gives the process ids of the kernels, one a line, and ends when the session does. Kernels whose
interpreter hangs cannot end themselves; this can.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

FAREWELL = b"end\n"
"""What is written last when the session ends by itself."""

_POLL_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_GIVE_UP_SECONDS = 10.0
_LOOKS = 5  # without finding anything: a kernel that has just been forked does not show its variables yet
_CHUNK = 1 << 16


def main() -> None:
    """Wait for the end of the session or of its process, then end what is left."""
    mark, parent = os.fsencode(sys.argv[1]), int(sys.argv[2])
    given = _wait(parent)
    orderly = given.endswith(FAREWELL)
    pids = {int(line) for line in given.split() if line.isdigit()}
    end, looks = time.monotonic() + _GIVE_UP_SECONDS, 1 if orderly else _LOOKS
    while looks and time.monotonic() < end:
        found = _marked(mark) if sys.platform == "linux" else set() if orderly else pids
        for pid in found:
            _kill(pid)
        pids = set()
        looks = looks if found else looks - 1
        if looks:
            time.sleep(_LOOK_SECONDS)
    for beginning in sys.argv[3:]:
        _remove(beginning)


def _wait(parent: int) -> bytes:
    """Return standard input once it ends, or the parent does: a copy of that may hold the pipe."""
    handles = [0]
    with contextlib.suppress(AttributeError, OSError):  # macOS has none
        handles.append(os.pidfd_open(parent))
    given = b""
    while True:
        alive = os.getppid() == parent  # it may be gone before this process has begun: what it wrote is there
        ready = select.select(handles, [], [], _POLL_SECONDS if alive else 0)[0]
        read = os.read(0, _CHUNK) if 0 in ready else b""
        given += read
        if not read and (ready or not alive):
            return given


def _marked(mark: bytes) -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdecimal() and _has(name, mark)}  # noqa: PTH208


def _has(name: str, mark: bytes) -> bool:
    try:
        with open(f"/proc/{name}/environ", "rb") as variables:  # noqa: PTH123 (pathlib is slow to import)
            return mark in variables.read().split(b"\0")
    except OSError:  # another user's, or it has just ended
        return False


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):  # it has just ended
        os.kill(pid, signal.SIGKILL)
    if sys.platform != "linux":
        with contextlib.suppress(OSError):  # nothing else is in its group
            os.killpg(pid, signal.SIGKILL)


def _remove(beginning: str) -> None:
    folder, name = os.path.split(beginning)
    for found in os.listdir(folder):  # noqa: PTH208 (as above)
        if found.startswith(name):
            with contextlib.suppress(OSError):  # it is gone
                os.unlink(os.path.join(folder, found))  # noqa: PTH108, PTH118 (as above)


if __name__ == "__main__":
    main()
