"""A kernel that stays alive while `bench` calls functions in it, one after another."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mambakernels.bench.kernel_side import MIME_TYPE
from mambakernels.kernels.blas import label
from mambakernels.runs import session
from mambakernels.runs.kernelspecs import Kernel, with_threads
from mambakernels.runs.records import Failure

Json = dict[str, Any]

_PACKAGE = Path(__file__).parents[1]
# All kernels measure with this code, whatever version their environments hold.
_PREPARE = """
import importlib.util, sys
sys.dont_write_bytecode = True
_found = importlib.util.spec_from_file_location("mambakernels", {init!r}, submodule_search_locations=[{folder!r}])
sys.modules["mambakernels"] = importlib.util.module_from_spec(_found)
_found.loader.exec_module(sys.modules["mambakernels"])
from mambakernels.bench import kernel_side
"""


@dataclass
class LiveKernel:
    """A kernel's process, started with a number of threads; once `failure` is set, it no longer answers."""

    kernel: Kernel
    threads: int | None
    facts: Json = field(default_factory=dict)
    failure: Failure | None = None
    _session: session.Session | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def name(self) -> str:
        """The kernel's name, and its threads if a number was asked for."""
        return label(self.kernel.name, self.threads)

    @property
    def key(self) -> tuple[str, int | None]:
        """Its identity among the others."""
        return self.kernel.name, self.threads

    @property
    def pid(self) -> int | None:
        """Its process id, once `facts` are known."""
        return self.facts.get("pid")

    async def start(self, folder: Path) -> None:
        """Start the process, without waiting until it is ready."""
        try:
            self._session = await self._stack.enter_async_context(
                session.start(with_threads(self.kernel, self.threads), folder)
            )
        except session.RunStoppedError as stopped:
            self.failure = stopped.failure

    async def boot(self, timeout: float) -> None:
        """Wait until the kernel is ready, and load our code there."""
        if self._session is None:
            return
        try:
            await self._session.ready(timeout)
            await self._session.run(_PREPARE.format(init=str(_PACKAGE / "__init__.py"), folder=str(_PACKAGE)), timeout)
        except session.RunStoppedError as stopped:
            await self._fail(stopped)

    async def describe(self, timeout: float) -> None:
        """Ask what runs in it, and keep the answer as `facts`."""
        self.facts = await self.ask("report_facts", timeout=timeout) or {}

    async def ask(self, function: str, *words: Any, timeout: float, **options: Any) -> Json | None:
        """Call a function of `kernel_side` there and return its answer; without one, set `failure` and return None."""
        if self._session is None or self.failure is not None:
            return None
        arguments = [*map(repr, words), *(f"{name}={value!r}" for name, value in options.items())]
        try:
            bundles = await self._session.run(f"kernel_side.{function}({', '.join(arguments)})", timeout)
        except session.RunStoppedError as stopped:
            await self._fail(stopped)
            return None
        answers = [bundle[MIME_TYPE] for bundle in bundles if MIME_TYPE in bundle]
        return dict(answers[-1])

    async def stop(self, *, now: bool = False) -> None:
        """End the process; `now`: without waiting until it has answered and its exit handlers have run."""
        if now:
            await self._fail(session.RunStoppedError(Failure("Cancelled", "The comparison was cancelled.")))
        await self._stack.aclose()

    async def _fail(self, stopped: session.RunStoppedError) -> None:
        """End the process at once: it is dead, hangs, or raised an error."""
        self.failure = stopped.failure
        try:
            await self._stack.__aexit__(type(stopped), stopped, stopped.__traceback__)
        except session.RunStoppedError as ended:
            self.failure = ended.failure
        self._stack = AsyncExitStack()
