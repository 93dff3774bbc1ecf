from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.running_kernels import alive

from mambakernels.environments import Environment
from mambakernels.lessons import ElsewhereError, blas_kernels, elsewhere, on_kernels, processes
from mambakernels.numeric.threads import THREAD_VARIABLES

FORKED = "import os\nresult = [os.getpid(), os.environ.get('BLIS_NUM_THREADS'), os.environ.get('CONDA_PREFIX')]"


def test_code_runs_in_a_fresh_process_of_the_same_python() -> None:
    executable, pid, again = elsewhere("import os, sys\nresult = sys.executable, os.getpid(), 'numpy' in sys.modules")
    assert executable == sys.executable
    assert pid != os.getpid()
    assert again is False


def test_its_variables_are_set_before_anything_loads() -> None:
    code = "import os\nresult = [os.environ[name] for name in ('OPENBLAS_CORETYPE', 'OMP_NUM_THREADS')]"
    assert elsewhere(code, variables={"OPENBLAS_CORETYPE": "Haswell"}, threads=3) == ["Haswell", "3"]


def test_numbers_of_numpy_and_what_is_printed_come_through_unharmed() -> None:
    code = "import numpy as np\nprint('noise')\nresult = {'a': np.arange(3), 'b': np.float32(1.5), 'c': 'ü'}"
    assert elsewhere(code) == {"a": [0, 1, 2], "b": 1.5, "c": "ü"}


def test_an_error_elsewhere_comes_with_its_traceback() -> None:
    with pytest.raises(ElsewhereError, match=r"(?s)X=1.*line 2.*1 / 0.*ZeroDivisionError"):
        elsewhere("x = 1\n1 / 0", variables={"X": "1"})
    with pytest.raises(ElsewhereError, match=r"gives no `result`"):
        elsewhere("x = 1")


def test_a_processor_that_cannot_run_a_code_path_is_distinguished_from_an_error() -> None:
    with pytest.raises(ElsewhereError, match=r"SIGILL .this processor cannot run that code path"):
        elsewhere("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")


def test_it_waits_no_longer_than_its_limit() -> None:
    with pytest.raises(ElsewhereError, match=r"took longer than 0.5 seconds"):
        elsewhere("import time\ntime.sleep(60)", seconds=0.5)


def test_waiting_for_rest_waits_for_work_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake of the system's count: on a busy machine, a thread that spins may get no processor for a while."""
    counts = iter([7, 9, 12, 12, 13])
    monkeypatch.setattr(processes, "_REST_SECONDS", 600.0)
    monkeypatch.setattr(processes, "_processor_time", lambda _pid: next(counts))
    processes._wait_for_rest(os.getpid())
    assert list(counts) == [13]


def test_processor_time_is_that_of_a_process() -> None:
    before = processes._processor_time(os.getpid())
    assert before is not None
    while processes._processor_time(os.getpid()) == before:
        pass
    assert processes._processor_time(-1) is None


def test_a_kernel_that_is_not_there_is_named_with_those_that_are(environments: dict[str, Environment]) -> None:
    with pytest.raises(ValueError, match=f"no kernel np-nothing.*{next(iter(environments.values())).name}"):
        on_kernels("result = 1", ["np-nothing"])


def test_the_kernels_that_were_made_are_known_by_their_blas(environments: dict[str, Environment]) -> None:
    known = blas_kernels()
    assert {environment.name: blas for blas, environment in environments.items()}.items() <= known.items()


def test_kernels_take_turns_and_stay_the_same_processes(environments: dict[str, Environment]) -> None:
    first, second, *_ = [environment.name for environment in environments.values()]
    code = "import os, time\nstart = time.monotonic()\nresult = [os.getpid(), start, time.monotonic()]"
    ran = on_kernels(code, [first, second], rounds=3, threads=1)
    assert list(ran) == [first, second]
    assert [len({pid for pid, _, _ in turns}) for turns in ran.values()] == [1, 1]
    turns = [ran[name][index] for index in range(3) for name in (first, second)]
    times = [moment for _, start, end in turns for moment in (start, end)]
    assert times == sorted(times)
    assert not alive(pid for pid, _, _ in turns)


def test_threads_are_the_same_on_every_kernel(environments: dict[str, Environment]) -> None:
    names = [environment.name for environment in environments.values()]
    code = f"import os\nresult = [os.environ.get(name) for name in {THREAD_VARIABLES}]"
    assert set(map(str, (turn for (turn,) in on_kernels(code, names, threads=2).values()))) == {str(["2"] * 6)}


def test_kernels_next_to_its_own_are_found_where_jupyter_does_not_look(
    environments: dict[str, Environment], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a server whose kernels are in its own Python's folder: inside an environment, Jupyter looks elsewhere."""
    name = next(iter(environments.values())).name
    for title in ("here", "there"):
        shutil.copytree(home / "jupyter" / "kernels" / name, tmp_path / "kernels" / title)
    start = tmp_path / "kernels" / "here" / "start.py"
    monkeypatch.setattr(sys, "orig_argv", ["python", str(start), "-m", "ipykernel_launcher"])
    assert {"here", "there"} <= set(blas_kernels())
    assert on_kernels("result = 1", ["there"]) == {"there": [1]}


def test_what_its_own_kernelspec_set_does_not_reach_other_kernels(
    environments: dict[str, Environment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "kernels" / "variant" / "start.py"
    start.parent.mkdir(parents=True)
    variables = {"OPENBLAS_CORETYPE": "Haswell", "PATH": "/variant/bin:${PATH}"}
    (start.parent / "kernel.json").write_text(json.dumps({"argv": [], "env": variables}), encoding="utf-8")
    monkeypatch.setattr(sys, "orig_argv", ["python", str(start)])
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("PATH", f"/variant/bin:{os.environ['PATH']}")
    name = next(iter(environments.values())).name
    code = "from os import environ as e\nresult = e.get('OPENBLAS_CORETYPE'), e.get('OMP_NUM_THREADS'), e['PATH']"
    core, count, path = on_kernels(code, [name])[name][0]
    assert (core, count) == (None, None)
    assert "/variant/bin" not in path


def test_an_error_on_a_kernel_names_it_and_ends_all(environments: dict[str, Environment], tmp_path: Path) -> None:
    first, second, *_ = [environment.name for environment in environments.values()]
    code = (
        f"import os, pathlib\npathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()\n"
        f"result = 1\nif os.environ['CONDA_DEFAULT_ENV'] == {second!r}:\n    1 / 0"
    )
    with pytest.raises(ElsewhereError, match=f"(?s)failed on kernel {second}.*ZeroDivisionError"):
        on_kernels(code, [first, second])
    started = [int(file.name) for file in tmp_path.iterdir()]
    assert len(started) == 2
    assert not alive(started)


@pytest.mark.parametrize(
    ("code", "seconds", "words"),
    [
        ("x = 1", 120, "no `result` on kernel"),
        ("import time\ntime.sleep(60)", 1, "did not answer within 1 second"),
        ("import os, sys\nos.write(2, b'last words')\nos._exit(3)", 120, "(?s)ended unexpectedly.*last words"),
    ],
)
def test_a_kernel_that_gives_no_answer_is_reported(
    environments: dict[str, Environment], code: str, seconds: float, words: str
) -> None:
    name = next(iter(environments.values())).name
    with pytest.raises(ElsewhereError, match=words):
        on_kernels(code, [name], seconds=seconds)


@pytest.fixture(scope="module")
def inside(environments: dict[str, Environment]) -> Any:
    """A notebook that ran on one of our kernels and used others from there, one of them interrupted."""
    own, other, *_ = [environment.name for environment in environments.values()]
    cells = [
        (
            "from mambakernels.lessons import blas_kernels, on_kernels\n"
            "from mambakernels.numeric import set_threads\n"
            "set_threads(1)"
        ),
        f"print(on_kernels({FORKED!r}, [{own!r}, {other!r}]))",
        (
            "import os, signal, threading\n"
            "threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
            "try:\n"
            f"    on_kernels('import time; time.sleep(60)', [{other!r}])\n"
            "except KeyboardInterrupt:\n"
            "    print('interrupted')"
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    return NotebookClient(notebook, kernel_name=own, timeout=120).execute()


def test_a_lesson_drives_other_kernels_from_its_own(inside: Any, environments: dict[str, Environment]) -> None:
    own, other, *_ = environments.values()
    said = eval(inside.cells[1].outputs[0].text)
    assert [said[one.name][0][2] for one in (own, other)] == [str(own.prefix), str(other.prefix)]


def test_a_lesson_can_be_interrupted(inside: Any) -> None:
    assert inside.cells[2].outputs[0].text == "interrupted\n"
