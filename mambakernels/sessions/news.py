"""News from the loop of a session to the thread that waits for it: at most so often, and the last at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from mambakernels.progress import Event, Progress

Tell = Callable[[Event | None], None]
"""Called on the loop with a step of progress, or None when there is more to show."""

_QUIET_SECONDS = 0.15  # before the first call of `show`: most cells have ended by then
_PAUSE_SECONDS = 0.1
_WAKE_SECONDS = 0.25  # Ctrl-C just before a wait does not end it, nor one on Windows at all
_WAKE = object()


class News:
    """What a thread waits for: progress, and that there is more to show.

    `show` returns for how many seconds it wants not to be called again.
    """

    def __init__(self, progress: Progress, show: Callable[[], float | None]) -> None:
        self._progress = progress
        self._show = show
        self._queue: SimpleQueue[object] = SimpleQueue()

    def tell(self, event: Event | None) -> None:
        """Take note of news; called on the loop."""
        if event is not None or self._queue.empty():  # one that waits will see everything
            self._queue.put(event)

    def wake(self) -> None:
        """Wake the thread that waits, as it may have ended."""
        self._queue.put(_WAKE)

    def relay(self, ended: Callable[[], bool]) -> None:
        """Show the news in this thread until it has ended."""
        due = time.monotonic() + _QUIET_SECONDS
        while not ended():
            wanted = self._wait(_WAKE_SECONDS)
            while not ended() and (left := due - time.monotonic()) > 0:
                wanted |= self._wait(left)
            if wanted and not ended():
                due = time.monotonic() + max(_PAUSE_SECONDS, self._show() or 0.0)

    def _wait(self, timeout: float) -> bool:
        """Wait for one piece of news, and return whether there is something to show."""
        try:
            news = self._queue.get(timeout=timeout)
        except Empty:
            return False
        if isinstance(news, Event):
            self._progress(news)
        return news is None
