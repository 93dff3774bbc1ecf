"""Commands and workers that are stopped end with all that they have started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.windows_machine import gone

from mambakernels import errors
from mambakernels.system import process

SLEEP = "import time; time.sleep(600)"
# Starts a sleeper that holds its standard output, and says its number.
STARTS_ANOTHER = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True)"
WORKER = """
import os, time

def work(message, progress):
    if message["do"] == "start":
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return {"pids": [os.getpid(), child.pid]}
    if message["do"] == "die":
        os._exit(3)
    return {"pids": [os.getpid()]}
"""


class GivenUpError(Exception):
    """The caller's error."""


def test_an_error_in_the_caller_ends_the_command_and_what_it_started() -> None:
    started: list[int] = []

    def give_up(line: str) -> None:
        started.append(int(line))
        raise GivenUpError

    with pytest.raises(GivenUpError):
        process.stream([sys.executable, "-c", f"{STARTS_ANOTHER}; {SLEEP}"], on_line=give_up)
    assert gone(started)


@pytest.mark.parametrize("code", [f"{STARTS_ANOTHER}; {SLEEP}", STARTS_ANOTHER], ids=["runs", "has ended"])
def test_a_late_command_ends_in_time_with_what_it_started(code: str) -> None:
    begin = time.monotonic()
    with pytest.raises(process.TimeoutExpired):
        process.read_output([sys.executable, "-c", code], timeout=5)
    assert time.monotonic() - begin < 60  # the sleeper holds the pipe for ten minutes


def test_what_a_command_leaves_running_may_go_on() -> None:
    detached = "creationflags=subprocess.DETACHED_PROCESS"  # it holds none of the command's pipes
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}], {detached}).pid)"
    (line,) = process.stream([sys.executable, "-c", code]).lines
    assert psutil.pid_exists(int(line))
    psutil.Process(int(line)).kill()
    assert gone([int(line)])


@pytest.fixture(name="worker")
def _worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> process.Worker:
    (tmp_path / "a_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return process.Worker("a_worker")


def test_a_closed_worker_ends_with_what_it_started(worker: process.Worker) -> None:
    assert gone(worker.call({"do": "start"})["pids"])


def test_a_worker_that_died_is_an_engine_error(worker: process.Worker) -> None:
    with pytest.raises(errors.EngineError, match="status 3"):
        worker.ask({"do": "die"})


def test_so_is_one_that_was_ended_between_two_requests(worker: process.Worker) -> None:
    (pid,) = worker.ask({"do": "answer"})["pids"]
    psutil.Process(pid).kill()
    assert gone([pid])
    with pytest.raises(errors.EngineError, match="before it had done its work"):
        worker.ask({"do": "answer"})


def test_a_worker_ends_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "a_worker.py").write_text(WORKER)
    code = (
        "from mambakernels.system import process; import time; worker = process.Worker('a_worker');"
        "print(*worker.ask({'do': 'start'})['pids'], flush=True); time.sleep(600)"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert caller.stdout is not None
    pids = [int(word) for word in caller.stdout.readline().split()]
    assert len(pids) == 2
    caller.kill()
    caller.communicate()
    assert gone(pids)
