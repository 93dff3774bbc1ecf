"""What a session can be asked beside a notebook's cells, and what runs in the kernels that are asked."""

from __future__ import annotations

import ast
import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from mambakernels.bench import live_kernel
from mambakernels.bench.live_kernel import LiveKernel
from mambakernels.numeric.threads import THREAD_VARIABLES
from mambakernels.runs import session
from mambakernels.runs.kernelspecs import find_kernels, with_threads

Install = Callable[..., Path]
Use = Callable[[session.Session], Coroutine[Any, Any, Any]]

DISPLAY = "from IPython.display import display; display({'text/plain': '1', 'x/y': {'a': 1}}, raw=True); "


@pytest.fixture
def within(install: Install, tmp_path: Path) -> Callable[[Use], Any]:
    """Return a function that uses a session of a kernel and returns what that gives."""
    install("here")

    async def used(use: Use) -> Any:
        async with session.start(find_kernels(["here"])[0], tmp_path) as kernel:
            await kernel.ready(60)
            return await use(kernel)

    return lambda use: asyncio.run(used(use))


def test_a_session_returns_what_a_code_text_displays(within: Callable[[Use], Any]) -> None:
    async def use(kernel: session.Session) -> list[dict[str, Any]]:
        await kernel.run("x = 2; print('not kept')")
        return await kernel.run(DISPLAY + "display({'x/y': x}, raw=True)", 60)

    assert within(use) == [{"text/plain": "1", "x/y": {"a": 1}}, {"x/y": 2}]


def test_an_error_in_the_code_is_told_and_the_kernel_is_well(within: Callable[[Use], Any]) -> None:
    async def use(kernel: session.Session) -> list[dict[str, Any]]:
        with pytest.raises(session.CellRaisedError) as caught:
            await kernel.run("1/0")
        assert caught.value.failure.ename == "ZeroDivisionError"
        return await kernel.run(DISPLAY)

    assert len(within(use)) == 1


@pytest.mark.parametrize(
    ("code", "timeout", "kind"),
    [
        ("import time; time.sleep(600)", 1, "TimeoutError"),
        ("while True: print('x')", 1, "TimeoutError"),
        ("import os; os._exit(3)", 120, "KernelDied"),
    ],
)
def test_code_that_hangs_or_kills_its_kernel_is_told(
    within: Callable[[Use], Any], code: str, timeout: float, kind: str
) -> None:
    with pytest.raises(session.RunStoppedError) as caught:
        within(lambda kernel: kernel.run(code, timeout))
    assert caught.value.failure.ename == kind


def test_threads_are_told_in_every_variable_and_nothing_else_changes(install: Install) -> None:
    install("here", site="pass")
    kernel = find_kernels(["here"])[0]
    told = with_threads(kernel, 3)
    assert {told.spec.env[name] for name in THREAD_VARIABLES} == {"3"}
    assert told.spec.argv == kernel.spec.argv
    assert told.spec.env["PYTHONPATH"] == kernel.spec.env["PYTHONPATH"]
    assert not set(THREAD_VARIABLES) & set(kernel.spec.env)
    assert with_threads(kernel, None) is kernel
    assert with_threads(told, 0).spec.env == kernel.spec.env


def test_a_kernel_that_failed_is_asked_no_more(install: Install, tmp_path: Path) -> None:
    install("here")

    async def use() -> tuple[Any, Any, LiveKernel]:
        live = LiveKernel(find_kernels(["here"])[0], None)
        await live.start(tmp_path)
        await live.boot(60)
        first = await live.ask("no_such_function", timeout=60)
        second = await live.ask("canary", 1, timeout=60)
        await live.stop()
        return first, second, live

    first, second, live = asyncio.run(use())
    assert first is second is None
    assert live.failure is not None
    assert live.failure.ename == "AttributeError"


def test_what_runs_in_the_kernels_needs_numpy_and_the_standard_library_only() -> None:
    folder = Path(live_kernel.__file__).parent
    for file in (folder / "__init__.py", folder / "kernel_side.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in {*sys.stdlib_module_names, "numpy", "mambakernels"}
                assert not name.startswith("mambakernels") or name.startswith("mambakernels.numeric")
