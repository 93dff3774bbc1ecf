"""Nothing of a session outlives its process, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it finds processes by their variables in /proc")

# A kernel that holds its interpreter for good, so that no thread of it can end it, and a daemon that it has started.
HOLD = """
import ctypes, os, subprocess
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(os.getpid(), child.pid, flush=True)
ctypes.PyDLL(None).sleep(600)
"""
OWNER = f"""
import sys, mambakernels
kernels = mambakernels.session(["one", "two"]).start()
kernels.push(x=1)
def show(results):
    words = [shown.text.split() for shown in results.values()]
    if all(len(word) == 2 for word in words):
        print(*sum(words, []), *(status.pid for status in kernels.status()), flush=True)
kernels.run({HOLD!r}, show=show)
"""


def test_kernels_and_what_they_started_end_with_a_killed_process(jupyter_path: Path) -> None:
    assert jupyter_path
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout
        pids = set(map(int, owner.stdout.readline().split()))
        assert len(pids) == 4
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        owner.stdout.close() if owner.stdout else None
    end = time.monotonic() + 60
    while (left := [pid for pid in pids if _runs(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left


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
