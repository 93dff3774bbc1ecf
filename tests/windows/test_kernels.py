"""Kernels that Jupyter starts, interrupts, restarts and stops; and those that cannot start. No process is left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from support import windows_machine as machine

import mambakernels
from mambakernels.environments import Environment
from mambakernels.errors import InvalidRequestError
from mambakernels.kernels.specs import KernelSpec

CHILD = (
    "import os, subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(os.getpid(), os.getppid(), child.pid)"
)
SERVER = f"""
import sys, time
from jupyter_client.manager import start_new_kernel
sys.path.insert(0, {str(Path(machine.__file__).parents[1])!r})
from support.windows_machine import run_in
manager, client = start_new_kernel(kernel_name=sys.argv[1])
print(run_in(client, {CHILD!r}), flush=True)
time.sleep(600)
"""


@contextmanager
def started(name: str) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """A kernel that answers; ended at once after the block."""
    manager, client = start_new_kernel(kernel_name=name, startup_timeout=120)
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def processes(client: BlockingKernelClient) -> list[int]:
    """Return a kernel's process, the one that started it, and one that it has started."""
    return [int(word) for word in machine.run_in(client, CHILD).split()]


def test_a_kernel_runs_its_environment(first: Environment) -> None:
    with started(first.name) as (_manager, client):
        said = machine.run_in(client, "import os, sys; print(sys.prefix, os.environ['TOOL_HOME'], sep='\\n')")
        assert said.splitlines() == [str(first.prefix), rf"{first.prefix}\tool"]
        tool = machine.run_in(client, "import shutil; print(shutil.which('tool'))").strip()
        assert tool.lower() == str(first.prefix / "Scripts" / "tool.bat").lower()


def test_an_interrupt_reaches_the_cell(first: Environment) -> None:
    code = "import time\nprint('be' + 'gun')\nfor _ in range(600): time.sleep(0.1)\nprint('not ' + 'reached')"
    with started(first.name) as (manager, client):
        request = client.execute(code, stop_on_error=False)  # else the kernel drops what comes right after the error
        said = ""
        while "begun" not in said and "KeyboardInterrupt" not in said:
            said += str(client.get_iopub_msg(timeout=120)["content"])
        manager.interrupt_kernel()
        while "KeyboardInterrupt" not in said:
            said += str(client.get_iopub_msg(timeout=120)["content"])
        assert "not reached" not in said
        while client.get_shell_msg(timeout=120)["parent_header"].get("msg_id") != request:
            pass
        assert machine.run_in(client, "print(6 * 7)") == "42\n"


def test_a_restart_and_a_shutdown_leave_nothing(first: Environment) -> None:
    with started(first.name) as (manager, client):
        before = processes(client)
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=120)
        assert machine.gone(before)
        after = processes(client)
        client.stop_channels()
        manager.shutdown_kernel()
        assert machine.gone(after)


def test_a_kernel_ends_with_a_server_that_is_killed(first: Environment) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER, first.name], stdout=subprocess.PIPE)
    assert server.stdout is not None
    pids = [int(word) for word in server.stdout.readline().split()]
    assert len(pids) == 3
    server.kill()
    server.communicate()
    assert machine.gone(pids)


def test_an_environment_is_not_changed_while_its_kernel_runs(second: Environment) -> None:
    with started(second.name):
        for change in (
            lambda: mambakernels.rename(second.name, "third", root=second.root),
            lambda: mambakernels.remove(second.name, root=second.root),
            lambda: mambakernels.uninstall(second.name, ["tool"], root=second.root),
        ):
            with pytest.raises(InvalidRequestError, match=r"in use: python\.exe in it is running"):
                change()
    assert [item.name for item in mambakernels.list(root=second.root) if item.name != "first"] == ["second"]
    assert "second" in [kernel.name for kernel in mambakernels.kernels.list(root=second.root)]


@pytest.fixture(name="spec")
def _spec(place: Path) -> KernelSpec:
    prefix = place / "hand-made"
    if not prefix.exists():
        machine.prefix_by_hand(prefix)
    return mambakernels.kernels.register(prefix)[0]


def answer(name: str) -> tuple[str, list[int]]:
    """Return what a stand-in answers to a cell, and the processes of it; it is ended as Jupyter does."""
    manager = KernelManager(kernel_name=name)
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        said = machine.run_in(client, "1 + 1")
        launcher = manager.provisioner.pid
        pids = [launcher, *machine.below(launcher)]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return said, pids


def test_a_moved_environment_is_reported_in_the_notebook(spec: KernelSpec) -> None:
    moved = spec.prefix.with_name("moved")
    spec.prefix.rename(moved)
    try:
        said, pids = answer(spec.name)
    finally:
        moved.rename(spec.prefix)
    assert f"is no longer at {spec.prefix}" in said
    assert "mambakernels register NEW_PATH" in said
    assert len(pids) > 1
    assert machine.gone(pids)


def test_a_broken_package_is_reported_in_the_notebook(spec: KernelSpec) -> None:
    broken = spec.prefix / "Lib" / "site-packages" / "ipykernel_launcher.py"
    broken.write_text("raise ImportError('DLL load failed')")
    try:
        said, pids = answer(spec.name)
    finally:
        broken.unlink()
    assert "cannot be started: ImportError: DLL load failed" in said
    assert len(pids) > 1
    assert machine.gone(pids)


def test_a_damaged_program_is_reported_in_the_notebook(spec: KernelSpec) -> None:
    program = spec.prefix / "python.exe"
    content = program.read_bytes()
    program.write_bytes(b"")
    try:
        said, pids = answer(spec.name)
    finally:
        program.write_bytes(content)
    assert "the file is empty" in said
    assert machine.gone(pids)
