"""Calls of public functions, made in a thread that can be stopped, and shown as lines of Python that do the same."""

from __future__ import annotations

import atexit
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import mambakernels
from mambakernels import errors
from mambakernels.progress import Progress
from mambakernels.system import process

_LEAVE_SECONDS = 3.0  # to delete what is half-made; Jupyter kills a kernel that takes longer


@dataclass(frozen=True)
class Call:
    """A call of a public function of mambakernels, such as `kernels.register`; as a text, it is a line of Python."""

    function: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.options.items())]
        return f"mambakernels.{self.function}({', '.join(words)})"

    def __call__(self, progress: Progress) -> Any:
        """Make the call; its progress goes to `progress`, if the function reports any."""
        function = attrgetter(self.function)(mambakernels)
        takes = "progress" in inspect.signature(function).parameters
        return function(*self.arguments, **self.options, **({"progress": progress} if takes else {}))


@dataclass(frozen=True)
class CallOutcome:
    """How a call ended: with a value, with an error, or because it was stopped (neither); and after how long."""

    seconds: float
    value: Any = None
    error: Exception | None = None
    stopped: bool = False


class BackgroundCall:
    """A call at work in a thread; `stop` ends it as Ctrl-C would, and it leaves nothing half-made."""

    def __init__(self, call: Call, *, progress: Progress, ended: Callable[[CallOutcome], None]) -> None:
        self._call, self._progress, self._ended = call, progress, ended
        self._group = process.Group()
        self._thread = threading.Thread(target=self._work, daemon=True)
        atexit.register(self._leave)
        self._thread.start()

    def stop(self) -> None:
        """Stop the call; `ended` is called once it has cleaned up."""
        threading.Thread(target=self._group.stop, daemon=True).start()  # it waits for children to end

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; return whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _leave(self) -> None:
        """Stop the call at the end of this process, as when the notebook's kernel is restarted."""
        self._group.stop()
        self.wait(_LEAVE_SECONDS)

    def _work(self) -> None:
        begun = time.monotonic()
        outcome: dict[str, Any] = {}
        try:
            with self._group.joined():
                outcome["value"] = self._call(self._report)
        except process.Stopped:
            outcome["stopped"] = True
        except Exception as error:  # noqa: BLE001 (shown to the user)
            outcome["error"] = error
        atexit.unregister(self._leave)
        self._ended(CallOutcome(time.monotonic() - begun, **outcome))

    def _report(self, event: Any) -> None:
        process.check_stopped()  # also between children, as while a download goes on in this process
        self._progress(event)


def lines_about(error: Exception) -> tuple[str, ...]:
    """Return what is wrong, where, and what to do next, as far as the error knows."""
    if isinstance(error, errors.MambakernelsError):
        return tuple(filter(None, (error.what, error.where, error.next_step)))
    return (f"{type(error).__name__}: {error}", "This is a fault of mambakernels; the same line of Python shows where.")
