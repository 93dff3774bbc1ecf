"""Cells executed and recorded: what a kernel sends becomes the outputs of its cells, in the order a reader saw."""

from __future__ import annotations

import ast
import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete

from mambakernels.runs.messages import MessageNumbers, drawn, process_of
from mambakernels.runs.notebooks import Json, source_of, tags_of
from mambakernels.runs.records import Failure
from mambakernels.runs.session import OUTPUT_SECONDS, CellRaisedError, RunStoppedError, without_colours

ALLOWED_TO_RAISE = "raises-exception"

_POLL_SECONDS = 0.1
_INTERRUPT_SECONDS = 2.0
_QUIET_SECONDS = 2.0  # without a message after the reply, and the kernel is asked whether more comes
_GAP_SECONDS = 1.0  # threads of the kernel may send in another order than they number
_TOO_MUCH = "it sent more than could be queued"
_WITHOUT_ERROR = frozenset(["", "0", "None"])  # what `sys.exit` was given


class Recorder(NotebookClient):
    """Executes the cells of one notebook on one kernel and takes up what the kernel sends, whenever it comes.

    An output goes to the cell that caused it, also when that cell has ended. Text of one stream is joined only where
    nothing came in between. `client` is the kernel's; `death` returns None while the kernel lives, or else why not.
    `interrupt` interrupts it. `printed` gets each text of a stream as it comes.
    """

    def __init__(
        self,
        notebook: Any,
        client: Any,
        death: Callable[[], Awaitable[Failure | None]],
        *,
        interrupt: Callable[[], Awaitable[None]],
        printed: Callable[[str], None],
    ) -> None:
        super().__init__(notebook)
        self.kc = client  # by which nbclient's output widgets answer the kernel
        self._clearing: set[int] = set()
        self._client = client
        self._death = death
        self._interrupt = interrupt
        self._printed = printed
        self._cells: dict[str, int] = {}
        self._replies: dict[str, asyncio.Future[Json]] = {}
        self._idle: dict[str, asyncio.Event] = {}
        self._numbers = MessageNumbers()
        self._questions: set[str] = set()
        self._answered = False
        self._last = time.monotonic()
        self._exiting = False
        self._started: set[str] = set()
        self._readers: list[asyncio.Task[None]] = []

    def listen(self) -> None:
        """Begin to read the kernel's messages; its channels are open."""
        self._readers = [asyncio.create_task(self._read_outputs()), asyncio.create_task(self._read_replies())]

    async def execute_at(self, index: int, timeout: float | None) -> bool:
        """Execute one cell and return whether the notebook goes on: it may have asked to exit, without an error.

        `RunStoppedError` if it raises or takes longer than `timeout`, or the kernel dies.
        """
        cell = self.nb.cells[index]
        cell.metadata["execution"] = {}  # nbclient puts the times of the messages there
        may_raise = ALLOWED_TO_RAISE in tags_of(cell)
        request = self._client.execute(
            source_of(cell), store_history=True, allow_stdin=False, stop_on_error=not may_raise
        )
        self._cells[request] = index
        self._replies[request] = asyncio.get_running_loop().create_future()
        self._idle[request] = asyncio.Event()
        self._numbers.begin()
        self._questions, self._answered = set(), False
        try:
            reply = await self._completed(request, timeout)
            await self._all_received()
        finally:
            _settle(cell)
        self._exiting = any(payload.get("source") == "ask_exit" for payload in reply.get("payload") or ())
        if reply["status"] == "ok" or may_raise:
            return not self._exiting
        if reply.get("ename") == "SystemExit" and reply.get("evalue") in _WITHOUT_ERROR:  # as papermill has it
            return False
        raise CellRaisedError(_raised(reply, cell))

    async def evaluate(self, expression: str, timeout: float) -> str | None:
        """Return the value of a Python expression that is a text; None if it has none, or not within `timeout`."""
        if self._exiting:
            return None
        request = self._client.execute("", silent=True, allow_stdin=False, user_expressions={"value": expression})
        self._replies[request] = asyncio.get_running_loop().create_future()
        try:
            reply = await asyncio.wait_for(self._replies[request], timeout)
            return str(ast.literal_eval(reply["user_expressions"]["value"]["data"]["text/plain"]))
        except (asyncio.TimeoutError, KeyError, ValueError, SyntaxError):
            return None

    async def stop(self) -> None:
        """Stop reading the kernel's messages."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for cell in self.nb.cells:
            _settle(cell)

    def output(self, outs: list[Any], msg: Json, display_id: str | None, cell_index: int) -> Any:
        """Take up one output; text that continues the last output is added to it."""
        if self._is_hooked(msg):  # an output widget takes it up
            return super().output(outs, msg, display_id, cell_index)
        content = msg["content"]
        self.clear_before_next_output = cell_index in self._clearing
        self._clearing.discard(cell_index)
        last = outs[-1] if outs and not self.clear_before_next_output else None
        if msg["msg_type"] == "stream" and last and last.get("name") == content["name"]:
            if isinstance(last["text"], str):
                last["text"] = [last["text"]]  # a list while it grows: joining each time would take quadratic time
            last["text"].append(content["text"])
            return last
        return super().output(outs, msg, display_id, cell_index)

    def clear_output(self, outs: list[Any], msg: Json, cell_index: int) -> None:
        """Clear the outputs of a cell: now, or when its next one comes."""
        if not self._is_hooked(msg):
            self._clearing.discard(cell_index)
            if msg["content"].get("wait"):
                self._clearing.add(cell_index)
                return
        super().clear_output(outs, msg, cell_index)

    def _is_hooked(self, message: Json) -> bool:
        return bool(self.output_hook_stack[message["parent_header"].get("msg_id")])

    async def _completed(self, request: str, timeout: float | None) -> Json:
        """Wait for the reply and for the outputs before it."""
        reply, idle = self._replies[request], self._idle[request]
        both = asyncio.gather(asyncio.shield(reply), idle.wait())
        end = math.inf if timeout is None else time.monotonic() + timeout
        try:
            while not both.done():
                left = math.inf if reply.done() else max(0.0, end - time.monotonic())
                ended, _ = await asyncio.wait({both}, timeout=min(_POLL_SECONDS, left))
                if not ended:
                    await self._check(both, reply, end=end, timeout=timeout)
        finally:
            both.cancel()
            await asyncio.gather(both, return_exceptions=True)
        return reply.result()

    async def _check(
        self, both: asyncio.Future[Any], reply: asyncio.Future[Json], *, end: float, timeout: float | None
    ) -> None:
        for reader in self._readers:
            if reader.done():
                reader.result()  # raises what stopped it
        now = time.monotonic()
        if self._answered and not both.done():
            raise RunStoppedError(Failure("OutputLost", f"The last messages of the cell were lost: {_TOO_MUCH}."))
        if not reply.done() and now >= end:
            late = f"The cell took longer than {timeout:g} seconds."
            raise RunStoppedError(Failure("TimeoutError", late, traceback=await self._interrupted(both, reply)))
        if reply.done() and now - self._last > OUTPUT_SECONDS:
            late = f"Outputs were still missing {OUTPUT_SECONDS:g} seconds after the cell had ended."
            raise RunStoppedError(Failure("TimeoutError", late))
        if reply.done() and now - self._last > _QUIET_SECONDS * (len(self._questions) + 1):
            # Messages come in order or never: what was published before the answer is lost if the answer is here first.
            self._questions.add(self._client.kernel_info())
        if len(self._started) > 1:
            raise RunStoppedError(Failure("KernelDied", "The kernel restarted itself and has lost what was defined."))
        if death := await self._death():
            await asyncio.sleep(_POLL_SECONDS)  # what it sent before is still to be read
            if not both.done():
                raise RunStoppedError(death)

    async def _interrupted(self, both: asyncio.Future[Any], reply: asyncio.Future[Json]) -> str:
        """Interrupt the cell and return the traceback, which says where it was; an empty text if it does not end."""
        await self._interrupt()
        await asyncio.wait({both}, timeout=_INTERRUPT_SECONDS)
        return without_colours("\n".join(reply.result().get("traceback", ()))) if reply.done() else ""

    async def _all_received(self) -> None:
        """Make sure that no message of a long cell was lost on the way."""
        end = time.monotonic() + _GAP_SECONDS
        while missing := self._numbers.missing():
            if time.monotonic() > end:
                lost = f"{missing} messages of the kernel were lost: {_TOO_MUCH}."
                raise RunStoppedError(Failure("OutputLost", lost))
            await asyncio.sleep(_POLL_SECONDS)

    async def _read_outputs(self) -> None:
        while True:
            message = await self._client.iopub_channel.get_msg(timeout=None)
            self._last = time.monotonic()
            self._answered |= message["parent_header"].get("msg_id") in self._questions and _is_idle(message)
            self._numbers.saw(message)
            self._started.update(process_of(message))
            self._take(message)

    async def _read_replies(self) -> None:
        while True:
            message = await self._client.shell_channel.get_msg(timeout=None)
            self._numbers.saw(message)
            waiting = self._replies.get(message["parent_header"].get("msg_id"))
            if waiting is not None and not waiting.done():
                self._last = time.monotonic()
                waiting.set_result(message["content"])

    def _take(self, message: Json) -> None:
        request = message["parent_header"].get("msg_id")
        index = self._cells.get(request)
        if index is None:
            return
        if message["msg_type"] == "stream":
            self._printed(message["content"]["text"])
        try:
            self.process_message(message, self.nb.cells[index], index)
        except CellExecutionComplete:
            self._idle[request].set()


def _is_idle(message: Json) -> bool:
    return bool(message["msg_type"] == "status" and message["content"].get("execution_state") == "idle")


def _settle(cell: Any) -> None:
    """Join the parts of each text, and leave out what a progress bar drew over."""
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            text = output["text"]
            output["text"] = drawn(text if isinstance(text, str) else "".join(text))


def _raised(reply: Json, cell: Any) -> Failure:
    """Return the failure that a reader sees, else the one that a reply describes.

    Where an object's `repr` raises, IPython replies `NoneType: None`.
    """
    shown = [output for output in cell.outputs if output["output_type"] == "error"]
    said = shown[-1] if shown else reply
    return Failure(
        str(said.get("ename", "Error")),
        str(said.get("evalue", "")),
        traceback=without_colours("\n".join(said.get("traceback", ()))),
    )
