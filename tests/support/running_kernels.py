"""Kernels that really run, of environments that are made in a moment; and what there is of their processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from support.python_kernels import ABSENT

from mambakernels.environments import Environment
from mambakernels.paths import Root

SHIPPED = Path(sys.prefix, "share", "jupyter", "kernels", "python3")  # ipykernel's own


def make_environment(
    root: Path,
    name: str,
    *,
    scripts: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    state: str | None = None,
    paths: Iterable[str | Path] = (),
    pip: bool = False,
) -> Environment:
    """Make an environment of this Python and its packages, those in `paths` first, with the activation given."""
    prefix = Root(root).environments / name
    venv.create(prefix, symlinks=True)
    (prefix / "conda-meta").mkdir(exist_ok=True)  # as conda has it
    packages = next(prefix.glob("lib/python3*/site-packages"))
    found = [str(path) for path in (*paths, ABSENT, sysconfig.get_path("purelib"))]
    (packages / "these.pth").write_text("\n".join(found))
    if pip:
        _link_pip(prefix, packages)
    shipped = prefix / "share" / "jupyter" / "kernels" / "python3"
    shipped.mkdir(parents=True)
    for file in SHIPPED.iterdir():
        (shipped / file.name).write_bytes(file.read_bytes())
    write_activation(prefix, scripts=scripts, variables=variables, state=state)
    return Environment(name, prefix, Root(root), ("python",), ("wheels",), "rattler", (), "")


def _link_pip(prefix: Path, packages: Path) -> None:
    """Give an environment this Python's pip as its own: installing it would take seconds."""
    (packages / "pip").symlink_to(Path(sysconfig.get_path("purelib"), "pip"), target_is_directory=True)
    program = prefix / "bin" / "pip"
    program.write_text(f"""#!/bin/sh\nexec '{prefix}/bin/python' -m pip "$@"\n""")
    program.chmod(0o755)


def write_activation(
    prefix: Path,
    *,
    scripts: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    state: str | None = None,
) -> None:
    """Write scripts of activate.d and files of env_vars.d by their names, and the text of conda-meta/state."""
    (prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
    for where, files in (("activate.d", scripts), ("env_vars.d", variables)):
        (prefix / "etc" / "conda" / where).mkdir(parents=True, exist_ok=True)
        for file, text in (files or {}).items():
            (prefix / "etc" / "conda" / where / file).write_bytes(text.encode("utf-8", "surrogateescape"))
    if state is not None:
        (prefix / "conda-meta" / "state").write_text(state, "utf-8")


@dataclass(frozen=True)
class Reply:
    """What came back from a cell: `ename` is None if it ended well."""

    ename: str | None
    said: str


def evaluate(client: BlockingKernelClient, expression: str) -> Any:
    """Return the value of an expression, made JSON in a Python kernel."""
    reply = run_in(client, f"import json, os, shutil, sys\nprint(json.dumps({expression}))")
    assert reply.ename is None, reply
    return json.loads(reply.said)


def run_in(client: BlockingKernelClient, code: str, *, seconds: float = 120) -> Reply:
    """Run a cell to its end, in whatever kernel the client is connected to."""
    said: list[str] = []

    def hook(message: Any) -> None:
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=seconds, output_hook=hook, stop_on_error=False)
    return Reply(reply["content"].get("ename"), "".join(said))


@dataclass(frozen=True)
class Kernel:
    """A kernel that runs, and Jupyter's handles on it."""

    manager: KernelManager
    client: BlockingKernelClient

    @property
    def pid(self) -> int:
        found = self.manager.provisioner.pid
        assert isinstance(found, int)
        return found

    def run(self, code: str, *, seconds: float = 120) -> Reply:
        """Run a cell to its end."""
        return run_in(self.client, code, seconds=seconds)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, made JSON in the kernel."""
        return evaluate(self.client, expression)

    def begin(self, code: str) -> str:
        """Start a cell that prints when it is where the test wants it; return its identity then."""
        cell = str(self.client.execute(code, stop_on_error=False))
        while self.client.get_iopub_msg(timeout=120)["msg_type"] != "stream":
            pass
        return cell

    def interrupt(self, cell: str, *, seconds: float) -> tuple[str | None, float]:
        """Interrupt as the toolbar does; return the error that the cell ends with, and the seconds it took."""
        begin = time.perf_counter()
        self.manager.interrupt_kernel()
        while True:
            reply = self.client.get_shell_msg(timeout=seconds)
            if reply["parent_header"].get("msg_id") == cell:
                return reply["content"].get("ename"), time.perf_counter() - begin


@contextmanager
def running(name: str, **options: Any) -> Iterator[Kernel]:
    """Start the kernel that Jupyter lists under that name; leave nothing of it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        started(KernelManager(kernel_name=name, connection_file=f"{folder}/kernel.json"), **options) as kernel,
    ):
        yield kernel


@contextmanager
def started(manager: KernelManager, **options: Any) -> Iterator[Kernel]:
    """Start a manager's kernel; leave nothing of it."""
    manager.start_kernel(stdout=subprocess.DEVNULL, **options)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=120)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
        manager.context.destroy()


@dataclass(frozen=True)
class Process:
    """A line of the process table."""

    pid: int
    parent: int
    group: int
    session: int
    command: str


def processes() -> list[Process]:
    """Return all processes that still do something: what is dead and only not yet reaped does not count."""
    found = (_process(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None]


def _process(entry: Path) -> Process | None:
    try:
        state, parent, group, session, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended since it was listed
    return Process(int(entry.name), int(parent), int(group), int(session), command) if state not in "ZX" else None


def family(pid: int) -> set[int]:
    """Return a process with all that descend from it or are in its session."""
    table = processes()
    found = {process.pid for process in table if pid in {process.pid, process.session}}
    while more := {process.pid for process in table if process.parent in found} - found:
        found |= more
    return found


def alive(pids: Iterable[int]) -> set[int]:
    """Return those of the processes that still do something."""
    return {process.pid for process in processes()} & set(pids)


def exists(pid: int) -> bool:
    """Whether there is a process of that number, even one that is dead and only not yet reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def seconds_until(done: Callable[[], bool], *, at_most: float) -> float:
    """Wait until something is so; return how long that took."""
    begin = time.perf_counter()
    while not done():
        assert time.perf_counter() - begin < at_most, f"not so after {at_most} s"
        time.sleep(0.02)
    return time.perf_counter() - begin
