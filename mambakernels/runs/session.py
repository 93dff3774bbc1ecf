"""One kernel process, from its start to its end, and the cells it executes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from mambakernels.runs import leftovers, processes
from mambakernels.runs.kernelspecs import Kernel
from mambakernels.runs.notebooks import Json, heading_above, source_of
from mambakernels.runs.records import Failure
from mambakernels.system.scratch import scratch_folder

if TYPE_CHECKING:
    from mambakernels.runs.memory import MemoryWatch
    from mambakernels.runs.recorder import Recorder
    from mambakernels.runs.warm import Warm

_POLL_SECONDS = 0.1
_EXIT_POLL_SECONDS = 0.02
_START_POLL_SECONDS = 0.02
OUTPUT_SECONDS = 60  # how long outputs may lag behind the reply to a cell
_RECONNECT_MILLISECONDS = 10  # zmq's own 100 would on average cost 50 ms of each start
_FIRST_LINES = 20
_LAST_LINES = 40
_SOURCE_LINES = 20
_CHARACTERS = 20_000  # of each text of a failure, which the record holds once more
_SOCKET_PATH_BYTES = 100  # sockaddr_un holds 108 on Linux and 104 on macOS
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class RunStoppedError(Exception):
    """The run cannot continue; `failure` says why. It ends up in the record and never reaches the user."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class CellRaisedError(RunStoppedError):
    """A cell raised an exception; its kernel still works."""


class _Manager(AsyncKernelManager):
    """A kernel manager for exactly the kernelspec given, whatever its name (`python` would become `python3`)."""

    def __init__(self, spec: KernelSpec, **traits: Any) -> None:
        super().__init__(**traits)
        self._chosen = spec

    @property
    def kernel_spec(self) -> KernelSpec:
        return self._chosen


class Session:
    """A kernel that was started: wait until it is ready, then execute cells in it."""

    def __init__(self, manager: AsyncKernelManager, log: Path, memory: int | None) -> None:
        self._manager = manager
        self._log = log
        self._read = 0
        self._memory = _watch(manager, memory)
        self._client = manager.client(context=manager.context)
        self._recorder: Recorder | None = None

    @property
    def client(self) -> AsyncKernelClient:
        """The client whose channels are open once the kernel is ready."""
        return self._client

    @property
    def pid(self) -> int | None:
        """The kernel's process, if it is one of this machine."""
        return getattr(self._manager.provisioner, "pid", None)

    async def ready(self, timeout: float) -> Json:
        """Wait until the kernel answers and its outputs reach us; return its `kernel_info_reply`."""
        deadline = time.monotonic() + timeout
        await self._bound(deadline)
        self._client.start_channels(stdin=False, hb=False)
        while True:
            reply = await self._kernel_info(deadline, timeout)
            with contextlib.suppress(Empty):  # not subscribed to its outputs yet: ask again, which causes some
                await self._client.iopub_channel.get_msg(timeout=_POLL_SECONDS)
                break
        if self._recorder is not None:
            self._recorder.listen()
        return reply

    async def _bound(self, deadline: float) -> None:
        """Wait until the kernel has a socket to connect to, if that is a file: zmq would try again and again."""
        if self._client.transport != "ipc":
            return
        socket = f"{self._client.ip}-{self._client.shell_port}"
        while time.monotonic() < deadline and await self._manager.is_alive():
            if os.path.exists(socket):  # noqa: PTH110, ASYNC240 (many times each start, and at once)
                return
            await asyncio.sleep(_START_POLL_SECONDS)

    def attach(self, notebook: Any, *, printed: Callable[[str], None]) -> None:
        """Prepare to execute the cells of this notebook, which takes up their outputs; `printed` gets texts at once."""
        from mambakernels.runs.recorder import Recorder

        self._recorder = Recorder(notebook, self._client, self.death, interrupt=self.interrupt, printed=printed)

    async def execute(self, index: int, timeout: float | None) -> bool:
        """Execute one cell and return whether the notebook goes on, or has asked to exit.

        `RunStoppedError` if it raises, takes longer than `timeout` or the kernel dies.
        """
        assert self._recorder is not None
        try:
            return await self._recorder.execute_at(index, timeout)
        except RunStoppedError as error:
            error.failure = located(error.failure, self._recorder.nb.cells, index)
            raise

    async def run(self, code: str, timeout: float | None = None) -> list[Json]:
        """Execute code that is not in a notebook; return the MIME bundles it displayed, in their order.

        `RunStoppedError` as from `execute`. Printed text is not kept, and the code is not in the kernel's history.
        """
        request = self._client.execute(code, store_history=False, allow_stdin=False)
        end = math.inf if timeout is None else time.monotonic() + timeout
        displayed: list[Json] = []
        failure: Failure | None = None
        while (message := await self._output(request, end, timeout))["msg_type"] != "status" or not _is_idle(message):
            if message["msg_type"] == "display_data":
                displayed.append(message["content"]["data"])
            elif message["msg_type"] == "error":
                failure = _raised(message["content"])
        await self._client.shell_channel.get_msg(timeout=OUTPUT_SECONDS)
        if failure is not None:
            raise CellRaisedError(failure)
        return displayed

    async def evaluate(self, expression: str, timeout: float) -> str | None:
        """Return the value of a Python expression that is a text, without a trace in the notebook; None if it fails."""
        assert self._recorder is not None
        return await self._recorder.evaluate(expression, timeout)

    def keep_widgets(self) -> None:
        """Store the state of the widgets that the cells made in the notebook's metadata."""
        assert self._recorder is not None
        self._recorder.set_widgets_metadata()

    async def stop_listening(self) -> None:
        """Close our side of the kernel's channels."""
        if self._recorder is not None:
            await self._recorder.stop()
        self._client.stop_channels()

    def stderr(self) -> str:
        """Return the output of the kernel's process that ipykernel does not put into cells; shortened."""
        return _excerpt(self._log.read_bytes().decode(errors="replace"))

    def written(self) -> str:
        """Return what the kernel's process has written since the last call, apart from the outputs of cells."""
        with self._log.open("rb") as stream:
            stream.seek(self._read)
            raw = stream.read()
        self._read += len(raw)
        return without_colours(raw.decode(errors="replace"))

    async def _output(self, request: str, end: float, timeout: float | None) -> Json:
        """Return the next message about a request; `RunStoppedError` if the kernel dies, or `end` comes first."""
        while time.monotonic() < end:
            with contextlib.suppress(Empty):
                message: Json = await self._client.iopub_channel.get_msg(timeout=_POLL_SECONDS)
                if message["parent_header"].get("msg_id") == request:
                    return message
                continue
            if not await self._manager.is_alive():
                raise RunStoppedError(await self._exit())
        raise RunStoppedError(Failure("TimeoutError", f"The code took longer than {timeout:g} seconds."))

    async def _kernel_info(self, deadline: float, timeout: float) -> Json:
        request = self._client.kernel_info()
        while time.monotonic() < deadline:
            with contextlib.suppress(Empty):
                reply = await self._client.shell_channel.get_msg(timeout=_POLL_SECONDS)
                if reply["parent_header"].get("msg_id") == request:
                    content: Json = reply["content"]
                    return content
            if not await self._manager.is_alive():
                raise RunStoppedError(await self._exit())
        raise RunStoppedError(Failure("KernelNotReady", f"The kernel did not answer within {timeout:g} seconds."))

    async def interrupt(self) -> None:
        """Interrupt the cell that the kernel executes."""
        await self._manager.interrupt_kernel()

    async def death(self) -> Failure | None:
        """Return None while the kernel lives, or else why it does not."""
        if not await self._manager.is_alive():
            return await self._exit()
        return self._memory.excess() if self._memory else None

    async def _exit(self) -> Failure:
        assert self._manager.provisioner is not None
        return Failure("KernelDied", f"The kernel ended with {_exit_in_words(await self._manager.provisioner.poll())}.")


def located(failure: Failure, cells: Sequence[Any], index: int) -> Failure:
    """Return a failure with its cell: where it is, its source, and the end of what it showed."""
    cell = cells[index]
    return replace(
        failure,
        evalue=_bounded(failure.evalue),
        traceback=_bounded(failure.traceback),
        cell=index + 1,
        prompt=cell.execution_count,
        heading=heading_above(cells, index),
        source=_head(source_of(cell)),
        output=_tail("".join(_texts(cell, "stdout"))),
        stderr=_excerpt("".join(_texts(cell, "stderr"))),
    )


@asynccontextmanager
async def start(
    kernel: Kernel, folder: Path, *, warm: Warm | None = None, memory: int | None = None
) -> AsyncIterator[Session]:
    """Start a kernel in `folder`, by a fork of `warm` if that can be, and yield its session while it is still booting.

    Its processes may hold `memory` bytes. At the end it is shut down: with time to exit after success or a failing
    cell, at once after anything else. What it leaves running ends with it.
    """
    with scratch_folder() as scratch:
        manager, log = _manager(kernel, scratch, warm), scratch / "log"
        session: Session | None = None
        mark = leftovers.new_mark()
        try:
            await _launch(manager, kernel, folder=folder, log=log, mark=mark)
            session = Session(manager, log, memory)
            yield session
            await _stop(manager)
        except RunStoppedError as error:
            if session is not None:
                await (_stop if isinstance(error, CellRaisedError) else _kill)(manager)
                error.failure = _with_stderr(error.failure, session.stderr())
            raise
        finally:
            try:
                await _kill(manager)
                await leftovers.end_leftovers(mark)
                if session is not None:
                    await session.stop_listening()
                await manager.cleanup_resources()
            finally:
                manager.context.destroy(linger=0)


def _manager(kernel: Kernel, scratch: Path, warm: Warm | None) -> AsyncKernelManager:
    traits: Json = {"kernel_name": kernel.name, "connection_file": str(scratch / "kernel.json")}
    context = zmq.asyncio.Context()
    context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MILLISECONDS)
    context.setsockopt(zmq.RCVHWM, 0)  # by default, what comes while 1,000 messages wait to be read is lost
    if kernel.is_ipykernel and _sockets_fit(scratch):
        # No race for a port with other kernels that start now, and no other user of this machine can listen.
        traits |= {"transport": "ipc", "ip": str(scratch / "s")}
    manager = _Manager(kernel.spec, context=context, **traits)
    processes.provide_process(manager, kernel, warm)
    return manager


def _sockets_fit(scratch: Path) -> bool:
    return sys.platform != "win32" and len(os.fsencode(scratch)) < _SOCKET_PATH_BYTES - len("/s-5")


async def _launch(manager: AsyncKernelManager, kernel: Kernel, *, folder: Path, log: Path, mark: str) -> None:
    # Runs would otherwise fill the history that the user's own sessions search.
    options = ["--HistoryManager.hist_file=:memory:"] if kernel.is_ipykernel else []
    env = {**os.environ, leftovers.VARIABLE: mark}
    if kernel.problem is not None:
        raise RunStoppedError(Failure("KernelNotStarted", kernel.problem))
    texts = {"argv": kernel.spec.argv, **{f"env {name}": [value] for name, value in kernel.spec.env.items()}}
    wrong = next(((where, word) for where, words in texts.items() for word in words if not isinstance(word, str)), None)
    if wrong is not None:
        said = f"In the kernelspec's {wrong[0]}, {json.dumps(wrong[1])} must be a text, in quotes."
        raise RunStoppedError(Failure("KernelNotStarted", said))
    try:
        with log.open("wb") as written:
            await manager.start_kernel(
                extra_arguments=options, cwd=str(folder), env=env, stdout=written, stderr=written
            )
    except (OSError, ValueError, TypeError, ImportError) as error:  # ImportError: a provisioner that is not installed
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        failure = Failure("KernelNotStarted", f"{kernel.spec.argv[0]} cannot be started: {reason}.")
        raise RunStoppedError(failure) from error


async def _stop(manager: AsyncKernelManager) -> None:
    """Ask the kernel to exit, so that its exit handlers run; the manager ends it if that takes too long."""
    started = _descendants(manager)
    await manager.request_shutdown()
    await manager.finish_shutdown(pollinterval=_EXIT_POLL_SECONDS)
    processes.end(started)


async def _kill(manager: AsyncKernelManager) -> None:
    if manager.has_kernel:
        started = _descendants(manager)
        await manager.shutdown_kernel(now=True)
        processes.end(started)


def _descendants(manager: AsyncKernelManager) -> set[tuple[int, str]]:
    pid = getattr(manager.provisioner, "pid", None)
    return processes.descendants(pid) if pid else set()


def _watch(manager: AsyncKernelManager, memory: int | None) -> MemoryWatch | None:
    """Return what watches the memory of a kernel; `RunStoppedError` if that is not a process of this machine."""
    if memory is None:
        return None
    from mambakernels.runs.memory import MemoryWatch

    pid = getattr(manager.provisioner, "pid", None)
    if pid is None:
        raise RunStoppedError(Failure("MemoryNotWatched", "The kernel has no process here to watch."))
    return MemoryWatch(pid, memory)


def _is_idle(message: Json) -> bool:
    return bool(message["content"]["execution_state"] == "idle")


def _raised(content: Json) -> Failure:
    return Failure(content["ename"], content["evalue"], traceback=without_colours("\n".join(content["traceback"])))


def _with_stderr(failure: Failure, process: str) -> Failure:
    return replace(failure, stderr=_excerpt("\n".join(filter(None, (process, failure.stderr)))))


def _texts(cell: Any, name: str) -> Iterator[str]:
    """Yield what a cell wrote to a stream, and to standard output also its displays, as texts."""
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == name:
            yield output.text if isinstance(output.text, str) else "".join(output.text)
        elif output.output_type in {"display_data", "execute_result"} and name == "stdout":
            yield f"{output.data.get('text/plain', '')}\n"


def _tail(text: str) -> str:
    lines = without_colours(text[-_CHARACTERS:]).rstrip().splitlines()
    is_whole = len(text) <= _CHARACTERS and len(lines) <= _FIRST_LINES
    return "\n".join([*([] if is_whole else ["…"]), *lines[-_FIRST_LINES:]])


def _bounded(text: str) -> str:
    """Return a text, of a very long one its beginning and its end."""
    half = _CHARACTERS // 2
    return text if len(text) <= _CHARACTERS else f"{text[:half]}…{text[-half:]}"


def without_colours(text: str) -> str:
    """Return a text without a terminal's colours."""
    return _ANSI.sub("", text)


def _excerpt(text: str) -> str:
    """Return the first lines, where a crash says what it is, and the last; without terminal colours."""
    lines = without_colours(text).strip().splitlines()
    if len(lines) > _FIRST_LINES + _LAST_LINES:
        lines[_FIRST_LINES:-_LAST_LINES] = ["…"]
    return _bounded("\n".join(lines))


def _head(source: str) -> str:
    lines = source.strip().splitlines()
    return _bounded("\n".join([*lines[:_SOURCE_LINES], *(["…"] if len(lines) > _SOURCE_LINES else [])]))


def _exit_in_words(status: int | None) -> str:
    if status is None or status == processes.UNKNOWN_STATUS:
        return "an unknown status"
    if status >= 0:
        return f"status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
