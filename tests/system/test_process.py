"""Commands stream, workers answer, and neither outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mambakernels import errors
from mambakernels.progress import Event
from mambakernels.system import process

WORKER = """
import os, sys, time
from mambakernels import errors
from mambakernels.system import process
from mambakernels.progress import Event

def work(message, progress):
    progress(Event("step", "one", 1, 2))
    print("a library's own chatter")
    match message["do"]:
        case "answer":
            return {"pid": os.getpid(), "echo": message["text"]}
        case "explain":
            raise errors.SolveError("No.", where="here", next_step="Ask again.")
        case "full":
            raise OSError(28, "No space left on device", "/some/where")
        case "crash":
            os.kill(os.getpid(), 11)
        case "bug":
            raise ZeroDivisionError("what was that")
        case "sleep":
            time.sleep(600)
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[process.Worker]:
    (tmp_path / "a_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = process.Worker("a_worker")
    yield made
    made.close()


def test_lines_come_while_the_command_runs() -> None:
    arrived: list[float] = []
    code = "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.2)"
    ended = process.stream([sys.executable, "-c", code], on_line=lambda _line: arrived.append(time.monotonic()))
    assert ended.lines == ("0", "1", "2")
    assert ended.returncode == 0
    assert arrived[2] - arrived[0] > 0.2


def test_both_streams_and_the_status_are_kept() -> None:
    ended = process.stream(
        [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"]
    )
    assert ended.returncode == 3
    assert sorted(ended.lines) == ["err", "out"]


def test_an_exception_in_the_caller_stops_the_command_and_its_children(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > '{tmp_path / 'pid'}'; echo started; wait"

    def give_up(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.stream(["bash", "-c", script], on_line=give_up)
    assert ends(int((tmp_path / "pid").read_text()))


def test_a_worker_answers_and_reports(worker: process.Worker) -> None:
    events: list[Event] = []
    answer = worker.call({"do": "answer", "text": "größer\n"}, progress=events.append)
    assert answer["echo"] == "größer\n"
    assert events == [Event("step", "one", 1, 2)]
    assert ends(answer["pid"])


def test_a_workers_error_is_raised_as_it_was(worker: process.Worker) -> None:
    with pytest.raises(errors.SolveError) as caught:
        worker.call({"do": "explain"})
    assert (caught.value.what, caught.value.where, caught.value.next_step) == ("No.", "here", "Ask again.")


def test_a_full_disk_in_a_worker_is_a_storage_error(worker: process.Worker) -> None:
    with pytest.raises(errors.StorageError, match="No space left") as caught:
        worker.call({"do": "full"})
    assert caught.value.where == "/some/where"
    assert "Free some space" in str(caught.value)


@pytest.mark.parametrize(("do", "said"), [("crash", "SIGSEGV"), ("bug", "what was that")])
def test_a_worker_that_dies_is_an_error_with_its_last_words(worker: process.Worker, do: str, said: str) -> None:
    with pytest.raises(errors.EngineError, match="before it had done its work") as caught:
        worker.call({"do": do})
    assert said in str(caught.value)


def test_a_worker_ends_with_us_even_if_we_are_killed(tmp_path: Path) -> None:
    (tmp_path / "a_worker.py").write_text(WORKER)
    code = (
        "from mambakernels.system import process; w = process.Worker('a_worker'); print(w._child.pid, flush=True);"
        "w.call({'do': 'sleep'}, progress=lambda event: print(event.step, flush=True))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert parent.stdout.readline() == "step\n"  # it is at work
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert ends(pid)


def ends(pid: int) -> bool:
    """Whether a process is gone, or a zombie, within a few seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
