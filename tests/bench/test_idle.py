from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mambakernels.bench import idle

on_linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only on Linux: reads processor times")
SPIN = "import threading; threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start(); print(flush=True)"
SLEEP = "print(flush=True); import time; time.sleep(600)"


@contextmanager
def running(code: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield child.pid
        finally:
            child.kill()


@on_linux
def test_a_thread_that_spins_is_seen() -> None:
    with running(SPIN) as pid:
        assert asyncio.run(idle.until_idle([pid], patience=0.3)) is False


@on_linux
def test_a_process_that_waits_is_idle() -> None:
    with running(SLEEP) as pid:
        assert asyncio.run(idle.until_idle([pid], patience=10)) is True


@on_linux
def test_the_share_is_that_of_a_core() -> None:
    assert idle.share({1: 1.0, 2: 5.0}, {1: 1.5, 2: 5.0}, 2.0) == {1: 0.25, 2: 0.0}


def test_who_is_gone_or_unknown_is_not_called_idle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(idle, "_PROC", tmp_path)  # as where there is no /proc
    assert idle.cpu_seconds(1) is None
    assert asyncio.run(idle.until_idle([1], patience=1)) is None
    assert asyncio.run(idle.until_idle([], patience=1)) is True


def test_without_nanoseconds_ticks_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = tmp_path / "7" / "task" / "7"
    task.mkdir(parents=True)
    (task / "stat").write_text("7 (odd) name) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 0 0 0\n")
    monkeypatch.setattr(idle, "_PROC", tmp_path)
    monkeypatch.setattr(idle.os, "sysconf", lambda _name: 100)
    assert idle.cpu_seconds(7) == pytest.approx(2.0)
