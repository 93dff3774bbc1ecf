"""Nothing of a session outlives its process, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.running_kernels import seconds_until

from mambakernels.sessions import guardian

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it finds processes by their variables in /proc")

# A kernel that holds its interpreter for good: no thread of it can end it, nor send what it printed. So a file says
# that it is there. And a daemon that it has started.
HOLD = """
import ctypes, os, pathlib, subprocess
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
said = pathlib.Path(os.environ["HELD"], f"{os.getpid()}.part")
said.write_text(f"{os.getpid()} {child.pid}")
said.rename(said.with_suffix(".held"))
ctypes.PyDLL(None).sleep(600)
"""
OWNER = f"""
import mambakernels
kernels = mambakernels.session(["one", "two"]).start()
kernels.push(x=1)
print(*(status.pid for status in kernels.status()), flush=True)
kernels.run({HOLD!r})
"""


def test_kernels_and_what_they_started_end_with_a_killed_process(jupyter_path: Path, tmp_path: Path) -> None:
    assert jupyter_path
    variables = {**os.environ, "HELD": str(tmp_path)}
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, env=variables)
    try:
        assert owner.stdout
        pids = set(map(int, owner.stdout.readline().split()))
        assert len(pids) == 2
        seconds_until(lambda: len([*tmp_path.glob("*.held")]) == 2, at_most=120)
        pids |= {int(pid) for file in tmp_path.glob("*.held") for pid in file.read_text().split()}
        assert len(pids) == 4
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        owner.stdout.close() if owner.stdout else None
    seconds_until(lambda: not any(map(_runs, pids)), at_most=60)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_an_exit_ends_the_kernels_too(jupyter_path: Path) -> None:
    assert jupyter_path
    code = (
        "import mambakernels; kernels = mambakernels.session('one').start();"
        " print(kernels.status()[0].pid, kernels._guardian.pid)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not answer.stderr
    assert not any(_runs(pid) for pid in map(int, answer.stdout.split()))
    assert os.getpid()


# The guardian as on macOS, without /proc and pidfd, and what takes a kernel's place: it leads a group of two processes.
AS_ON_MACOS = """
import os, runpy, sys
sys.platform, os.listdir = "darwin", None
vars(os).pop("pidfd_open", None)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
OWNER_ON_MACOS = f"""
import os, subprocess, sys, time
kernel = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; exec sleep 600"], start_new_session=True,
                          stdout=subprocess.PIPE, text=True)
words = [sys.executable, "-c", {AS_ON_MACOS!r}, {guardian.__file__!r}, "MARK=1", str(os.getpid())]
guardian = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
guardian.stdin.write(f"{{kernel.pid}}\\n".encode())
guardian.stdin.flush()
print(kernel.pid, kernel.stdout.readline().strip(), guardian.pid, flush=True)
time.sleep(600)
"""


def test_without_proc_the_group_of_each_kernel_ends() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER_ON_MACOS], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    pids = list(map(int, owner.stdout.readline().split()))
    assert len(pids) == 3
    assert all(map(_runs, pids))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    try:
        seconds_until(lambda: not any(map(_runs, pids)), at_most=60)
    finally:
        for pid in filter(_runs, pids):
            os.kill(pid, signal.SIGKILL)
