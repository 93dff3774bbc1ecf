"""Kernels side by side: what each shows, that one spoils nothing for the others, and that they end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import mambakernels
from mambakernels.errors import InvalidRequestError, KernelError, NotFoundError, RunError
from mambakernels.sessions.kernel_session import KernelSession
from mambakernels.sessions.shown import Results

pytestmark = pytest.mark.slow

Install = Callable[..., Path]

# What a cell begins with that does something in the kernel `one` only.
ONE = "import os; one = os.environ['NAME'] == 'one'\n"


def texts(results: Results) -> list[str]:
    return [shown.text for shown in results.values()]


def test_each_kernel_keeps_what_a_cell_defines_and_shows_its_own(pair: KernelSession) -> None:
    pair.run("import os; name = os.environ['NAME']").check()
    results = pair.run("print('I am', name); name * 2")
    assert texts(results) == ["I am one\n'oneone'\n", "I am two\n'twotwo'\n"]
    assert all(shown.seconds and shown.state == "ok" for shown in results.values())
    assert [output["output_type"] for output in results["one"].outputs] == ["stream", "execute_result"]
    assert results.fastest == min(shown.seconds or 0 for shown in results.values())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ONE + "1 / (not one)", "ZeroDivisionError"),
        (ONE + "input() if one else None", "StdinNotImplementedError"),
        (ONE + "import time; time.sleep(600 * one)", "TimeoutError"),
        (ONE + "os._exit(3) if one else None", "KernelDied"),
    ],
)
def test_a_kernel_fails_alone_and_goes_on(pair: KernelSession, code: str, kind: str) -> None:
    results = pair.run(code, timeout=5 if kind == "TimeoutError" else 120)
    assert [shown.kernel for shown in results.failed] == ["one"]
    assert results["one"].error
    assert results["one"].error.ename == kind
    with pytest.raises(RunError, match="1 of 2 kernels failed"):
        results.check()
    again = pair.run("1 + 1").check()
    assert texts(again) == ["2\n", "2\n"]
    assert bool(again["one"].notes) == (kind == "KernelDied")


def test_a_kernel_that_hangs_is_given_up_and_restarts(pair: KernelSession) -> None:
    hang = ONE + "import signal, time\nif one: signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    first = pair.run(hang, timeout=5)
    assert first["one"].error
    assert first["one"].error.ename == "KernelHangs"
    second = pair.run("1 + 1")
    assert [shown.kernel for shown in second.failed] == ["one"]
    assert second["two"].text == "2\n"
    pair.restart(["one"])
    assert texts(pair.run("1 + 1").check()) == ["2\n", "2\n"]


@pytest.mark.skipif(os.name == "nt", reason="another signal there")
def test_an_interrupt_reaches_all_kernels(pair: KernelSession) -> None:
    both = threading.Event()
    seen: list[Results] = []

    def interrupt() -> None:
        if both.wait(300):
            os.kill(os.getpid(), signal.SIGINT)

    def show(results: Results) -> None:
        seen.append(results)
        if all("begun" in shown.text for shown in results.values()):
            both.set()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        pair.run("import time; print('begun', flush=True); time.sleep(600)", show=show)
    assert {shown.error and shown.error.ename for shown in seen[-1].values()} == {"KeyboardInterrupt"}
    assert texts(pair.run("1 + 1").check()) == ["2\n", "2\n"]


def test_a_flood_is_bounded(pair: KernelSession) -> None:
    results = pair.run(ONE + "for number in range(60_000 * one): print('a longer line', number)")
    text = results["one"].text
    assert len(text) < 1_100_000
    assert text.startswith("a longer line 0\n")
    assert text.endswith("a longer line 59999\n")
    assert "lines left out" in text


def test_one_works_at_a_time_where_asked(pair: KernelSession) -> None:
    code = "import time; begun = time.time(); time.sleep(0.2); print(begun, time.time())"
    one, two = (list(map(float, shown.text.split())) for shown in pair.run(code, serial=True).values())
    assert one[1] <= two[0]


def test_only_one_thread_uses_a_session(pair: KernelSession) -> None:
    refused: list[str] = []

    def show(_: Results) -> None:
        if not refused:
            with pytest.raises(InvalidRequestError, match="Another thread uses") as caught:
                pair.run("1")
            refused.append(str(caught.value))

    pair.run("import time; time.sleep(0.5)", show=show)
    assert refused


def test_kernels_end_with_their_session(jupyter_path: Path) -> None:
    assert jupyter_path
    kernels = mambakernels.session("one", threads=[1, 2]).start()
    assert kernels.kernels == ("one (1 thread)", "one (2 threads)")
    results = kernels.run("import os; print(os.environ['OMP_NUM_THREADS'])")
    assert texts(results) == ["1\n", "2\n"]
    pids = [status.pid for status in kernels.status() if status.pid]
    assert len(pids) == 2
    assert all(map(psutil.pid_exists, pids))
    kernels.stop()
    assert not any(map(psutil.pid_exists, pids))
    assert {status.state for status in kernels.status()} == {"off"}


def test_what_does_not_exist_or_start_is_said(install: Install) -> None:
    install("one")
    install("broken", argv=["/nonexistent/python"])
    with pytest.raises(NotFoundError, match="no kernel three"):
        mambakernels.session(["one", "three"])
    with pytest.raises(KernelError, match="No kernel started"), mambakernels.session("broken"):
        pass
    with mambakernels.session(["one", "broken"]) as kernels:
        results = kernels.run("1")
        with pytest.raises(NotFoundError, match="no kernel two"):
            kernels.run("1", kernels=["two"])
    assert [shown.kernel for shown in results.failed] == ["broken"]


def test_a_cell_runs_in_r_too(install: Install, irkernel: list[str]) -> None:
    install("r", argv=irkernel, language="R")
    install("one")
    with mambakernels.session(["one", "r"]) as kernels:
        kernels.run("x = 3").check()
        results = kernels.run("print(x * 2)").check()
        with pytest.raises(KernelError, match=r"r: its language is R"):
            kernels.push(y=1)
    assert [text.split()[-1] for text in texts(results)] == ["6", "6"]
