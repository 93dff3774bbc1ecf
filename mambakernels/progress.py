"""Progress: the one event type that engines, channels and runs report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One step: `step` names the stage, `detail` its current object, `done` of `total` the amount in any unit.

    `item` names the one of several things at work at once that this is about; `outcome` says how it ended, once it has.
    """

    step: str
    detail: str = ""
    done: float | None = None
    total: float | None = None
    item: str = ""
    outcome: str = ""


Progress = Callable[[Event], None]

DECISIONS = frozenset({"engine", "channel", "done", "note"})
"""Steps that say something once: what was chosen, and why."""
_VERBS = {
    "compile": "compiling",
    "download": "downloading",
    "index": "indexing the channel",
    "link": "linking",
    "pack": "packing",
    "plan": "planned",
    "read": "reading",
    "register": "registering",
    "report": "writing the report:",
    "run": "running",
    "solve": "solving for",
    "stage": "preparing",
    "wait": "waiting:",
}


def event_in_words(event: Event) -> str:
    """Return a line about an event: `linking np-mkl`, `engine: micromamba …`."""
    if event.step in DECISIONS:
        return f"{event.step}: {event.detail}"
    return f"{_VERBS.get(event.step, event.step)} {event.detail}".strip()


def silent(_event: Event) -> None:
    """Ignore the event."""


class Lines:
    """The lines of a log: an event's line whenever the step changes, so that logs stay short."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None
        self._said: set[str] = set()

    def __call__(self, event: Event) -> str | None:
        """Return the line that an event adds; None if it adds none."""
        text = event_in_words(event)
        fresh = event.step in DECISIONS or event.step == "run"
        key, before = (event.step, event.detail if fresh else ""), self._last
        self._last = key
        if key == before or text in self._said:
            return None
        self._said.add(text)
        return text
