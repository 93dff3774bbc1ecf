"""Progress as a terminal and as a log file show it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from mambakernels.cli import bars
from mambakernels.progress import Event

EVENTS = (
    Event("engine", "embedded rattler"),
    Event("download", "mkl.whl", 5, 10),
    Event("download", "mkl.whl", 10, 10),
    Event("download", "numpy.whl", 3, 4),
    Event("solve", "python [numpy]"),
    Event("run", "np-mkl: cell 1 of 2", 1, 4),
    Event("run", "np-mkl: cell 2 of 2", 2, 4),
    Event("channel", "wheels"),
    Event("channel", "wheels"),
)


def test_a_log_has_a_line_per_step_and_no_line_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with bars.progress() as show:
        for event in EVENTS:
            show(event)
    assert capsys.readouterr().err.splitlines() == [
        "engine: embedded rattler",
        "downloading mkl.whl",
        "solving for python [numpy]",
        "running np-mkl: cell 1 of 2",
        "running np-mkl: cell 2 of 2",
        "channel: wheels",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bars.progress(quiet=True) as show:
        for event in EVENTS:
            show(event)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_moving_line_and_keeps_the_decisions() -> None:
    code = (
        "from mambakernels.cli import bars; from mambakernels.progress import Event\n"
        f"with bars.progress() as show:\n    for event in {EVENTS!r}: show(event)\n"
    )
    text = _on_a_terminal(code)
    assert text.count("channel: wheels") == 1
    assert "engine: embedded rattler" in text
    assert "np-mkl: cell 2 of 2" in text


def test_the_clock_goes_on_after_a_step_that_was_completed() -> None:
    code = (
        "import time; from mambakernels.cli import bars; from mambakernels.progress import Event\n"
        "with bars.progress() as show:\n    show(Event('run', 'a', 4, 4))\n    time.sleep(1.3)\n"
        "    show(Event('report', 'b'))\n    time.sleep(0.3)\n"
    )
    assert re.search(r"writing the report: b.*0:00:0[1-9]", _on_a_terminal(code))


def _on_a_terminal(code: str) -> str:
    """Run Python code and return what it shows on a terminal."""
    import pty  # Windows has none

    master, slave = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", code], stderr=slave, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    shown = b""
    while chunk := _read(master):
        shown += chunk
    assert child.wait() == 0, shown.decode()
    return shown.decode()


def _read(terminal: int) -> bytes:
    """Read what a terminal shows; on Linux, reading after the last writer has left is an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_times_are_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    clock = bars.Clock()
    now[0] = 3.21
    assert str(clock) == "3.2 s"
    now[0] = 130.0
    assert str(clock) == "2 min 10 s"
