"""A terminal to try interactive programs in: what is typed, what is on the screen, and the status in the end."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.screen = ""
        import pty  # Windows has none

        self._status: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], list(argv), dict(env))
            finally:
                os._exit(99)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, text: str, *, seconds: float = 120) -> None:
        """Wait until the text is on the screen, and forget all up to there."""
        end = time.monotonic() + seconds
        while text not in self.screen:
            assert time.monotonic() < end, f"{text!r} did not come: {self.screen!r}"
            assert self._read(), f"it ended before {text!r}: {self.screen!r}"
        self.screen = self.screen.partition(text)[2]

    def status(self, *, seconds: float = 120) -> int:
        """Wait for the end; the status as a shell has it."""
        end = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < end, f"it does not end: {self.screen!r}"
        self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status if self._status >= 0 else 128 - self._status

    def close(self) -> None:
        os.close(self._fd)
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def _read(self) -> bool:
        """Read for a moment; whether there can be more."""
        if not select.select([self._fd], [], [], 0.2)[0]:
            return True
        try:
            read = os.read(self._fd, 65536)
        except OSError:  # Linux' way to say that nobody has the terminal open any more
            return False
        self.screen += read.decode("utf-8", errors="replace")
        return bool(read)


@contextmanager
def terminal(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program on a terminal, and leave nothing of it."""
    running = Terminal(argv, env)
    try:
        yield running
    finally:
        running.close()
