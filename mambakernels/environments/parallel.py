"""Environments made in parallel: each in a thread, by an engine that is a process."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace

from mambakernels import engines
from mambakernels.engines import Engine, EngineName
from mambakernels.environments.creation import create_environment
from mambakernels.environments.environment import Environment
from mambakernels.environments.spec import EnvironmentSpec
from mambakernels.errors import MambakernelsError
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process

_AT_ONCE = 4  # and at most half as many as processors: an engine keeps two busy, or waits for the network
_CHOICES = frozenset({"engine", "channel"})
# On some systems, only a wait with an end can be interrupted.
_TICK_SECONDS = 0.5
# Time to delete half-made environments; a thread that waits for another process's lock is abandoned then.
_GRACE_SECONDS = 10.0


def create_in_parallel(
    specs: Sequence[EnvironmentSpec], *, root: Root, replacing: Collection[str] = (), progress: Progress = silent
) -> list[Environment]:
    """Make environments side by side, each as `create_environment` does; return them in this order.

    Those named in `replacing` take the place of existing ones. When one fails, those at work are completed, no more
    are begun, and the error is raised, with the environment's name. An exception in this thread, as by Ctrl-C, stops
    them all, and nothing half-made is left. `progress` is called in this thread only; an event's detail begins with
    the environment's name.
    """
    team = _Team(specs, root, replacing)
    with team.at_work(min(len(specs), _AT_ONCE, max(2, (os.cpu_count() or 1) // 2))):
        team.report(_each_choice_once(progress))
    return team.results()


class _Team:
    """Threads that make one environment after another, and their results."""

    def __init__(self, specs: Sequence[EnvironmentSpec], root: Root, replacing: Collection[str]) -> None:
        self._specs, self._root, self._replacing = specs, root, replacing
        self._waiting = deque(range(len(specs)))
        self._made: dict[int, Environment] = {}
        self._failed: list[Exception] = []
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._group = process.Group()
        self._threads: list[threading.Thread] = []

    @contextmanager
    def at_work(self, count: int) -> Iterator[None]:
        """Start that many threads; an exception stops them and waits until they have cleaned up."""
        try:
            for _ in range(count):
                self._threads.append(threading.Thread(target=self._work, daemon=True))
                self._threads[-1].start()
            yield
        except BaseException:
            self._stop()
            raise

    def report(self, progress: Progress) -> None:
        """Report the threads' events until all have ended."""
        running = len(self._threads)
        while running:
            try:
                event = self._events.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                continue
            if event is None:
                running -= 1
            else:
                progress(event)

    def results(self) -> list[Environment]:
        """Return the environments; raise the first error, if any."""
        if self._failed:
            raise self._failed[0]
        return [self._made[number] for number in range(len(self._specs))]

    def _stop(self) -> None:
        self._waiting.clear()
        self._group.stop()
        until = time.monotonic() + _GRACE_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        """Make environments in this thread, with engines that stay open until it ends."""
        try:
            with suppress(process.Stopped), self._group.joined(), ExitStack() as stack:
                running: dict[EngineName, Engine] = {}
                while (number := self._next()) is not None:
                    self._attempt(number, running, stack)
        finally:
            self._events.put(None)

    def _next(self) -> int | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _attempt(self, number: int, running: dict[EngineName, Engine], stack: ExitStack) -> None:
        spec = self._specs[number]
        try:
            self._made[number] = self._make(spec, running, stack)
        except Exception as error:  # noqa: BLE001 (raised again in the caller's thread)
            self._waiting.clear()
            if isinstance(error, MambakernelsError):
                error.where = ", ".join(filter(None, (spec.name, error.where)))
            self._failed.append(error)

    def _make(self, spec: EnvironmentSpec, running: dict[EngineName, Engine], stack: ExitStack) -> Environment:
        progress = _about(spec.name, self._events.put)
        if spec.engine not in running:
            engine, why = engines.choose(spec.engine, self._root, progress=progress)
            running[spec.engine] = stack.enter_context(closing(engine))
            progress(Event("engine", why))
        engine = running[spec.engine]
        return create_environment(
            spec, root=self._root, engine=engine, replacing=spec.name in self._replacing, progress=progress
        )


def _about(name: str, progress: Progress) -> Progress:
    """Put the environment's name into each event, except for choices, which are the same for all."""
    return lambda event: progress(
        event if event.step in _CHOICES else replace(event, detail=f"{name}: {event.detail}".removesuffix(": "))
    )


def _each_choice_once(progress: Progress) -> Progress:
    said: set[Event] = set()

    def report(event: Event) -> None:
        if event.step not in _CHOICES or event not in said:
            said.add(event)
            progress(event)

    return report
