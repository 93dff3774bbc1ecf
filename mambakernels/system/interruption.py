"""The signals that end a program: SIGINT and SIGTERM, raised in the main thread, and its exit status after them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_STATUS = 128  # and the signal's number, as a shell reports it


class Interrupted(SystemExit):
    """A signal asked the program to end; it does with status 130 after SIGINT and 143 after SIGTERM."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted on SIGINT and SIGTERM: on the way out, children are stopped and half-made things removed.

    What catches it, to print what there is, may go on: the block then ends with Interrupted all the same, unless it
    ends with an error. It is not a KeyboardInterrupt, for which the command-line library has a message.
    """
    received: list[Interrupted] = []

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        received.append(Interrupted(_STATUS + number))
        raise received[-1]

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a script's background job ignores SIGINT
            signal.signal(number, stop)
    try:
        yield
    except SystemExit as ended:
        if received and ended not in received:
            raise received[0] from ended
        raise
    if received:
        raise received[0]
