"""Runs while they go on, on stderr: a line for each on a terminal, a line when one has ended elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mambakernels.progress import Event
from mambakernels.system.quantities import duration_in_words

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_FEW = 4  # runs, up to which lines without a terminal say each cell
_NOT_RUN = frozenset({"already done", "left out"})
_FRAME_ROWS = 3  # what the total, a line for runs that do not fit, and the cursor take


@dataclass(frozen=True)
class _Line:
    """What a run does now, and since when it has begun."""

    text: str
    since: float


class Watch:
    """Counts runs and keeps what those at work do; called with each event of `run`, in any one thread."""

    def __init__(self) -> None:
        self.total = 0
        self.outcomes: Counter[str] = Counter()
        self._running: dict[str, _Line] = {}
        self._lock = threading.Lock()
        self._begun = self._last_end = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Take note of an event, and show it."""
        with self._lock:
            self._take(event)
        self.show(event)

    def show(self, event: Event) -> None:
        """Show an event at once; this class shows nothing."""

    @property
    def ended(self) -> int:
        """How many runs have ended, or need not run."""
        return sum(self.outcomes.values())

    @property
    def executed(self) -> int:
        """How many runs have ended here."""
        return sum(number for outcome, number in self.outcomes.items() if outcome not in _NOT_RUN)

    def lines(self) -> list[tuple[str, str]]:
        """Return what each run at work does, and for how long it has, in words."""
        now = time.monotonic()
        with self._lock:
            return [(line.text, duration_in_words(now - line.since)) for line in self._running.values()]

    def total_line(self) -> str:
        """Return how many runs are done, failed and left, and about how long the rest takes by those so far."""
        failed = f", {self.outcomes['failed']} failed" if self.outcomes["failed"] else ""
        left = self.total - self.ended
        done = self.ended - self.outcomes["failed"]
        seconds = self._seconds_left(left)
        rest = f", about {duration_in_words(seconds)} left" if seconds > 0 else ""
        return f"{done} of {self.total} done{failed}, {left} to go{rest}"

    def _take(self, event: Event) -> None:
        if event.step == "plan":
            self.total = int(event.total or 0)
        elif event.outcome:
            self._running.pop(event.item, None)
            self.outcomes[event.outcome] += 1
            if event.outcome not in _NOT_RUN:
                self._last_end = time.monotonic()
        elif event.step == "run":
            since = self._running[event.item].since if event.item in self._running else time.monotonic()
            self._running[event.item] = _Line(event.detail, since)

    def _seconds_left(self, left: int) -> float:
        """Return the seconds that the rest takes if it goes on as until the last end; 0 if that is not known."""
        if not self.executed:
            return 0.0
        until_then = self._last_end - self._begun
        return until_then / self.executed * left - (time.monotonic() - self._last_end)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Yield what counts the runs of a call, and shows them unless `quiet`."""
    if quiet:
        yield Watch()
    elif sys.stderr.isatty():
        with _on_terminal() as watch:
            yield watch
    else:
        yield _Plain()


class _Plain(Watch):
    """Writes a line when a run has ended, with its number; of few runs also one for each cell."""

    def show(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        if event.step == "run" and event.outcome:
            text = "" if event.outcome in _NOT_RUN else f"[{self.ended} of {self.total}] {event.detail}"
        elif event.step == "run":
            text = f"running {event.detail}" if self.total <= _FEW else ""
        else:
            text = "" if event.step == "plan" else f"{event.step}: {event.detail}"
        if text:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


@contextmanager
def _on_terminal() -> Iterator[Watch]:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    watch = _Moving(console)
    with Live(_Screen(watch), console=console, transient=True, vertical_overflow="crop"):
        yield watch


class _Moving(Watch):
    """Writes the failures above the lines that move."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def show(self, event: Event) -> None:
        """Write a failure, or what has to be waited for."""
        if event.outcome == "failed" or event.step not in {"run", "plan"}:
            self._console.print(event.detail, markup=False, highlight=False)


class _Screen:
    """The lines of the runs at work and the total, as many as fit."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        lines = self._watch.lines()
        room = max(1, console.height - _FRAME_ROWS)
        for text, seconds in lines[:room]:
            yield Text(_fitted(text, seconds, options.max_width), no_wrap=True, overflow="ellipsis")
        if len(lines) > room:
            yield Text(f"… and {len(lines) - room} more", no_wrap=True, style="dim")
        if self._watch.total:
            yield Text(self._watch.total_line(), no_wrap=True, overflow="ellipsis", style="bold")


def _fitted(text: str, end: str, width: int) -> str:
    """Return a text and its end in one line, the text shortened if need be."""
    from rich.cells import cell_len, set_cell_size

    room = max(1, width - cell_len(end) - 2)
    shown = text if cell_len(text) <= room else f"{set_cell_size(text, room - 1)}…"
    return f"{set_cell_size(shown, room)}  {end}"
