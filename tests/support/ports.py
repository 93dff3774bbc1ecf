"""Ports of kernels that these tests start: no other process takes one before its kernel does.

jupyter_client asks the system for a free port, gives it back and has the kernel take it, a second later on a busy
machine. Meanwhile the system may give it to anybody, and then a kernel never answers. Below the range that the system
gives from, ports are taken by name only.
"""

from __future__ import annotations

import os
import socket
import threading
import zlib
from itertools import count

FIRST, LAST = 10_000, 32_000  # Linux gives from 32,768 on
WORKERS = 16


class Ports:
    """The ports of one worker, each used once in a long time."""

    def __init__(self) -> None:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        share = (LAST - FIRST) // WORKERS
        self._numbers = count(zlib.crc32(run.encode()) % (LAST - FIRST) + worker * share)
        self._lock = threading.Lock()

    def free(self, ip: str) -> int:
        """Return the next port that nobody listens on."""
        with self._lock:
            for number in self._numbers:
                port = FIRST + number % (LAST - FIRST)
                try:
                    with socket.socket() as taken:
                        taken.bind((ip, port))
                except OSError:
                    continue
                return port
        raise AssertionError
