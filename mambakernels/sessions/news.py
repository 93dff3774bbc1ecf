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
_END = object()


class News:
    """What a thread waits for: progress, and that there is more to show.

    `show` returns for how many seconds it wants not to be called again.
    """

    def __init__(self, progress: Progress, show: Callable[[], float | None]) -> None:
        self._progress = progress
        self._show = show
        self._queue: SimpleQueue[object] = SimpleQueue()
        self._ended = False

    def tell(self, event: Event | None) -> None:
        """Take note of news; called on the loop."""
        if event is not None or self._queue.empty():  # one that waits will see everything
            self._queue.put(event)

    def end(self) -> None:
        """Take note that there will be no more."""
        self._queue.put(_END)

    def relay(self) -> None:
        """Show the news in this thread until they end."""
        due = time.monotonic() + _QUIET_SECONDS
        while not self._ended:
            wanted = self._wait(None)
            while not self._ended and (left := due - time.monotonic()) > 0:
                wanted |= self._wait(left)
            if wanted and not self._ended:
                due = time.monotonic() + max(_PAUSE_SECONDS, self._show() or 0.0)

    def _wait(self, timeout: float | None) -> bool:
        """Wait for one piece of news, and return whether there is something to show."""
        try:
            news = self._queue.get(timeout=timeout)
        except Empty:
            return False
        if isinstance(news, Event):
            self._progress(news)
        self._ended = news is _END
        return news is None
