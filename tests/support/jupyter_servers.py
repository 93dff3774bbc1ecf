"""Real programs that start kernels: Jupyter's server, and a small one of jupyter_client; for a block of code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from support.python_kernels import without_what_is_slow
from support.running_kernels import Reply, family, run_in, seconds_until

# Starts as many kernels as asked for, all at once, prints their processes, and waits.
MANAGER = """
import asyncio, json, subprocess, sys
from jupyter_client.multikernelmanager import AsyncMultiKernelManager

async def main(name, count):
    kernels = AsyncMultiKernelManager(connection_dir=sys.argv[3])
    starts = [kernels.start_kernel(kernel_name=name, stdout=subprocess.DEVNULL) for _ in range(count)]
    for kernel in await asyncio.gather(*starts):
        manager = kernels.get_kernel(kernel)
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=200)
        for code in sys.argv[4:]:
            await client.execute_interactive(code, timeout=100, output_hook=lambda message: None)
        client.stop_channels()
        print(json.dumps(manager.provisioner.pid), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await kernels.shutdown_all()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
# Becomes the one to whom the orphans among its descendants are handed, as containers' first processes, session
# managers and many batch systems are; starts what it is told to, and prints its process.
SUBREAPER = """
import ctypes, os, subprocess, sys
assert ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
print(subprocess.Popen(sys.argv[1:]).pid, flush=True)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


@dataclass(frozen=True)
class Starter:
    """A process with kernels: its own id and theirs."""

    pid: int
    kernels: list[int]
    process: subprocess.Popen[str]


@contextmanager
def manager(name: str, *, kernels: int, code: str | None = None, subreaper: bool = False) -> Iterator[Starter]:
    """Start kernels in a process of jupyter_client, and run a cell in each; all of it is gone in the end."""
    with tempfile.TemporaryDirectory() as folder:  # of connection files, which nobody removes who is killed
        argv = [sys.executable, "-c", MANAGER, name, str(kernels), folder, *([] if code is None else [code])]
        yield from _starter([sys.executable, "-c", SUBREAPER, *argv] if subreaper else argv, kernels, behind=subreaper)


def _starter(argv: list[str], kernels: int, *, behind: bool) -> Iterator[Starter]:
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started: set[int] = set()
        try:
            pid = int(process.stdout.readline()) if behind else process.pid
            found = [int(process.stdout.readline()) for _ in range(kernels)]
            started = set().union(*map(family, found))
            yield Starter(pid, found, process)
        finally:
            end({*started, *family(process.pid)})


def end(pids: set[int]) -> None:
    """Kill processes by their ids; those that are gone already are no matter."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@dataclass(frozen=True)
class Server:
    """A Jupyter server that runs."""

    process: subprocess.Popen[bytes]
    pid: int
    url: str
    token: str
    runtime: Path

    def ask(self, path: str, *, method: str = "GET", body: Any = None) -> Any:
        """Return the server's answer: decoded if it is JSON, else the bytes; `HTTPError` as it comes."""
        request = urllib.request.Request(
            self.url + path.removeprefix("/"),
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=200) as answer:
            content = answer.read()
        return json.loads(content) if "json" in answer.headers.get("Content-Type", "") else content

    def kernel(self, identity: str) -> Path:
        """Return the connection file of a kernel."""
        return self.runtime / f"kernel-{identity}.json"

    def run(self, identity: str, code: str) -> Reply:
        """Run a cell in one of its kernels.

        A kernel whose port somebody else took is started again by the server, with other ports in the same file.
        """
        while True:
            client = BlockingKernelClient(connection_file=str(self.kernel(identity)))
            client.load_connection_file()
            client.start_channels()
            try:
                if _is_there(client, self.kernel(identity)):
                    return run_in(client, code)
            finally:
                client.stop_channels()
                client.context.destroy()


def _is_there(client: BlockingKernelClient, file: Path) -> bool:
    """Wait until both channels are through, or the connection file is another one; return whether they are.

    jupyter_client's own waiting takes a slow start for a kernel's death.
    """
    before = file.read_bytes()

    def both_answer() -> bool:
        client.kernel_info()
        try:
            return bool(client.get_shell_msg(timeout=2) and client.get_iopub_msg(timeout=2))
        except Empty:
            return False

    seconds_until(lambda: both_answer() or file.read_bytes() != before, at_most=200)
    return file.read_bytes() == before


@contextmanager
def jupyter_server(state: Path, *, subreaper: bool = False) -> Iterator[Server]:
    """Run this Python's Jupyter server; its settings, connection files and log go to `state`."""
    state.mkdir(parents=True, exist_ok=True)
    runtime, token = state / "runtime", os.urandom(16).hex()
    places = {"JUPYTER_CONFIG_DIR": str(state / "config"), "JUPYTER_RUNTIME_DIR": str(runtime)}
    argv = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    argv += [f"--ServerApp.root_dir={state}", "--ServerApp.jpserver_extensions={}"]
    if subreaper:
        argv = [sys.executable, "-c", SUBREAPER, *argv]
    with (state / "server.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            env={**os.environ, **places, **without_what_is_slow(), "JUPYTER_TOKEN": token},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            about = _about(process, runtime, state / "server.log")
            server = Server(process, about["pid"], about["url"], token, runtime)
            seconds_until(lambda: _answers(server), at_most=200)
            yield server
        finally:
            _stop(process)


def _about(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> dict[str, Any]:
    """Wait for what the server writes about itself once it listens."""
    end_of_patience = time.monotonic() + 200
    while time.monotonic() < end_of_patience:
        assert process.poll() is None, log.read_text()
        for file in runtime.glob("jpserver-*.json"):
            text = file.read_text()
            if text.endswith("}"):
                found: dict[str, Any] = json.loads(text)
                return found
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _answers(server: Server) -> bool:
    """Whether it serves: it writes about itself a moment before."""
    try:
        server.ask("api")
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError):
            raise
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, its kernels with it; whatever is left then is killed."""
    belonging = family(process.pid)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
    end(belonging)
