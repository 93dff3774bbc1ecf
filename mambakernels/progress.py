"""What long work says while it goes on: the one event type that engines, channels and runs report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One step forward: `step` names the stage, `detail` its present object, `done` of `total` in its own unit."""

    step: str
    detail: str = ""
    done: float | None = None
    total: float | None = None


Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Report to nobody."""
