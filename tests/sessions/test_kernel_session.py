"""Kernels side by side: what each shows, that one spoils nothing for the others, and that they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import mambakernels
from mambakernels.errors import KernelError, NotFoundError
from mambakernels.sessions.kernel_session import KernelSession

Install = Callable[..., Path]

ONE = "import os; one = os.environ['NAME'] == 'one'; "


@pytest.fixture
def pair(install: Install) -> Iterator[KernelSession]:
    """Two kernels, `one` and `two`, which know their names."""
    for name in ("one", "two"):
        install(name, env={"NAME": name})
    with mambakernels.session(["one", "two"]) as kernels:
        yield kernels


def test_each_kernel_keeps_what_a_cell_defines_and_shows_its_own(pair: KernelSession) -> None:
    pair.run("import os; name = os.environ['NAME']").check()
    results = pair.run("print('I am', name); name * 2")
    assert [shown.text for shown in results.values()] == ["I am one\n'oneone'\n", "I am two\n'twotwo'\n"]
    assert all(shown.seconds and shown.state == "ok" for shown in results.values())
    assert [output["output_type"] for output in results["one"].outputs] == ["stream", "execute_result"]


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
    again = pair.run("1 + 1").check()
    assert [shown.text for shown in again.values()] == ["2\n", "2\n"]
    assert bool(again["one"].notes) == (kind == "KernelDied")


def test_one_works_at_a_time_where_asked(pair: KernelSession) -> None:
    code = "import time; begun = time.time(); time.sleep(0.2); print(begun, time.time())"
    one, two = (list(map(float, shown.text.split())) for shown in pair.run(code, serial=True).values())
    assert one[1] <= two[0]


def test_kernels_end_with_their_session(install: Install) -> None:
    install("one")
    kernels = mambakernels.session("one", threads=[1, 2]).start()
    assert kernels.kernels == ("one (1 thread)", "one (2 threads)")
    results = kernels.run("import os; print(os.environ['OMP_NUM_THREADS'])")
    assert [shown.text for shown in results.values()] == ["1\n", "2\n"]
    pids = [status.pid for status in kernels.status()]
    assert all(psutil.pid_exists(pid) for pid in pids if pid)
    kernels.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
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
    assert [shown.kernel for shown in results.failed] == ["broken"]
