"""Progress on stderr: one moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mambakernels.progress import DECISIONS, Event, Lines, Progress, event_in_words
from mambakernels.system.quantities import duration_in_words


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Show events on stderr until the block ends; nothing if `quiet`."""
    if quiet:
        yield lambda _event: None
    elif sys.stderr.isatty():
        with _moving() as show:
            yield show
    else:
        yield _plain()


def _plain() -> Progress:
    lines = Lines()

    def show(event: Event) -> None:
        if text := lines(event):
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    return show


@contextmanager
def _moving() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        SpinnerColumn("line"),  # in ASCII
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting", total=None)
        said: set[str] = set()

        def show(event: Event) -> None:
            text = event_in_words(event)
            if event.step in DECISIONS:
                if text not in said:
                    console.print(text, markup=False, highlight=False)
                    said.add(text)
                return
            bars.update(task, description=text[: max(20, console.width - 45)], completed=event.done or 0)
            bars.tasks[0].total = event.total  # update() ignores None
            bars.tasks[0].finished_time = None  # the clock goes on after a step that was completed

        yield show


class Clock:
    """The time since it was made, for people."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def __str__(self) -> str:
        return duration_in_words(time.perf_counter() - self._started)
