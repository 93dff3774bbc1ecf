"""Coroutines on a loop in another thread, and how they are stopped from a third one."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process
from mambakernels.system.background import in_a_thread
from mambakernels.system.locks import locked


def test_events_arrive_in_the_callers_thread() -> None:
    seen = []

    async def work(report: Progress) -> int:
        report(Event("one"))
        await asyncio.sleep(0)
        return 7

    assert in_a_thread(work, lambda event: seen.append((event.step, threading.current_thread()))) == 7
    assert seen == [("one", threading.current_thread())]


def test_a_group_that_is_stopped_cancels_the_coroutine_which_cleans_up() -> None:
    group, cleaned = process.Group(), []

    async def work(report: Progress) -> None:
        report(Event("begun"))
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with group.joined(), pytest.raises(process.Stopped):
        in_a_thread(work, lambda _: threading.Thread(target=group.stop).start())
    assert cleaned == [True]
    with group.joined(), pytest.raises(process.Stopped):
        in_a_thread(work, silent)


def test_a_group_that_is_stopped_waits_for_no_lock(tmp_path: Path) -> None:
    root, group = Root(tmp_path), process.Group()
    with (
        locked(root, "busy"),
        group.joined(),
        pytest.raises(process.Stopped),
        locked(root, "busy", progress=lambda _: group.stop()),
    ):
        raise AssertionError("the lock is held")
    with locked(root, "busy"):
        pass
