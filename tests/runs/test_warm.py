"""Forked kernels are what kernels that were started as usual are, and die alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.running_kernels import alive, exists, family, seconds_until

from mambakernels.kernels import launcher
from mambakernels.kernels.launcher import FILES, Forking
from mambakernels.runs import session
from mambakernels.runs.execute import run
from mambakernels.runs.kernelspecs import find_kernels
from mambakernels.runs.warm import WarmPool

pytestmark = pytest.mark.slow
linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="kernels are forked on Linux")

# All that a notebook can see of its process, but for what `warm` names as different.
SEEN = """
import asyncio, gc, json, locale, logging, os, re, resource, signal, sys, tempfile, threading, warnings
from IPython.display import display

shell = get_ipython()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
plain = lambda thing: re.sub(r" at 0x\\w+|mk-[\\w/]+(?=/kernel)", "", str(thing))
display({"text/plain": json.dumps({
    "environ": {name: value for name, value in os.environ.items() if name != "MAMBAKERNELS_RUN"},
    "mark": (open("/proc/self/environ").read() + "\\0").count("RUN=" + os.environ["MAMBAKERNELS_RUN"] + "\\0"),
    "argv": plain(sys.argv), "orig_argv": plain(sys.orig_argv), "path": sys.path,
    "cwd": os.getcwd(), "flags": plain(sys.flags), "options": plain(sys._xoptions), "warnings": sys.warnoptions,
    "executable": sys.executable, "threads": threading.active_count(),
    "handlers": {number: plain(signal.getsignal(number)) for number in signal.valid_signals()},
    "status": [status[name] for name in ("SigBlk", "SigIgn", "SigCgt", "Umask", "CapEff", "Threads")],
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if "RLIMIT" in name},
    "handles": sorted(int(name) for name in os.listdir("/proc/self/fd") if int(name) < 3),
    "input": sys.__stdin__.read(), "session": (os.getsid(0), os.getpgrp()) == (os.getpid(), os.getpid()),
    "modules": sorted(sys.modules), "main": sorted(vars(sys.modules["__main__"])), "names": sorted(shell.user_ns),
    "filters": plain(warnings.filters), "loggers": sorted(logging.root.manager.loggerDict),
    "root": plain(logging.root.handlers), "ipython": [shell.ipython_dir, shell.profile_dir.location],
    "history": shell.history_manager.hist_file, "config": plain(shell.config), "locale": plain(locale.getlocale()),
    "streams": [[stream.encoding, stream.line_buffering] for stream in (sys.__stdout__, sys.__stderr__)],
    "hooks": plain([sys.excepthook, sys.displayhook, sys.breakpointhook, threading.excepthook, sys.meta_path]),
    "loop": plain(asyncio.get_event_loop_policy()), "nice": os.nice(0), "recursion": sys.getrecursionlimit(),
    "main thread": threading.current_thread() is threading.main_thread(), "temporary": tempfile.gettempdir(),
    "collector": [gc.isenabled(), gc.get_threshold()], "traced": [plain(sys.gettrace()), plain(sys.getprofile())],
}, default=str)}, raw=True)
"""
STARTED_AS_USUAL = "import os; print(os.environ['JPY_PARENT_PID'] == str(os.getppid()))"


def said(results: Any) -> list[str]:
    """Return what the cells of each run printed."""
    assert [result.error for result in results] == [None] * len(results)
    return ["".join(output.text for output in outputs(result)) for result in results]


def outputs(result: Any) -> list[Any]:
    return [output for cell in nbformat.read(result.path, as_version=4).cells for output in cell.get("outputs", ())]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["/e/bin/python", "-I", "-m", "ipykernel_launcher", "-f", "c"],
         Forking(["/e/bin/python", "-I", str(FILES / "fork.py")],
                 ["/e/bin/python", "-I", "-m", "ipykernel_launcher", "-f", "c"], ["-f", "c"], shell=False)),
        (["/bin/sh", "/k/start.sh", "/m/python", "/e/python", "/k/start.py", "-m", "ipykernel_launcher", "-f", "c"],
         Forking(["/bin/sh", "/k/start.sh", "/m/python", "/e/python", str(FILES / "fork.py")],
                 ["/e/python", "/k/start.py", "-m", "ipykernel_launcher", "-f", "c"], ["-f", "c"], shell=True)),
        (["/e/bin/python", "-m", "my_kernel", "-f", "c"], None),
        (["/usr/bin/env", "/e/bin/python", "-m", "ipykernel_launcher", "-f", "c"], None),
        (["bin/python", "-m", "ipykernel_launcher", "-f", "c"], None),
        (["/e/bin/python", "-m"], None),
    ],
)  # fmt: skip
def test_the_command_of_a_warm_process_is_the_kernels_own(argv: list[str], expected: Forking | None) -> None:
    assert launcher.forking(argv) == expected


@linux
def test_a_notebook_sees_what_it_sees_in_a_kernel_that_was_started_as_usual(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")  # which hides the debugger from other tests' kernels
    install("here", env={"WHO": "me", "PYTHONWARNINGS": "once", "IPYTHONDIR": str(tmp_path / "its own")})
    [kernel] = find_kernels(["here"])

    async def see() -> list[Any]:
        pool, found = WarmPool(), []
        try:
            for warm in (None, pool.of(kernel, several=True)):
                async with session.start(kernel, tmp_path, warm=warm) as started:
                    await started.ready(60)
                    [shown] = await started.run(SEEN)
                    found.append(json.loads(shown["text/plain"]))
            assert warm is not None
            assert not warm.unused
        finally:
            await pool.close_all()
        return found

    usual, forked = asyncio.run(see())
    assert forked == usual
    assert forked["environ"]["WHO"] == "me"


@linux
def test_each_forked_kernel_is_a_process_of_its_own(install: Any, write: Any, output: Path) -> None:
    install("here")
    cell = (
        "import json, os, random, uuid, tempfile\n"
        "assert 'left' not in globals() and not hasattr(json, 'left') and 'LEFT' not in os.environ\n"
        "left = json.left = os.environ['LEFT'] = str(n)\n"
        "print(os.getpid(), os.getppid(), random.random(), uuid.uuid4(), tempfile.mktemp())"
    )
    results = run(write(cell, parameters="n = 0"), kernels="here", grid={"n": [1, 2, 3]}, output=output)
    pids, parents, *drawn = zip(*(line.split() for line in said(results)), strict=True)
    assert len(set(parents)) == 1
    assert parents[0] != str(os.getpid())
    assert [len(set(values)) for values in (pids, *drawn)] == [3] * 4
    assert not any(map(exists, map(int, {*pids, *parents})))


@linux
def test_a_forked_kernel_dies_alone_and_is_missed_in_the_same_words(install: Any, write: Any, output: Path) -> None:
    install("here")
    deaths = {
        "exit": ("os._exit(3)", "status 3"),
        "kill": ("os.kill(os.getpid(), 9)", "signal SIGKILL"),
        "crash": ("import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(0)", "signal SIGSEGV"),
        "live": ("print('alive')", ""),
    }
    notebook = write("import os\nexec(how)", parameters="how = ''")
    codes = [code for code, _ in deaths.values()]
    runs = run(notebook, kernels="here", grid={"how": codes}, output=output, jobs=2)
    assert [one.status for one in runs] == ["failed"] * 3 + ["ok"]
    for one, (_, how) in zip(runs[:3], deaths.values(), strict=False):
        assert one.error is not None
        assert (one.error.cell, one.error.ename) == (4, "KernelDied")
        assert how in one.error.evalue
    assert runs[2].error is not None
    assert "Segmentation fault" in runs[2].error.stderr


@linux
def test_kernels_outlive_their_warm_process_and_the_next_start_as_usual(install: Any, write: Any, output: Path) -> None:
    install("here")
    end = "import os, signal, time\nif n == 2: os.kill(os.getppid(), signal.SIGKILL); time.sleep(0.3)"
    results = run(
        write("import os; print(os.getppid())", end, parameters="n = 0"),
        kernels="here", grid={"n": [1, 2, 3, 4, 5]}, output=output,
    )  # fmt: skip
    parents = [int(line) for line in said(results)]
    assert parents[0] == parents[1] != os.getpid()
    assert parents[4] == os.getpid()


@linux
def test_a_kernel_whose_end_nobody_has_seen_is_missed(install: Any, write: Any, output: Path) -> None:
    install("here")
    end = "import os, signal, time\nif n == 2:\n    os.kill(os.getppid(), 9); time.sleep(0.5); os._exit(1)"
    one, two = run(write(end, parameters="n = 0"), kernels="here", grid={"n": [1, 2]}, output=output)
    assert (one.status, two.status) == ("ok", "failed")
    assert two.error is not None
    assert (two.error.ename, two.error.evalue) == ("KernelDied", "The kernel ended with an unknown status.")


@linux
@pytest.mark.parametrize(
    ("site", "module", "variables"),
    [
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", None, {}),
        ("", "sqlite3.py", {}),
        ("", "zmq/__init__.py", {}),
        ("", None, {"PYTHONPATH": "src"}),
    ],
)
def test_what_cannot_be_forked_starts_as_usual(  # noqa: PLR0917 (fixtures)
    site: str, module: str | None, variables: dict[str, str], install: Any, write: Any, output: Path
) -> None:
    install("here", site=site, **({"env": variables} if variables else {}))
    notebook = write(STARTED_AS_USUAL, parameters="n = 0")
    if module:
        (notebook.parent / module).parent.mkdir(exist_ok=True)
        (notebook.parent / module).write_text("")
    results = run(notebook, kernels="here", grid={"n": [1, 2]}, output=output)
    assert said(results) == ["True\n", "True\n"]


@linux
def test_forks_are_made_only_where_they_pay_and_are_wanted(install: Any, write: Any, output: Path) -> None:
    install("once")
    install("twice")
    notebook = write(STARTED_AS_USUAL, parameters="n = 0")
    exclude = [{"kernel": "once", "n": 2}]
    results = run(notebook, kernels=["once", "twice"], grid={"n": [1, 2]}, exclude=exclude, output=output)
    assert said(results) == ["True\n", "False\n", "False\n"]
    again = run(notebook, kernels="twice", grid={"n": [1, 2]}, output=output, force=True, fork=False)
    assert said(again) == ["True\n", "True\n"]


@pytest.mark.parametrize("fork", [True, False])
def test_no_process_is_left(fork: bool, install: Any, write: Any, output: Path) -> None:  # noqa: FBT001
    install("here")
    cell = (
        "import subprocess\n"
        "children = [subprocess.Popen(['sleep', '600'], start_new_session=own) for own in (False, True)]\n"
        "print(*(child.pid for child in children))"
    )
    results = run(write(cell, parameters="n = 0"), kernels="here", grid={"n": [1, 2]}, output=output, fork=fork)
    left = {int(pid) for line in said(results) for pid in line.split()}
    assert len(left) == 4
    seconds_until(lambda: not alive(left), at_most=60)


@linux
def test_all_end_with_a_killed_runner(install: Any, write: Any, tmp_path: Path) -> None:
    install("here")
    notebook = write(
        "import os, pathlib, subprocess, time\nsubprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(tmp_path)!r}, f'began {{n}}').touch()\n"
        "while True: pass" , parameters="n = 0",
    )  # fmt: skip
    code = (
        "import sys; from mambakernels.runs.execute import run\n"
        "run(sys.argv[1], kernels='here', grid={'n': [1, 2, 3]}, output=sys.argv[2], jobs=2)"
    )
    with subprocess.Popen([sys.executable, "-c", code, notebook, tmp_path / "runs"]) as child:
        seconds_until(lambda: len(list(tmp_path.glob("began*"))) == 2, at_most=60)
        processes = family(child.pid)
        assert len(processes) >= 1 + 1 + 2 + 2  # the runner, the warm process, two kernels and what they started
        child.send_signal(signal.SIGKILL)
    seconds_until(lambda: not alive(processes), at_most=60)


@linux
def test_a_forked_kernel_that_takes_too_long_is_stopped(install: Any, write: Any, output: Path) -> None:
    install("here")
    notebook = write("import time\nprint('begun', flush=True)\nif n == 1: time.sleep(600)", parameters="n = 0")
    late, fine = run(notebook, kernels="here", grid={"n": [1, 2]}, output=output, timeout=3)
    assert late.error is not None
    assert (late.error.ename, fine.status) == ("TimeoutError", "ok")
    assert outputs(late)[0].text == "begun\n"


@linux
@pytest.mark.parametrize("count", [1_500, pytest.param(20_000, marks=pytest.mark.exhaustive)])  # zmq queues 1,000
def test_a_forked_kernel_loses_none_of_many_outputs(count: int, install: Any, write: Any, output: Path) -> None:
    install("here")
    notebook = write("for i in range(n): display(i)", parameters="n = 0")
    for result in run(notebook, kernels="here", grid={"n": [1, count]}, output=output):
        shown = [output.data["text/plain"] for output in outputs(result)]
        assert shown == [str(n) for n in range(result.parameters["n"])]
