"""Runs on the workers of executors: pools of processes, Dask; workers that die; environments made once per machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mambakernels.errors import InvalidRequestError, RunError
from mambakernels.runs.execute import run
from mambakernels.runs.records import read_record, read_run

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as executor:
        yield executor


@pytest.mark.slow
def test_a_pool_of_processes_does_the_runs_and_a_killed_worker_costs_a_retry(
    install: Any, write: Any, output: Path, tmp_path: Path, pool: ProcessPoolExecutor
) -> None:
    install("one")
    mark = tmp_path / "mark"
    notebook = write(
        f"import os, pathlib, signal\nmark = pathlib.Path({str(mark)!r})\n"
        "if n == 2 and not mark.exists():\n    mark.touch(); os.kill(os.getppid(), signal.SIGKILL)\nn * 2",
        parameters="n = 0",
        name="study.ipynb",
    )
    runs = run(notebook, kernels="one", grid={"n": list(range(6))}, output=output, executor=pool)
    assert [one.status for one in runs] == ["ok"] * 6
    assert [read_run(one.path) for one in runs] == runs
    assert sorted(path.name for path in output.iterdir()) == [f"study.one.n={n}.ipynb" for n in range(6)]
    attempts = [record.attempts for one in runs if (record := read_record(one.path))]
    assert max(attempts) == 2
    assert run(notebook, kernels="one", grid={"n": list(range(6))}, output=output, executor=pool) == runs


@pytest.mark.slow
def test_a_run_that_kills_every_worker_fails_alone(
    install: Any, write: Any, output: Path, pool: ProcessPoolExecutor
) -> None:
    install("one")
    notebook = write("import os, signal\nif n == 1: os.kill(os.getppid(), signal.SIGKILL)", parameters="n = 0")
    runs = run(notebook, kernels="one", grid={"n": [0, 1, 2]}, output=output, executor=pool)
    assert [one.status for one in runs] == ["ok", "failed", "ok"]
    assert runs[1].error is not None
    assert runs[1].error.ename == "WorkerLost"
    assert "Each of 3 workers" in runs[1].error.evalue
    assert read_run(runs[1].path) == runs[1]


def test_a_notebook_runs_in_its_folder_where_the_worker_has_that(install: Any, write: Any, output: Path) -> None:
    install("one")
    notebook = write("from pathlib import Path\nassert Path('data').exists()")
    (notebook.parent / "data").touch()
    with ThreadPoolExecutor(1) as executor:
        [one] = run(notebook, kernels="one", output=output, executor=executor)
    assert one.status == "ok"


def test_what_is_no_executor_or_takes_no_jobs_is_refused(install: Any, write: Any, output: Path) -> None:
    install("one")
    notebook = write("1")
    with pytest.raises(InvalidRequestError, match="is not an executor"):
        run(notebook, kernels="one", output=output, executor=4)  # type: ignore[arg-type]
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RunError, match="takes no more jobs"):
        run(notebook, kernels="one", output=output, executor=executor)
    assert list(output.iterdir()) == []
