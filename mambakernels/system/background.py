"""Coroutines in the background: on an event loop in another thread, with their progress in this one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

from mambakernels.progress import Event, Progress

T = TypeVar("T")


def in_a_thread(work: Callable[[Progress], Coroutine[Any, Any, T]], progress: Progress) -> T:
    """Run a coroutine on a loop in another thread (a notebook's thread has a loop already).

    Its events go to `progress` in this thread; an exception here, Ctrl-C included, cancels it and waits
    until it has cleaned up.
    """
    events: SimpleQueue[Event | None] = SimpleQueue()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Future[T]]] = Future()

    async def main() -> T:
        task = asyncio.ensure_future(work(events.put))
        begun.set_result((asyncio.get_running_loop(), task))
        return await task

    with ThreadPoolExecutor(1, "mambakernels") as pool:
        outcome = pool.submit(lambda: asyncio.run(main()))
        outcome.add_done_callback(lambda _: events.put(None))
        try:
            for event in iter(events.get, None):
                progress(event)
        except BaseException:
            loop, task = begun.result()
            with contextlib.suppress(RuntimeError):  # it has just ended, and closed its loop
                loop.call_soon_threadsafe(task.cancel)
            raise
    return outcome.result()
