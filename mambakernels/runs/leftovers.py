"""Processes that a notebook leaves behind: found by a mark in their environment, and ended with the kernel.

A kernel starts with a variable that names its run. On Linux every process that descends from it shows that variable in
`/proc/PID/environ`: a daemon too, which has left the kernel's session and its parents. What does not show it is never
touched. Of what started with an environment without that variable (`env -i`) only the kernel's descendants are found.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Iterator

VARIABLE = "MAMBAKERNELS_RUN"
"""The variable that marks a kernel and all that it starts."""

_GRACE_SECONDS = 1.0
_GIVE_UP_SECONDS = 5.0
_POLL_SECONDS = 0.02


def new_mark() -> str:
    """Return a value of `VARIABLE` that no other run has, and that is as long as any other."""
    return uuid.uuid4().hex


async def end_leftovers(mark: str) -> None:
    """End the processes that still have a mark: by SIGTERM and, if they do not end within a second, by SIGKILL.

    So does what they start meanwhile. One that the system does not let go in time stays.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    asked: set[int] = set()
    while (passed := loop.time() - begin) < _GIVE_UP_SECONDS and (found := dict(_marked(mark))):
        for pid, handle in found.items():
            with contextlib.suppress(OSError):  # it has just ended, or became another user's
                if passed >= _GRACE_SECONDS or pid not in asked:
                    signal.pidfd_send_signal(handle, signal.SIGKILL if passed >= _GRACE_SECONDS else signal.SIGTERM)
            asked.add(pid)
            os.close(handle)
        await asyncio.sleep(_POLL_SECONDS)


def _marked(mark: str) -> Iterator[tuple[int, int]]:
    """Yield each process with a mark, and a handle of it, so that no other one gets the signal that is meant for it."""
    if sys.platform != "linux":
        return
    wanted = f"{VARIABLE}={mark}".encode()
    for name in os.listdir("/proc"):  # noqa: PTH208 (each run does it: names are enough)
        if name.isdecimal() and wanted in _read(name, "environ"):
            with contextlib.suppress(OSError):  # it has just ended
                handle = os.pidfd_open(int(name))
                if wanted in _read(name, "environ") and b") Z " not in _read(name, "stat"):
                    yield int(name), handle
                else:
                    os.close(handle)


def _read(process: str, name: str) -> bytes:
    try:
        with open(f"/proc/{process}/{name}", "rb") as file:  # noqa: PTH123 (for each process: pathlib takes as long)
            return file.read()
    except OSError:  # another user's, or it has just ended
        return b""
