"""One kernel of a session: started and ended, and the cells it executes, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mambakernels.runs import session
from mambakernels.runs.kernelspecs import Kernel
from mambakernels.runs.messages import MessageNumbers
from mambakernels.runs.records import Failure
from mambakernels.sessions.shown import Json, Shown

MemberState = Literal["off", "starting", "idle", "busy", "dead"]
Changed = Callable[[], None]
"""Called whenever there is more to show."""

_POLL_SECONDS = 0.1
_ALIVE_SECONDS = 0.25  # between looks at whether the kernel lives
_STARTUP_SECONDS = 60.0
_INTERRUPT_SECONDS = 3.0  # that a kernel has to react to an interrupt
_GRACE_SECONDS = 2.0  # to exit
_OUTPUT_KINDS = {"stream", "display_data", "update_display_data", "execute_result", "error", "clear_output"}


@dataclass
class _Request:
    """A request on its way: the outputs it causes, its reply, and when the kernel began and ended it."""

    shown: Shown
    changed: Changed
    reply: Json | None = None
    begun: dt.datetime | None = None
    ended: dt.datetime | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def seconds(self) -> float | None:
        """The time that the kernel took, by its own clock."""
        return (self.ended - self.begun).total_seconds() if self.begun and self.ended else None


class Member:
    """A kernel under the name that the session knows it by; everything here runs on the session's loop."""

    def __init__(self, name: str, kernel: Kernel, folder: Path) -> None:
        self.name = name
        self.kernel = kernel
        self.state: MemberState = "off"
        self.failure: Failure | None = None
        self._folder = folder
        self._session: session.Session | None = None
        self._life: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._requests: dict[str, _Request] = {}
        self._current: _Request | None = None
        self._interrupted = math.inf
        self._numbers = MessageNumbers()
        self._notes: list[str] = []

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return self._session.pid if self._session is not None else None

    async def start(self) -> None:
        """Start the kernel and wait until it is ready; `failure` says why it is not, if so."""
        if self.state == "dead":
            self._notes = ["It was started again, as it had ended: what was defined in it is gone."]
        self.state, self.failure, self._leave = "starting", None, asyncio.Event()
        ready = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(ready))
        await asyncio.wait({ready, self._life}, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """End the kernel: with time to exit if it has nothing to do, at once if it works, hangs or still starts."""
        if self._life is None:
            return
        self._leave.set()
        if self.state == "idle":
            await asyncio.wait({self._life}, timeout=_GRACE_SECONDS)
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        self._life, self.state = None, "off"

    async def interrupt(self) -> None:
        """Interrupt the cell that it executes, or its start; a cell that does not react is given up."""
        if self.state == "starting" and self._life is not None:
            self.failure = Failure("KeyboardInterrupt", "It was interrupted while it started.")
            self._life.cancel()
        elif self._session is not None and self.state == "busy":
            self._interrupted = time.monotonic()
            await self._session.interrupt()

    async def run(self, code: str, shown: Shown, *, timeout: float | None, changed: Changed) -> None:
        """Execute a cell; what it shows goes to `shown`, also that it could not be executed."""
        shown.state = "running"
        request = await self.execute(code, shown, timeout=timeout, changed=changed)
        if request is not None:
            shown.seconds = request.seconds
        if shown.error is None:
            shown.state = "ok"
        changed()

    async def execute(
        self, code: str, shown: Shown, *, timeout: float | None, changed: Changed, visible: bool = True
    ) -> _Request | None:
        """Execute code and return its request once it has ended; `shown.error` says what went wrong, if anything.

        Code that is not `visible` leaves no trace in the kernel's history and prompts.
        """
        if self.state == "busy":
            shown.fail(Failure("KernelBusy", f"{self.name} still executes an earlier cell. Restart it to go on."))
            return None
        if self._session is None or self.state != "idle":
            shown.fail(self.failure or Failure("KernelNotStarted", f"{self.name} does not run."))
            return None
        shown.notes += self._notes
        self._notes.clear()
        self._current = request = _Request(shown, changed)
        self.state, self._interrupted = "busy", math.inf
        self._numbers.begin()
        key = self._session.client.execute(
            code, silent=not visible, store_history=visible, allow_stdin=False, stop_on_error=False
        )
        self._requests[key] = request
        try:
            failure = await self._completed(request, timeout)
        finally:
            self._forget(keep=key)
        if failure is not None:
            shown.fail(failure)
        elif lost := self._numbers.missing():
            shown.notes.append(f"{lost} messages were lost: it sent more than could be queued.")
        return request

    async def _live(self, ready: asyncio.Future[None]) -> None:
        try:
            async with session.start(self.kernel, self._folder) as started:
                self._session = started
                await started.ready(_STARTUP_SECONDS)
                self.state = "idle"
                ready.set_result(None)
                await self._serve(started)
        except session.RunStoppedError as stopped:
            self.failure, self.state = stopped.failure, "dead"
        finally:
            self._session = None
            if self.state != "dead":
                self.state = "off"

    async def _serve(self, started: session.Session) -> None:
        """Read what the kernel sends until it is to leave, or has ended."""
        channels = (started.client.iopub_channel, started.client.shell_channel)
        readers = [asyncio.create_task(self._read(channel)) for channel in channels]
        try:
            while not self._leave.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._leave.wait(), _ALIVE_SECONDS)
                if death := await started.death():
                    raise session.RunStoppedError(death)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _read(self, channel: Any) -> None:
        while True:  # less work than the channel's own `get_msg`, which polls first
            _, parts = channel.session.feed_identities(await channel.socket.recv_multipart())
            try:
                message = channel.session.deserialize(parts)
            except ValueError:  # not signed, or not a message
                continue
            self._numbers.saw(message)
            request = self._requests.get(message["parent_header"].get("msg_id"))
            if request is not None:
                self._take(request, message)

    def _take(self, request: _Request, message: Json) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind in _OUTPUT_KINDS:
            request.shown.take(message)
            request.changed()
        elif kind == "execute_reply":
            request.reply = content
        elif kind == "status" and content["execution_state"] == "busy":
            request.begun = _date(message)
        elif kind == "status" and content["execution_state"] == "idle":
            request.ended = _date(message)
        if request.reply is not None and request.ended is not None:
            request.done.set()
            if request is self._current and self.state == "busy":  # also of a cell that was given up
                self.state = "idle"

    async def _completed(self, request: _Request, timeout: float | None) -> Failure | None:
        """Wait until the request has ended; return why it failed, if it did."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        late = False
        while not request.done.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                left = max(0.0, min(_POLL_SECONDS, end - time.monotonic()))
                await asyncio.wait_for(request.done.wait(), left)
            if not request.done.is_set() and self._life is not None and self._life.done():
                return self.failure or Failure("KernelStopped", "The kernel was stopped.")
            if time.monotonic() >= end and not request.done.is_set():
                late, end = True, math.inf
                await self.interrupt()
            if time.monotonic() > self._interrupted + _INTERRUPT_SECONDS:
                return Failure("KernelHangs", f"{self.name} does not react to an interrupt. Restart it to go on.")
        failure = _raised(request)
        if late and failure is not None:
            words = f"It took longer than {timeout:g} s and was interrupted."
            return replace(failure, ename="TimeoutError", evalue=words)
        return failure

    def _forget(self, *, keep: str) -> None:
        """Forget all requests but one: its threads may still print."""
        self._requests = {key: request for key, request in self._requests.items() if key == keep}


def _date(message: Json) -> dt.datetime:
    """Return when a message was sent; ipyparallel keeps jupyter_client from reading it."""
    date = message["header"]["date"]
    return date if isinstance(date, dt.datetime) else dt.datetime.fromisoformat(date.replace("Z", "+00:00"))


def _raised(request: _Request) -> Failure | None:
    reply = request.reply or {}
    if reply.get("status") != "error":
        return None
    lines = session.without_colours("\n".join(reply.get("traceback", ())))
    return Failure(str(reply.get("ename", "Error")), str(reply.get("evalue", "")), traceback=lines)
