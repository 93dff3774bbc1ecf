"""Kernels and runners killed at random: every run ends with one whole record, and nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.running_kernels import seconds_until

from mambakernels.runs import outcome_cache, outputs
from mambakernels.runs.records import decode_record, read_record

RUNNER = """
import sys
from mambakernels.runs.execute import run
grid = {"n": list(range(int(sys.argv[2])))}
runs = run(sys.argv[1], kernels="one", grid=grid, output=sys.argv[3], jobs=2, retries=99)
sys.exit(any(one.status != "ok" for one in runs))
"""
MARK = "MAMBAKERNELS_CHAOS"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the processes, which has nothing else in it."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def notebook(install: Any, write: Any) -> Path:
    """A notebook that writes down each of its runs, and its kernel."""
    install("one")
    path: Path = write(
        "open('trace', 'a').write(f'{n}\\n')\nimport time\ntime.sleep(0.05)", "n ** 2", parameters="n = 0"
    )
    return path


def processes(mark: str) -> list[int]:
    """Return the processes that were started with this mark, and their descendants."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def started(notebook: Path, runs: int, output: Path, mark: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", RUNNER, str(notebook), str(runs), str(output)]
    with subprocess.Popen(words, env={**os.environ, MARK: mark}, start_new_session=True) as process:
        yield process


def wreck(start: Callable[[], Any], mark: str, output: Path, *, kills: int, dice: random.Random) -> Counter[str]:
    """Kill kernels, and the runner, which is started again each time."""
    victims: Counter[str] = Counter()
    while victims.total() < kills or len(victims) < 2:
        with start() as runner:
            while runner.poll() is None and (victims.total() < kills or len(victims) < 2):
                time.sleep(dice.uniform(0.1, 1.5))
                others = [pid for pid in processes(mark) if pid != runner.pid]
                if dice.random() < 0.3:
                    kill(runner.pid)
                    victims["runner"] += 1
                elif others:
                    kill(dice.choice(others))
                    victims["kernel"] += 1
                for entry in outputs.entries(output):
                    assert read_record(entry.place) is not None, f"{entry.place} is torn"
            if runner.poll() == 0:
                break  # all has been done meanwhile
            kill(runner.pid)
    return victims


def check(output: Path, runs: int) -> None:
    """Assert that each run has one record, whole, with its own result."""
    found = {}
    for entry in outputs.entries(output):
        raw = entry.place.read_bytes()
        record = decode_record(raw)
        assert record is not None
        assert record.status == "ok"
        number = record.parameters["n"]
        assert number not in found
        [result] = json.loads(raw)["cells"][-1]["outputs"]
        assert "".join(result["data"]["text/plain"]) == str(number**2)
        found[number] = record.attempts
    assert sorted(found) == list(range(runs))


def nothing_is_left(mark: str, output: Path, scratch: Path) -> None:
    seconds_until(lambda: processes(mark) == [], at_most=60)
    (output / outcome_cache.FILE).unlink(missing_ok=True)
    others = [path.name for path in output.rglob("*") if path.suffix not in {".ipynb", ".log", ".csv", ".html"}]
    assert set(others) <= {"logs"}
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "kills"), [(10, 4), pytest.param(1000, 150, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)])]
)
def test_kernels_and_runners_killed_at_random(
    runs: int, kills: int, notebook: Path, output: Path, scratch: Path
) -> None:
    mark = f"{os.getpid()}-{runs}"
    victims = wreck(lambda: started(notebook, runs, output, mark), mark, output, kills=kills, dice=random.Random(runs))
    (scratch.parent / "victims").write_text(str(victims))
    for left in scratch.iterdir():
        os.utime(left, (0, 0))  # what a killed process left is removed if it is some seconds old
    with started(notebook, runs, output, mark) as runner:
        assert runner.wait(3000) == 0
    check(output, runs)
    nothing_is_left(mark, output, scratch)


@pytest.mark.slow
@pytest.mark.usefixtures("scratch")
def test_two_runners_on_one_folder_of_which_one_is_killed(notebook: Path, output: Path) -> None:
    mark, runs = f"{os.getpid()}-two", 8
    trace = notebook.parent / "trace"
    with started(notebook, runs, output, mark) as first, started(notebook, runs, output, mark) as second:
        while not trace.exists() or len(trace.read_text().split()) < 4:
            time.sleep(0.05)
        kill(first.pid)
        assert second.wait(120) == 0
    check(output, runs)
    ran = Counter(trace.read_text().split())
    assert set(ran) == {str(n) for n in range(runs)}
    assert ran.total() <= runs + 3  # those that the killed one had at work, and no others, ran again
    seconds_until(lambda: processes(mark) == [], at_most=60)
    assert [path.name for path in output.iterdir() if path.name.startswith(".")] == []
