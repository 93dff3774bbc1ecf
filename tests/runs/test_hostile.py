"""Notebooks that do what notebooks should not: each ends in the documented way, in time, with no process left."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mambakernels.errors import MambakernelsError
from mambakernels.runs import leftovers
from mambakernels.runs.execute import run
from mambakernels.runs.records import Run

pytestmark = pytest.mark.slow
ALSO = pytest.mark.exhaustive  # another way to the same end
SECONDS = 60.0
FOREVER = "__import__('time').sleep(600)"
SLEEP = "[__import__('sys').executable, '-c', 'import time; time.sleep(600)']"
IGNORE = (
    "import signal, time\nfor name in ('SIGINT', 'SIGTERM'): signal.signal(getattr(signal, name), signal.SIG_IGN)\n"
)
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for handle in range(3):
            os.close(handle)
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@pytest.fixture
def execute(install: Any, write: Any, output: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Return a function that runs cells on a kernel and makes sure that no process is left."""
    install("here")
    marks: list[str] = []
    new_mark = leftovers.new_mark

    def noted() -> str:
        marks.append(new_mark())
        return marks[-1]

    monkeypatch.setattr(leftovers, "new_mark", noted)

    def run_cells(*sources: str, **options: Any) -> Run:
        result = run(write(*sources), kernels="here", output=output, **{"timeout": SECONDS, **options})[-1]
        left = [process.name for process in Path("/proc").glob("[0-9]*") if _has(process, marks)]
        assert not left, "a process was left"
        assert marks
        return result

    return run_cells


def _has(process: Path, marks: list[str]) -> bool:
    try:
        environ = (process / "environ").read_bytes()
    except OSError:
        return False
    return any(mark.encode() in environ for mark in marks) and _runs(process)


def _runs(process: Path) -> bool:
    try:
        return ") Z " not in (process / "stat").read_text(errors="replace")
    except OSError:
        return False


def texts(result: Run) -> list[str]:
    cells = [cell for cell in nbformat.read(result.path, as_version=4).cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "not a notebook"),
        ("not json", "not a notebook"),
        ("[]", "not a notebook"),
        ("[" * 100_000, "not a notebook"),
        ("{}", "not a notebook"),
        ("null", "not a notebook"),
        ('{"nbformat": 4, "cells": null}', "cells"),
        ('{"nbformat": 4}', "cells"),
        ('{"nbformat": 99, "cells": []}', "format"),
        ('{"nbformat": 2, "worksheets": 7}', "format"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 7}]}', "source"),
        ('{"nbformat": 4, "cells": [{"cell_type": "heading", "source": ""}]}', "cell_type"),
        ("\xff\xfe\x00", "not a notebook"),
    ],
)
def test_what_is_no_notebook_is_refused_before_a_kernel_starts(
    content: str, error: str, install: Any, output: Path, tmp_path: Path
) -> None:
    install("here")
    path = tmp_path / "hostile.ipynb"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(MambakernelsError, match=error) as refused:
        run(path, kernels="here", output=output)
    assert refused.value.where == str(path)


def test_a_notebook_without_cells_goes_well(execute: Callable[..., Run]) -> None:
    assert execute().status == "ok"


def test_duplicate_and_invalid_ids_are_replaced(install: Any, write: Any, output: Path) -> None:
    install("here")
    path = write("print(1)", "print(2)")
    content = json.loads(path.read_text("utf-8"))
    for cell, name in zip(content["cells"], ("same", "same", "with a space"), strict=True):
        cell["id"] = name
    path.write_text(json.dumps(content), "utf-8")
    [result] = run(path, kernels="here", output=output)
    executed = nbformat.read(result.path, as_version=4)
    nbformat.validate(executed)
    assert (result.status, len({cell.id for cell in executed.cells}), texts(result)) == ("ok", 3, ["1\n", "2\n"])


@pytest.mark.parametrize(
    ("cell", "ename", "says"),
    [
        ("input('Name? ')", "StdinNotImplementedError", "input"),
        pytest.param("import getpass; getpass.getpass()", "StdinNotImplementedError", "getpass", marks=ALSO),
        ("import os; os._exit(3)", "KernelDied", "status 3"),
        pytest.param("import sys; sys.exit(1)", "SystemExit", "1", marks=ALSO),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "KernelDied", "SIGKILL"),
        pytest.param("import ctypes; ctypes.string_at(0)", "KernelDied", "SIGSEGV", marks=ALSO),
        pytest.param("import os; os.abort()", "KernelDied", "SIGABRT", marks=ALSO),
        pytest.param("raise KeyboardInterrupt", "KeyboardInterrupt", "", marks=ALSO),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)",
            "KeyboardInterrupt",
            "",
            marks=ALSO,
        ),
        ("import os, sys; os.execv(sys.executable, sys.orig_argv)", "KernelDied", "restarted itself"),
        ("import os, sys; os.execv(sys.executable, [sys.executable, '-c', ''])", "KernelDied", "status 0"),
    ],
)
def test_a_cell_that_ends_its_run(cell: str, ename: str, says: str, execute: Callable[..., Run]) -> None:
    result = execute("print('before', flush=True)", cell, "print('never')")
    assert result.status == "failed"
    assert result.error is not None
    assert (result.error.ename, result.error.cell) == (ename, 3)
    assert says in result.error.evalue
    assert result.error.source
    assert texts(result)[0] == "before\n"
    assert texts(result)[2] == ""


@pytest.mark.parametrize("cell", ["exit()", pytest.param("quit()", marks=ALSO), pytest.param("exit", marks=ALSO)])
def test_a_notebook_that_asks_to_exit_ends_there_and_went_well(cell: str, execute: Callable[..., Run]) -> None:
    result = execute("print('before')", cell, "print('never')")
    assert (result.status, result.error, texts(result)[0], texts(result)[2]) == ("ok", None, "before\n", "")


@pytest.mark.parametrize(
    "cell",
    [
        "import time\nwhile True:\n    try: time.sleep(600)\n    except KeyboardInterrupt: pass",
        pytest.param(IGNORE + "time.sleep(600)", marks=ALSO),
        pytest.param("while True: print('x' * 1000)", marks=ALSO),
        pytest.param("import os\nwhile True: os.write(1, b'x' * 1000)", marks=ALSO),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", marks=ALSO),
        pytest.param("import subprocess; subprocess.run(['sleep', '600'])", marks=ALSO),
        pytest.param("import threading; threading.Event().wait()", marks=ALSO),
    ],
)
def test_a_cell_that_never_ends_is_ended_by_its_time_out(cell: str, execute: Callable[..., Run]) -> None:
    before = time.monotonic()
    result = execute("print('before')", cell, timeout=2.0)
    assert result.error is not None
    assert (result.status, result.error.ename, result.error.cell) == ("failed", "TimeoutError", 3)
    assert time.monotonic() - before < SECONDS
    assert texts(result)[0] == "before\n"


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(f"import subprocess; subprocess.Popen({SLEEP}); None", marks=ALSO),
        pytest.param(f"import subprocess; subprocess.Popen({SLEEP}, start_new_session=True); None", marks=ALSO),
        pytest.param("!nohup sleep 600 > /dev/null 2>&1 &", marks=ALSO),
        DAEMON,
        DAEMON + "os._exit(3)",
        pytest.param(DAEMON + FOREVER, marks=ALSO),
        pytest.param(IGNORE + "import os\nif os.fork() == 0: os.setsid(); time.sleep(600)", marks=ALSO),
        pytest.param(
            "import multiprocessing, time; multiprocessing.Process(target=time.sleep, args=(600,)).start()", marks=ALSO
        ),
        pytest.param("import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()", marks=ALSO),
    ],
)
@pytest.mark.parametrize("repeat", [1, 2], ids=["started", "forked"])  # kernels that are used twice are forked
def test_what_a_notebook_leaves_running_ends_with_it(cell: str, repeat: int, execute: Callable[..., Run]) -> None:
    before = time.monotonic()
    result = execute("print('before')", cell, timeout=5.0, repeat=repeat)
    assert time.monotonic() - before < SECONDS
    assert texts(result)[0] == "before\n"


@pytest.mark.parametrize("repeat", [1, 2], ids=["started", "forked"])
def test_a_process_without_the_variable_ends_with_the_kernel_that_is_its_parent(
    repeat: int, execute: Callable[..., Run], tmp_path: Path
) -> None:
    left = tmp_path / "left"
    child = "import subprocess; child = subprocess.Popen(['env', '-i', 'sleep', '600'], start_new_session=True)"
    execute(f"{child}\nprint(child.pid, file=open({str(left)!r}, 'a'))", repeat=repeat)
    numbers = left.read_text("utf-8").split()
    assert len(numbers) == repeat
    assert not any(_runs(Path("/proc", number)) for number in numbers)


def test_what_others_started_stays(execute: Callable[..., Run]) -> None:
    with subprocess.Popen(["sleep", "600"], env={**os.environ, leftovers.VARIABLE: "another's"}) as other:
        try:
            execute("print(1)")
            assert other.poll() is None
        finally:
            other.kill()


def test_a_forked_child_does_not_answer_for_the_kernel(execute: Callable[..., Run]) -> None:
    cells = [
        "import os\nchild = os.fork()\nif child: print('parent', flush=True)",
        "print(os.getpid(), os.getppid(), flush=True)",
        "print('after')",
    ]
    result = execute(*cells, timeout=10.0)
    assert (result.status, result.error) == ("ok", None)
    assert texts(result)[0] == "parent\n"
    assert len(texts(result)[1].split()) == 2
    assert texts(result)[2] == "after\n"


def test_a_change_of_directory_lasts_and_the_record_lands_where_it_should(
    execute: Callable[..., Run], tmp_path: Path, output: Path
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    result = execute(f"import os; os.chdir({str(place)!r})", "print(os.getcwd())")
    assert texts(result)[1].strip() == str(place)
    assert result.path.parent == output
    assert list(place.iterdir()) == []


def test_what_is_deleted_meanwhile_costs_nothing_but_itself(execute: Callable[..., Run], output: Path) -> None:
    result = execute(
        "import os, shutil, pathlib; here = pathlib.Path.cwd()",
        "[file.unlink() for file in here.glob('*.ipynb')]; print('no notebook')",
        f"shutil.rmtree({str(output)!r}); print('no record')",
        "shutil.rmtree(here); print('no folder')",
        "print('after')",
    )
    assert (result.status, result.error) == ("ok", None)
    assert texts(result) == ["", "no notebook\n", "no record\n", "no folder\n", "after\n"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("import os; os.close(1); os.close(2); None", "after\n"),
        ("import sys, io; sys.stdout = io.StringIO()", ""),
        ("import sys; sys.stdout.close()", None),
        pytest.param("import sys; sys.stdout = None", None, marks=ALSO),  # IPython waits for ever
    ],
)
def test_a_cell_that_takes_away_its_outputs(cell: str, shown: str | None, execute: Callable[..., Run]) -> None:
    result = execute(cell, "print('after')", timeout=20.0)
    if shown is not None:
        assert (result.status, texts(result)[1]) == ("ok", shown)


@pytest.mark.parametrize(
    ("cell", "size"),
    [
        ("print('x' * 10_000_000)", 10_000_001),
        pytest.param("print('x' * 50_000_000)", 50_000_001, marks=ALSO),
        pytest.param("display({'image/png': 'x' * 50_000_000}, raw=True)", 50_000_000, marks=ALSO),
        pytest.param("for n in range(500_000): print(n)", 3_388_890, marks=ALSO),
        pytest.param("for n in range(500_000): print(n, end='\\r')", 6, marks=ALSO),  # as much as can be seen
    ],
)
def test_much_output_is_all_recorded(cell: str, size: int, execute: Callable[..., Run]) -> None:
    result = execute(cell, "print('after')", timeout=SECONDS)
    assert (result.status, result.error) == ("ok", None)
    first, second = nbformat.read(result.path, as_version=4).cells[1:]
    [shown] = first.outputs
    assert len(shown.get("text") or shown.data["image/png"]) == pytest.approx(size, abs=2)
    assert second.outputs[0].text == "after\n"


def test_what_a_failure_repeats_is_bounded(execute: Callable[..., Run]) -> None:
    result = execute("print('x' * 10**6); print('end'); raise ValueError('y' * 10**5)")
    assert result.error is not None
    assert len(str(result.error)) + len(result.error.output) + len(result.error.traceback) < 100_000
    assert result.error.output.endswith("end")
    assert texts(result)[0].startswith("xxx")
