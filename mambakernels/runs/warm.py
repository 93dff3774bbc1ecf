"""Kernels forked from one warm process per kernelspec, which starts them in a fraction of the time.

The warm process runs `kernels/launch/fork.py` with the kernelspec's own program, options and variables. It has imported
ipykernel and nothing that a fork would spoil: no thread, no BLAS, no open file. What cannot be forked starts as usual:
kernels of other languages or with a wrapper around their command, systems other than Linux, an environment whose Python
does more at its start, a folder with a module that would have taken the place of an imported one.

A forked kernel differs from one that was started in this: its parent is the warm process, its command line in the
process table is the warm one, and all kernels of one warm process share the seed of `hash(str)` and the addresses of
libraries. So measurements do not use it.
"""

from __future__ import annotations

import asyncio
import importlib.machinery
import itertools
import json
import os
import select
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from mambakernels.kernels import launcher
from mambakernels.kernels.launcher import Forking
from mambakernels.runs import leftovers
from mambakernels.runs.kernelspecs import Kernel
from mambakernels.runs.notebooks import Json
from mambakernels.runs.processes import UNKNOWN_STATUS, is_local

_READY_SECONDS = 30.0
_END_SECONDS = 3.0
_MODULES = frozenset(importlib.machinery.all_suffixes())


class ForkedKernel:
    """A forked kernel, with the part of `subprocess.Popen` that jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        if self._handle is not None and select.select([self._handle], [], [], 0)[0]:
            os.close(self._handle)
            self._handle, self.returncode = None, UNKNOWN_STATUS
        return self.returncode

    wait = poll  # jupyter_client waits for a process that `poll` says has ended

    def abandon(self) -> None:
        """Watch the process itself from now on, as nobody will say how it ends."""
        try:
            self._handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self.returncode = UNKNOWN_STATUS

    def send_signal(self, number: int) -> None:
        """Send a signal to the kernel alone."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the kernel."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self.send_signal(signal.SIGTERM)


class Warm:
    """The warm process of one kernelspec; it starts with the first kernel, and all kernels end with it."""

    def __init__(self) -> None:
        self.unused = "" if _has_pidfd() else "this system has no pidfd"
        """Why kernels are started as usual; empty as long as they are forked."""
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._printed: IO[bytes] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._env: Mapping[str, str] = {}
        self._imported: frozenset[str] = frozenset()
        self._numbers = itertools.count()
        self._forks: dict[int, asyncio.Future[ForkedKernel | None]] = {}

    async def fork(self, argv: Sequence[str], *, env: Mapping[str, str], folder: str, log: str) -> ForkedKernel | None:
        """Fork a kernel with this command, or return None if it has to be started as usual."""
        forking = launcher.forking([*map(os.path.expanduser, argv)])  # as jupyter_client does
        if self.unused or forking is None or _is_relative(env.get("PYTHONPATH", "")):
            return None
        # jupyter_client adds this one only when it launches.
        env = {name: value for name, value in env.items() if name != "PYTHONEXECUTABLE"}
        env["JPY_PARENT_PID"] = str(os.getpid())
        mark = env[leftovers.VARIABLE]
        env[leftovers.VARIABLE] = "0" * len(mark)  # each kernel writes its own over it
        async with self._starting:
            if self._process is None:
                self.unused = await self._start(forking, env)
        if self.unused or env != self._env or _shadows(folder, self._imported):
            return None
        return await self._request(forking, folder=folder, log=log, mark=mark)

    async def close(self) -> None:
        """End the warm process, and the kernels that still run."""
        self.unused = "it was closed"
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), _END_SECONDS)
            except asyncio.TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reader is not None:
            await self._reader
        if self._printed is not None:
            self._printed.close()

    async def _start(self, forking: Forking, env: Mapping[str, str]) -> str:
        """Start the warm process and wait until it has imported; return why it cannot be used, or an empty text."""
        self._env = env
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *forking.command,
                stdin=pipe,
                stdout=pipe,
                stderr=self._printed,
                cwd="/",
                env=env,
                start_new_session=True,
            )
        except (OSError, ValueError, TypeError) as error:
            return str(error)
        try:
            first = await asyncio.wait_for(self._answer(), _READY_SECONDS)
        except asyncio.TimeoutError:
            self._process.kill()
            return f"it was not ready after {_READY_SECONDS:g} seconds"
        if "ready" not in first:
            return str(first.get("unsound", "its warm process ended"))
        self._imported = frozenset(first["ready"])
        self._reader = asyncio.create_task(self._read())
        return ""

    async def _answer(self) -> Json:
        """Return the next answer; an empty one at the end."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        answer: Json = json.loads(line) if line else {}
        return answer

    async def _request(self, forking: Forking, *, folder: str, log: str, mark: str) -> ForkedKernel | None:
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        request = {
            "number": number,
            "argv": forking.argv,
            "orig_argv": forking.orig_argv,
            "cwd": folder,
            "pwd": _as_a_shell_sees(folder, self._env.get("PWD", "")) if forking.shell else None,
            "log": log,
            "parent": os.getpid(),
            "mark": [leftovers.VARIABLE, mark],
        }
        self._forks[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await self._forks[number]

    async def _read(self) -> None:
        """Take up the answers until the warm process ends."""
        while answer := await self._answer():
            fork = self._forks[answer["number"]]
            if "pid" in answer:
                _begun(fork, ForkedKernel(answer["pid"]))
            else:
                _ended(self._forks.pop(answer["number"]), answer["status"])
        self.unused = self.unused or "its warm process has ended"
        for fork in self._forks.values():
            if not fork.done():
                fork.set_result(None)
            elif not fork.cancelled() and (kernel := fork.result()) is not None:
                kernel.abandon()


class WarmPool:
    """The warm processes of one call of `run`, one per kernel; `close_all` ends them."""

    def __init__(self) -> None:
        self._warm: dict[str, Warm] = {}

    def of(self, kernel: Kernel, *, several: bool) -> Warm | None:
        """Return the warm process of a kernel; None if there is none, and cannot be or does not pay for a last run."""
        if kernel.name not in self._warm and several and _can_be_forked(kernel):
            self._warm[kernel.name] = Warm()
        return self._warm.get(kernel.name)

    async def close(self, kernel: Kernel) -> None:
        """End the warm process of a kernel that will not be started again."""
        warm = self._warm.pop(kernel.name, None)
        if warm is not None:
            await warm.close()

    async def close_all(self) -> None:
        """End all warm processes, and the kernels that still run."""
        await asyncio.gather(*(warm.close() for warm in self._warm.values()))


def _can_be_forked(kernel: Kernel) -> bool:
    return sys.platform == "linux" and kernel.is_ipykernel and is_local(kernel)


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # not Linux, or a sandbox forbids the call
        return False
    return True


def _begun(fork: asyncio.Future[ForkedKernel | None], kernel: ForkedKernel) -> None:
    if fork.cancelled():  # nobody waits for it any more
        kernel.kill()
    else:
        fork.set_result(kernel)


def _ended(fork: asyncio.Future[ForkedKernel | None], status: int) -> None:
    if fork.cancelled():
        return
    if not fork.done():  # it ended before it was a kernel
        fork.set_result(None)
    elif (kernel := fork.result()) is not None:
        kernel.returncode = status


def _is_relative(search_path: str) -> bool:
    """Whether a PYTHONPATH depends on the working directory."""
    return bool(search_path) and not all(map(os.path.isabs, search_path.split(os.pathsep)))


def _shadows(folder: str, imported: frozenset[str]) -> bool:
    """Whether a folder has a module of one of these names: an ordinary kernel that starts there may import it."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 (each run does it: names are enough)
    except OSError:
        return True  # the ordinary start says what is wrong with it
    found = (name for name in names if name.partition(".")[0] in imported)
    return any(_is_module(Path(folder, name)) for name in found)


def _is_module(path: Path) -> bool:
    return path.suffix in _MODULES or (path / "__init__.py").exists()


def _as_a_shell_sees(folder: str, given: str) -> str:
    """Return the PWD that a shell gives to what it starts in `folder`: the one it was given, if that leads there."""
    try:
        return given if given and os.path.samefile(given, folder) else os.path.realpath(folder)  # noqa: PTH121
    except OSError:
        return os.path.realpath(folder)
