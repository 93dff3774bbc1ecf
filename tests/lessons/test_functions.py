"""Functions in other processes, from a kernel that mambakernels registered, and from a Python that has it installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from support.running_kernels import exists

from mambakernels.environments import Environment
from mambakernels.lessons import ElsewhereError, compare, in_fresh_process, on_kernels
from mambakernels.lessons.evidence import EVIDENCE, seconds_of
from mambakernels.numeric.threads import THREAD_VARIABLES
from mambakernels.numeric.user_code import NotPortableError

NAMES = (*THREAD_VARIABLES, "OPENBLAS_CORETYPE", "CONDA_DEFAULT_ENV", "PATH")


def process() -> Any:
    return sys.executable, os.getpid(), "numpy" in sys.modules


def variables() -> Any:
    return {name: os.environ.get(name) for name in NAMES}


def arrays() -> Any:
    sys.stdout.write("noise\n")
    return {"a": np.arange(3), "b": np.float32(1.5), "c": "ü"}


def fails() -> Any:
    return 1 / 0


def illegal() -> None:
    os.kill(os.getpid(), signal.SIGILL)


def hangs() -> None:
    import time

    time.sleep(60)


def fails_in(environment: str) -> Any:
    return 1 / 0 if os.environ["CONDA_DEFAULT_ENV"] == environment else os.getpid()


def dies() -> None:
    os._exit(3)


def measures() -> float:
    return seconds_of(np.sort, np.ones(9), budget=0.01)


def test_a_function_runs_in_a_fresh_process_of_the_same_python() -> None:
    executable, pid, again = in_fresh_process(process)
    assert executable == sys.executable
    assert pid != os.getpid()
    assert again is False


def test_its_variables_are_set_before_anything_loads() -> None:
    found = in_fresh_process(variables, variables={"OPENBLAS_CORETYPE": "Haswell"}, threads=3)
    assert (found["OPENBLAS_CORETYPE"], found["OMP_NUM_THREADS"]) == ("Haswell", "3")


def test_numbers_of_numpy_and_what_is_printed_come_through_unharmed() -> None:
    assert in_fresh_process(arrays) == {"a": [0, 1, 2], "b": 1.5, "c": "ü"}


def test_what_a_measurement_elsewhere_shows_of_the_machine_is_evidence_here() -> None:
    EVIDENCE.clear()
    assert in_fresh_process(measures) > 0
    assert len(EVIDENCE[-1].controls) == 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (fails, r"(?s)fails, called in a fresh process with X=1,.*1 / 0.*ZeroDivisionError"),
        (illegal, r"SIGILL .this processor cannot run that code path"),
    ],
)
def test_an_error_elsewhere_comes_with_its_traceback(function: Any, words: str) -> None:
    with pytest.raises(ElsewhereError, match=words):
        in_fresh_process(function, variables={"X": "1"})


def test_it_waits_no_longer_than_its_limit() -> None:
    with pytest.raises(ElsewhereError, match=r"took longer than 0.5 seconds"):
        in_fresh_process(hangs, limit=0.5)


def test_a_kernel_that_is_not_there_is_named_with_those_that_are(environments: dict[str, Environment]) -> None:
    with pytest.raises(ElsewhereError, match=f"(?s)no kernel np-nothing.*{next(iter(environments.values())).name}"):
        on_kernels(process, kernels=["np-nothing"])


def test_a_function_that_cannot_travel_is_refused_before_any_process_starts() -> None:
    with pytest.raises(NotPortableError, match="lambda"):
        compare(lambda: 1)


def test_kernels_on_which_a_function_fails_are_left_out_with_a_line(
    environments: dict[str, Environment], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = [environment.name for environment in environments.values()]
    ran = on_kernels(fails_in, second, kernels=[first, second])
    assert set(ran) == {first}
    assert not exists(ran[first])
    assert f"{second} is left out: ZeroDivisionError: division by zero." in capsys.readouterr().out


def test_each_kernel_gets_its_own_variables_and_the_threads_asked_for(
    environments: dict[str, Environment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this kernel's kernelspec set does not reach the others, whose folder Jupyter need not search."""
    name = next(iter(environments.values())).name
    start = tmp_path / "kernels" / "variant" / "start.py"
    start.parent.mkdir(parents=True)
    own = {"OPENBLAS_CORETYPE": "Haswell", "PATH": "/variant/bin:${PATH}"}
    (start.parent / "kernel.json").write_text(json.dumps({"argv": [], "env": own}), encoding="utf-8")
    shutil.copytree(Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels" / name, tmp_path / "kernels" / "there")
    monkeypatch.setattr(sys, "orig_argv", ["python", str(start)])
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("PATH", f"/variant/bin:{os.environ['PATH']}")
    found = on_kernels(variables, kernels=["there"], threads=2)["there"]
    assert [found[one] for one in THREAD_VARIABLES] == ["2"] * len(THREAD_VARIABLES)
    assert found["OPENBLAS_CORETYPE"] is None
    assert "/variant/bin" not in found["PATH"]


@pytest.fixture(scope="module")
def inside(environments: dict[str, Environment]) -> Any:
    """A notebook that ran on one of our kernels and used others from there, one of them interrupted."""
    own, other, *_ = [environment.name for environment in environments.values()]
    cells = [
        "import os, signal, threading\nimport numpy as np\nfrom mambakernels.lessons import compare, on_kernels",
        (
            "def prefix():\n    return os.environ['CONDA_PREFIX']\n\ndef total(x):\n    return x.sum()\n\n"
            "def ones(n):\n    return np.ones(n)"
        ),
        f"print(on_kernels(prefix, kernels=[{own!r}, {other!r}]))",
        (
            f"found = compare(total, setup=ones, sizes=[9], kernels=[{own!r}, {other!r}], threads=1, budget=1)\n"
            "print([sorted(found.seconds()), found.blas, found.correct, sorted(found.control())])"
        ),
        (
            "threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
            "try:\n"
            f"    compare(total, setup=ones, sizes=[9], kernels=[{other!r}], budget=600)\n"
            "except KeyboardInterrupt:\n"
            "    print('interrupted')"
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    return NotebookClient(notebook, kernel_name=own, timeout=120).execute()


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_a_lesson_drives_other_kernels_from_its_own(inside: Any, environments: dict[str, Environment]) -> None:
    own, other, *_ = environments.values()
    assert eval(printed(inside.cells[2])) == {one.name: str(one.prefix) for one in (own, other)}


def test_a_lesson_compares_functions_of_its_own(inside: Any, environments: dict[str, Environment]) -> None:
    (first, own), (second, other), *_ = environments.items()
    names = sorted([own.name, other.name])
    said = eval(printed(inside.cells[3]).splitlines()[-1])
    assert said == [names, {own.name: first, other.name: second}, True, names]


def test_a_lesson_can_be_interrupted(inside: Any) -> None:
    assert printed(inside.cells[4]).endswith("interrupted\n")
