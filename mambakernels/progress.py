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


def silent(_event: Event) -> None:
    """Ignore the event."""
