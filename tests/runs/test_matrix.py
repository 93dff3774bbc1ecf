"""The matrix of runs: planned, named, executed side by side, resumed, shared between runners."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mambakernels.errors import InvalidRequestError
from mambakernels.runs.execute import run
from mambakernels.runs.matrix import Matrix, expand
from mambakernels.runs.records import read_record
from mambakernels.runs.tasks import Limits, Task
from mambakernels.runs.typed import TypedValues

pytestmark = pytest.mark.slow


def tasks(output: Path, notebooks: Any, **options: Any) -> list[Task]:
    matrix = Matrix([notebooks], options.pop("kernels", ["one"]), **options)
    return expand(matrix, output=output, folder=None, limits=Limits())


def names(output: Path, notebooks: Any, **options: Any) -> list[str]:
    return [task.names[0] for task in tasks(output, notebooks, **options)]


def test_every_combination_is_a_run_with_a_name_that_can_be_read(install: Any, write: Any, output: Path) -> None:
    install("np-a")
    install("np-b")
    notebook = write("n", parameters="n = 1\ndtype = 'x'\nseed = 0", name="study.ipynb")
    grid = {"n": [2, 4], "dtype": ["f/4", "f8"]}
    assert names(output, notebook, kernels=["np-*"], grid=grid, parameters={"seed": 1}, repeat=2) == [
        f"study.{kernel}.n={n},dtype={dtype}{end}.ipynb"
        for end in ("", ".r2") for n in (2, 4) for dtype in ("f_4", "f8") for kernel in ("np-a", "np-b")
    ]  # fmt: skip
    [one, *_] = tasks(output, notebook, kernels=["np-a"], grid=grid, parameters={"seed": 1})
    assert one.identity.parameters == {"n": 2, "dtype": "f/4", "seed": 1}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"grid": {"n": [1, 2], "m": [3, 4]}, "zipped": [("n", "m")]}, ["n=1,m=3", "n=2,m=4"]),
        ({"grid": {"n": [1, 2], "m": [3, 4]}, "exclude": [{"n": 1, "m": 3}, {"kernel": "o*", "m": 4}]}, ["n=2,m=3"]),
        ({"grid": {"n": [1, 1, 2]}}, ["n=1", "n=2"]),
        ({"grid": {"n": [float("1e3"), 2]}}, None),
    ],
)
def test_zipped_and_excluded_combinations(
    options: Mapping[str, Any], expected: list[str] | None, install: Any, write: Any, output: Path
) -> None:
    install("one")
    notebook = write("n", parameters="n = 1\nm = 2", name="a.ipynb")
    if expected is None:
        with pytest.raises(InvalidRequestError, match="int was expected, not float"):
            names(output, notebook, **options)
        return
    assert names(output, notebook, **options) == [f"a.one.{mark}.ipynb" for mark in expected]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"grid": {"n": [1, 2], "m": [3]}, "zipped": [("n", "m")]}, "n has 2, m has 1"),
        ({"grid": {"n": []}}, "no value in the list or range for 'n'"),
        ({"grid": {"n": TypedValues("8:1")}}, "no value in the list or range for 'n'"),
        ({"grid": {"n": [1]}, "zipped": [("n", "other")]}, "'other' has no values"),
        ({"grid": {"other": [1]}}, "no parameter 'other'"),
        ({"repeat": 0}, "cannot run 0 times"),
    ],
)
def test_what_makes_no_matrix_is_refused(
    options: Mapping[str, Any], said: str, install: Any, write: Any, output: Path
) -> None:
    install("one")
    with pytest.raises(InvalidRequestError, match=said):
        tasks(output, write("n", parameters="n = 1\nm = 2"), **options)


def test_a_folder_of_notebooks_sets_a_parameter_where_there_is_one(install: Any, write: Any, output: Path) -> None:
    install("one")
    install("another-language", language="R")
    folder = write("n", parameters="n = 1", name="with.ipynb").parent
    (folder / "sub").mkdir()
    write("1", name="sub/without.ipynb")
    assert names(output, folder, kernels=["[ao]n*"], grid={"n": [1, 2]}) == [
        "sub/without.one.ipynb", "with.one.n=1.ipynb", "with.one.n=2.ipynb",
    ]  # fmt: skip


def test_long_values_are_shortened_with_a_hash(install: Any, write: Any, output: Path) -> None:
    install("one")
    notebook = write("n", parameters="n = ''", name="ä.ipynb")
    found = names(output, notebook, grid={"n": ["é" * 300, "é" * 301]})
    assert len(set(found)) == 2
    assert all(len(name.encode()) < 220 for name in found)


def test_values_that_look_alike_as_names_have_different_records(install: Any, write: Any, output: Path) -> None:
    install("one")
    runs = run(write("n", parameters="n = ''"), kernels="one", grid={"n": ["a/b", "a:b"]}, output=output, jobs=2)
    assert [one.status for one in runs] == ["ok", "ok"]
    assert len({one.path for one in runs}) == 2


def test_a_change_repeats_just_what_it_touches(install: Any, write: Any, output: Path) -> None:
    install("one")
    notebook = write("import helper\nhelper.value", parameters="n = 1")
    other = write("n", parameters="n = 1", name="other.ipynb")
    helper = notebook.parent / "helper.py"
    helper.write_text("value = 1")

    def started() -> dict[str, str]:
        runs = run([notebook, other], kernels="one", grid={"n": [1, 2]}, output=output)
        return {one.path.name: one.started for one in runs}

    first = started()
    assert started() == first
    helper.write_text("value = 22")
    second = started()
    assert {name for name in first if first[name] != second[name]} == {
        "näme with space.one.n=1.ipynb", "näme with space.one.n=2.ipynb",
    }  # fmt: skip
    record = read_record(output / "näme with space.one.n=1.ipynb")
    assert record is not None
    assert list(record.code) == ["helper.py"]
    assert started() == second


def test_failed_runs_alone_and_all_by_force(install: Any, write: Any, output: Path) -> None:
    install("one")
    notebook = write("1 / n", parameters="n = 1")
    first = run(notebook, kernels="one", grid={"n": [0, 1]}, output=output)
    [failed] = run(notebook, kernels="one", grid={"n": [0, 1, 2]}, output=output, failed=True)[:1]
    assert failed.started > first[0].started
    assert not (output / "näme with space.one.n=2.ipynb").exists()
    forced = run(notebook, kernels="one", grid={"n": [0, 1]}, output=output, force=True)
    assert [one.status for one in forced] == ["failed", "ok"]
    assert forced[1].started > first[1].started


def test_fail_fast_starts_no_other_run(install: Any, write: Any, output: Path) -> None:
    install("one")
    runs = run(write("1 / n", parameters="n = 1"), kernels="one", grid={"n": [1, 0, 2]}, output=output, fail_fast=True)
    assert [one.status for one in runs] == ["ok", "failed"]


def test_a_retry_after_a_kernels_death_counts_attempts(install: Any, write: Any, output: Path, tmp_path: Path) -> None:
    install("one")
    mark = tmp_path / "mark"
    dying = f"import os, pathlib\nmark = pathlib.Path({str(mark)!r})\n"
    dying += "if not mark.exists():\n    mark.touch(); os._exit(7)"
    [died] = run(write(dying), kernels="one", output=output)
    assert died.error is not None
    assert died.error.ename == "KernelDied"
    mark.unlink()
    [done] = run(write(dying), kernels="one", output=output, retries=2)
    assert done.status == "ok"
    record = read_record(done.path)
    assert record is not None
    assert record.attempts == 2
    [raised] = run(write("1 / 0", name="raises.ipynb"), kernels="one", output=output, retries=2)
    record = read_record(raised.path)
    assert record is not None
    assert record.attempts == 1


def test_time_outs_of_a_run_and_of_all(install: Any, write: Any, output: Path) -> None:
    install("one")
    sleeping = write("import time\ntime.sleep(n)", parameters="n = 60.0")
    begin = time.monotonic()
    [late] = run(sleeping, kernels="one", output=output, run_timeout=1)
    assert late.error is not None
    assert late.error.ename == "TimeoutError"
    enough = 3 * (time.monotonic() - begin)  # for one short run, as busy as this machine now is
    runs = run(sleeping, kernels="one", output=output, grid={"n": [0.0, 550.0, 551.0]}, total_timeout=enough)
    assert [one.status for one in runs] == ["ok", "interrupted"]


def test_two_runners_on_one_folder_share_the_runs(install: Any, write: Any, output: Path, tmp_path: Path) -> None:
    install("one")
    trace = tmp_path / "trace"
    notebook = write(f"open({str(trace)!r}, 'a').write(f'{{n}}\\n')", parameters="n = 0")
    code = (
        "import sys; from mambakernels.runs.execute import run\n"
        "runs = run(sys.argv[1], kernels='one', grid={'n': list(range(4))}, output=sys.argv[2])\n"
        "print(*(one.status for one in runs))"
    )
    runners = [
        subprocess.Popen([sys.executable, "-c", code, notebook, output], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [runner.communicate(timeout=120)[0].split() for runner in runners] == [["ok"] * 4] * 2
    assert sorted(trace.read_text().split()) == [str(n) for n in range(4)]
