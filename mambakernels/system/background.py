"""Coroutines in the background: on an event loop in another thread, with their progress in this one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from mambakernels.progress import Event, Progress
from mambakernels.system import process

T = TypeVar("T")
_ENDED, _STOP = Event("ended"), Event("stop")


# What zmq waits with; Windows' default loop lacks it, so that zmq starts a thread for each and warns.
_loop_factory = asyncio.SelectorEventLoop if sys.platform == "win32" else asyncio.new_event_loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that talks to kernels to its end, as `asyncio.run` does."""
    if sys.platform != "win32" or sys.version_info < (3, 11):
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        return runner.run(work)


def in_a_thread(work: Callable[[Progress], Coroutine[Any, Any, T]], progress: Progress) -> T:
    """Run a coroutine on a loop in another thread (a notebook's thread has a loop already).

    Its events go to `progress` in this thread; an exception here, Ctrl-C included, cancels it and waits
    until it has cleaned up. So does `stop` of this thread's `process.Group`, which raises `process.Stopped` here.
    """
    events: SimpleQueue[Event] = SimpleQueue()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Future[T]]] = Future()
    outcome: Future[T] = Future()

    async def main() -> T:
        task = asyncio.ensure_future(work(events.put))
        begun.set_result((asyncio.get_running_loop(), task))
        return await task

    def work_there() -> None:
        try:
            outcome.set_result(run(main()))
        except BaseException as error:  # noqa: BLE001 (raised in the thread that waits)
            outcome.set_exception(error)
        events.put(_ENDED)

    # A daemon: the interpreter's exit would wait for others before it calls exit handlers, which may stop this one.
    thread = threading.Thread(target=work_there, name="mambakernels", daemon=True)
    thread.start()
    with process.on_stop(lambda: events.put(_STOP)):
        try:
            _pass_on(events, progress)
        except BaseException:
            loop, task = begun.result()
            with contextlib.suppress(RuntimeError):  # it has just ended, and closed its loop
                loop.call_soon_threadsafe(task.cancel)
            raise
        finally:
            thread.join()
    return outcome.result()


def _pass_on(events: SimpleQueue[Event], progress: Progress) -> None:
    """Call `progress` with each event until the last; Stopped once the thread's group was stopped."""
    while (event := events.get()) is not _ENDED:
        if event is _STOP:
            raise process.Stopped
        progress(event)


class LoopThread:
    """An event loop in a thread of its own, for what goes on between calls; `close` ends it."""

    def __init__(self) -> None:
        self._loop = _loop_factory()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mambakernels", daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine there, and return the future of its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End the loop and its thread; what still runs there is cancelled."""
        if self._loop.is_closed():
            return
        self.begin(_cancel_others()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
