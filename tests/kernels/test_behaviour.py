"""What interrupt, restart, shutdown and the death of their server do to kernels that run, and to what they started.

The bounds are generous on purpose: they tell a kernel that reacts from one that does not; how fast is in the README.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.jupyter_servers import end, jupyter_server, manager
from support.running_kernels import Kernel, alive, family, make_environment, processes, running, seconds_until

from mambakernels.channels import blas_libraries
from mambakernels.environments import Environment
from mambakernels.kernels.registration import register_kernels as register

pytestmark = pytest.mark.slow

SECONDS = 60  # in which a kernel has to have reacted, on a machine that is busy with other things
BLAS = [item.name for item in blas_libraries.available()]


@pytest.fixture(scope="module", autouse=True)
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Jupyter data folder for the kernels of this module."""
    folder = tmp_path_factory.mktemp("behaviour")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter dätä"))
        yield folder / "jupyter dätä"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with activation, of this Python and its packages."""
    root = tmp_path_factory.mktemp("root with späces")
    return make_environment(root, "real é", scripts={"a.sh": 'export FROM_SCRIPT="$CONDA_PREFIX/share"'})


@pytest.fixture(scope="module")
def name(environment: Environment) -> str:
    return register(environment)[0].name


@pytest.fixture(scope="module")
def kernel(name: str) -> Iterator[Kernel]:
    """A kernel that several tests interrupt: each finds it as the one before has left it, usable."""
    with running(name) as started:
        yield started


@pytest.fixture
def ended() -> Iterator[set[int]]:
    """A set to put processes in that must not survive the test even where it fails."""
    pids: set[int] = set()
    yield pids
    end(pids)


STARTED = "print('started', flush=True)"
PRODUCTS = f"import numpy\na = numpy.ones((500, 500))\n{STARTED}\nwhile True:\n    a @ a"
POOL = """import multiprocessing as m, signal, time
with m.Pool(2, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as p:"""
# Work that never ends, and the error that an interrupt ends it with. IPython passes the interrupt of a shell command on
# to the command, and the cell goes on, in any kernel.
WORK = {
    "a loop in Python": (f"{STARTED}\nwhile True:\n    pass", "KeyboardInterrupt"),
    "sleep": (f"import time\n{STARTED}\ntime.sleep(600)", "KeyboardInterrupt"),
    "products": (PRODUCTS, "KeyboardInterrupt"),
    "a lock": (f"import threading\n{STARTED}\nthreading.Event().wait(600)", "KeyboardInterrupt"),
    "a program": (f"import subprocess\n{STARTED}\nsubprocess.run(['sleep', '600'])", "KeyboardInterrupt"),
    "a pipe of programs": (
        f"import subprocess\n{STARTED}\nsubprocess.run('sleep 600 | sleep 600', shell=True)", "KeyboardInterrupt",
    ),
    "a shell command": ("!echo started; sleep 600", None),
    # The pool ends its workers itself, as Python's documentation has it: where an interrupt kills one that reads its
    # next task, Pool.terminate now and then raises an EOFError instead. It is at work before it is interrupted, as a
    # pool that is being made may hang.
    "a pool": (
        f"{POOL}\n    p.map(abs, [1]); {STARTED}; p.map(time.sleep, [9e3])", "KeyboardInterrupt",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "error"), WORK.values(), ids=WORK)
def test_an_interrupt_ends_the_cell_and_nothing_else(kernel: Kernel, code: str, error: str | None) -> None:
    kernel.run("kept = ['state']")
    assert kernel.interrupt(kernel.begin(code), seconds=SECONDS)[0] == error
    assert kernel.evaluate("[kept, os.environ['FROM_SCRIPT'][-5:], os.getpid()]") == [["state"], "share", kernel.pid]
    seconds_until(lambda: family(kernel.pid) == {kernel.pid}, at_most=SECONDS)


def test_a_kernel_of_a_server_that_ignores_interrupts_can_be_interrupted(name: str) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as with `nohup`, or `jupyter lab &` in a script
    try:
        with running(name) as kernel:
            cell = kernel.begin(WORK["sleep"][0])
            assert kernel.interrupt(cell, seconds=SECONDS)[0] == "KeyboardInterrupt"
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("library", BLAS)
def test_a_kernel_of_each_blas_can_be_interrupted_between_calls(
    environments: dict[str, Environment], library: str
) -> None:
    with running(register(environments[library])[0].name) as kernel:
        assert kernel.interrupt(kernel.begin(PRODUCTS), seconds=SECONDS)[0] == "KeyboardInterrupt"
        assert kernel.evaluate("int((a @ a)[0, 0])") == 500


def test_a_single_call_of_compiled_code_is_not_cut_short_but_the_kernel_can_be_restarted_in_it(
    name: str, tmp_path: Path
) -> None:
    # Python sees a signal between its own steps only. Here the call is the C library's sleep with the GIL held.
    call = "import ctypes\nsleep = ctypes.PyDLL(None).usleep\n"
    with running(name) as kernel:
        cell = kernel.begin(f"{call}{STARTED}\nresult = [sleep(900_000) for _ in range(300)]")
        assert kernel.interrupt(cell, seconds=60)[0] == "KeyboardInterrupt"
        assert kernel.evaluate("'result' in globals()") is False
        # What a cell prints is sent by another thread, which may never get the GIL here: a file says that it has begun.
        begun = tmp_path / "begun"
        kernel.client.execute(f"{call}open({str(begun)!r}, 'w').close()\nwhile True:\n    sleep(900_000_000)")
        seconds_until(begun.exists, at_most=60)
        before = kernel.pid
        kernel.manager.interrupt_kernel()
        kernel.manager.restart_kernel(now=True)
        kernel.client.wait_for_ready(timeout=120)
        assert kernel.pid != before
        assert not alive({before})


# What a user's cell may have started: a program, a pool of processes at work, and a shell with a program of its own.
CHILDREN = """
import multiprocessing, subprocess, time
children = [subprocess.Popen(["sleep", "600"]), subprocess.Popen(["sh", "-c", "sleep 600; sleep 600"])]
pool = multiprocessing.Pool(2)
result = pool.map_async(time.sleep, [600] * 2)
print("started", flush=True)
"""


def with_its_children(pid: int) -> set[int]:
    """Return a kernel and what `CHILDREN` started, when the shell has started its program, too."""
    seconds_until(lambda: len(family(pid)) >= 6, at_most=SECONDS)
    return family(pid)


@pytest.mark.parametrize("now", [False, True], ids=["asked", "killed"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_shutdown_leaves_no_process(name: str, ended: set[int], *, now: bool, busy: bool) -> None:
    with running(name) as kernel:
        kernel.run(CHILDREN)
        if busy:
            kernel.begin(f"{STARTED}\ntime.sleep(600)")
        belonging = with_its_children(kernel.pid)
        ended |= belonging
        kernel.manager.shutdown_kernel(now=now)
        seconds_until(lambda: not alive(belonging), at_most=SECONDS)


@pytest.mark.parametrize("now", [False, True], ids=["asked", "killed"])
def test_restart_is_a_new_process_in_the_same_environment(name: str, ended: set[int], *, now: bool) -> None:
    environ = "[sys.prefix, shutil.which('python'), {k: v for k, v in os.environ.items() if k != 'JPY_PARENT_PID'}]"
    with running(name) as kernel:
        before, pid = kernel.evaluate(environ), kernel.pid
        kernel.run(CHILDREN)
        belonging = with_its_children(pid)
        ended |= belonging
        kernel.manager.restart_kernel(now=now)
        kernel.client.wait_for_ready(timeout=120)
        assert kernel.pid != pid
        assert kernel.evaluate("os.getpid()") == kernel.pid
        assert kernel.evaluate(environ) == before
        seconds_until(lambda: not alive(belonging), at_most=SECONDS)


def test_no_process_stands_between_jupyter_and_the_kernel(name: str, environment: Environment) -> None:
    with running(name) as kernel:
        (itself,) = [process for process in processes() if process.pid == kernel.pid]
        assert itself.parent == os.getpid()
        assert itself.command.startswith(f"{environment.python} ")
        assert kernel.evaluate("os.getpid()") == kernel.pid
        assert family(kernel.pid) == {kernel.pid}


def children(pid: int) -> set[int]:
    """Return the kernels that a process has itself started."""
    table = [process for process in processes() if process.parent == pid]
    return {process.pid for process in table if "ipykernel_launcher" in process.command}


@pytest.fixture(scope="module")
def old_ipykernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last ipykernel before 7, which many environments have: it looks after its parent in another way."""
    folder = tmp_path_factory.mktemp("ipykernel 6")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), "ipykernel==6.29.5", "nest-asyncio"], check=True)
    return folder


@pytest.fixture(scope="module")
def old_name(old_ipykernel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registered kernel of an environment with that ipykernel."""
    return register(make_environment(tmp_path_factory.mktemp("root"), "old", paths=[old_ipykernel]))[0].name


KILLED = [
    pytest.param("name", False, id="init"),
    pytest.param("name", True, id="subreaper"),
    pytest.param("old_name", False, id="ipykernel 6, init"),
    pytest.param("old_name", True, id="ipykernel 6, subreaper"),
]


@pytest.mark.parametrize(("fixture", "subreaper"), KILLED)
def test_kernels_end_when_the_process_that_started_them_is_killed(
    request: pytest.FixtureRequest, fixture: str, *, subreaper: bool
) -> None:
    with manager(request.getfixturevalue(fixture), kernels=2, subreaper=subreaper) as starter:
        assert len(alive(starter.kernels)) == 2
        os.kill(starter.pid, signal.SIGKILL)
        seconds_until(lambda: not alive(starter.kernels), at_most=SECONDS)


@pytest.mark.parametrize(
    "subreaper",
    [pytest.param(False, id="init"), pytest.param(True, id="subreaper", marks=pytest.mark.exhaustive)],
)
def test_kernels_end_when_jupyter_server_is_killed(name: str, tmp_path: Path, *, subreaper: bool) -> None:
    with jupyter_server(tmp_path / "server", subreaper=subreaper) as server:
        identities = [server.ask("api/kernels", method="POST", body={"name": name})["id"] for _ in range(2)]
        family = "import os, subprocess\nprint([os.getpid(), subprocess.Popen(['sleep', '600']).pid], flush=True)"
        families = [json.loads(server.run(identity, family).said) for identity in identities]
        assert {kernel for kernel, _child in families} <= children(server.pid)
        pids = [pid for family in families for pid in family]
        os.kill(server.pid, signal.SIGKILL)
        seconds_until(lambda: not alive(pids), at_most=SECONDS)


MANY = [4, pytest.param(20, marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize("count", MANY)
def test_many_kernels_at_once_start_and_end(name: str, count: int) -> None:
    with manager(name, kernels=count) as starter:
        assert len(set(starter.kernels)) == count
        assert children(starter.pid) == set(starter.kernels)
        starter.process.communicate(timeout=120)  # the end of its input, which it waits for
        assert starter.process.returncode == 0
        assert not alive(starter.kernels)


@pytest.mark.parametrize("count", MANY)
def test_many_kernels_asked_of_a_server_at_once_all_answer_and_one_that_dies_is_started_again(
    name: str, count: int, tmp_path: Path
) -> None:
    with jupyter_server(tmp_path / "server") as server:

        def start(_number: int) -> str:
            return str(server.ask("api/kernels", method="POST", body={"name": name})["id"])

        with ThreadPoolExecutor(count) as pool:
            identities = list(pool.map(start, range(count)))

        def numbers() -> list[int]:
            code = "import os\nprint(os.getpid())"
            return [json.loads(server.run(identity, code).said) for identity in identities]

        before = numbers()
        assert set(before) == children(server.pid)
        assert len(set(before)) == count
        os.kill(before[0], signal.SIGKILL)
        seconds_until(lambda: len(children(server.pid) - {before[0]}) == count, at_most=SECONDS)
        after = numbers()
        assert set(after) == children(server.pid)
        assert (after[0] != before[0], after[1:]) == (True, before[1:])
        pids = {*before, *after}
        server.process.terminate()
        assert server.process.wait(60) == 0
        seconds_until(lambda: not alive(pids), at_most=SECONDS)
