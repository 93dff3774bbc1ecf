"""The cost of 100,000 runs to the runner: planning, scheduling, records, resuming, one table.

    python benchmarks/hundred_thousand_runs.py [--runs 100000] [--workers thread|dask|none] [--output memory://runs]

Only the cells are missing: each job travels to a worker, which answers with the record of a run that executed nothing.
Workers are a thread of this process, or two processes of a Dask cluster here; with `none`, only planning is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mambakernels.runs import outputs
from mambakernels.runs.execute import run
from mambakernels.runs.execution import _Execution
from mambakernels.runs.jobs import Answer, Job
from mambakernels.runs.matrix import Matrix, expand
from mambakernels.runs.notebooks import Notebook
from mambakernels.runs.outputs import Place
from mambakernels.runs.tasks import Limits

KERNELS = 10
ARGV = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


class EmptyJobs(Executor):
    """An executor that executes no cells: it answers each job with the record of an empty run."""

    def __init__(self, inner: Executor | None) -> None:
        self.inner = inner
        self.bytes = 0
        if inner is None:
            self._max_workers = 100
        else:
            self._client = inner._client  # noqa: SLF001 (as Workers finds it)

    def submit(self, function: Any, job: Job) -> Future[Answer]:
        """Answer at once, or on a worker of the inner executor."""
        del function
        if self.inner is not None:
            return self.inner.submit(empty_job, job)
        answer: Future[Answer] = Future()
        answer.set_result(empty_job(job))
        return answer


def empty_job(job: Job) -> Answer:
    """Return the answer to a job whose cells were not executed."""
    kept: dict[Place, str] = {}
    sends = isinstance(job.path, Path)
    notebook = Notebook(Path(job.notebook), job.sha256, json.loads(zlib.decompress(job.content)))
    task = job.task(notebook, Path(job.folder))
    keep = kept.__setitem__ if sends else outputs.write
    ended = _Execution(task, job.path, job.attempt, keep).write("ok")
    return Answer(ended, zlib.compress(kept[job.path].encode()) if sends else None)


def main() -> None:
    """Measure and print, one line a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--workers", choices=("thread", "dask", "none"), default="thread")
    parser.add_argument("--output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["JUPYTER_PATH"] = str(folder / "jupyter")
        os.environ["MAMBAKERNELS_ROOT"] = str(folder / "root")
        notebook, output = prepare(folder), options.output or str(folder / "runs")
        grid = {"n": list(range(options.runs // KERNELS))}
        with step("plan", options.runs):
            tasks = expand(
                Matrix([notebook], ["empty-*"], grid=grid),
                output=outputs.place(output),
                folder=None,
                limits=Limits(),
            )
        assert len(tasks) == options.runs
        del tasks
        if options.workers == "none":
            return
        with cluster() if options.workers == "dask" else nullcontext() as inner:
            for what in ("run", "resume: nothing to do"):
                with step(what, options.runs):
                    runs = run(notebook, kernels="empty-*", grid=grid, output=output, executor=EmptyJobs(inner))
                assert {one.status for one in runs} == {"ok"}
                assert len(runs) == options.runs
                del runs
        with step("list", options.runs):
            assert sum(1 for _ in outputs.entries(outputs.place(output))) == options.runs


@contextmanager
def step(name: str, runs: int) -> Iterator[None]:
    """Print what a step took: seconds, the share of a run, and the most memory that this process has had so far."""
    begin, cpu = time.perf_counter(), time.process_time()
    yield
    seconds, used = time.perf_counter() - begin, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    share = f"{used / runs * 1e3:.3f} ms of CPU a run"
    print(f"{name:24} {seconds:8.1f} s  {used:8.1f} s of CPU  {share}  {memory:6.0f} MB", flush=True)


@contextmanager
def cluster() -> Iterator[Executor]:
    """Yield the executor of a Dask cluster with two processes."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made, Client(made) as client:
        yield client.get_executor(pure=False)


def prepare(folder: Path) -> Path:
    """Write the kernelspecs and a notebook of five cells; return the notebook's path."""
    for number in range(KERNELS):
        place = folder / "jupyter" / "kernels" / f"empty-{number}"
        place.mkdir(parents=True)
        spec = {"argv": ARGV, "display_name": f"Empty {number}", "language": "python"}
        (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "source": "n = 0", "metadata": {"tags": ["parameters"]}, "outputs": []},
        *({"cell_type": "code", "source": f"n + {more}", "metadata": {}, "outputs": []} for more in range(4)),
    ]
    path = folder / "study.ipynb"
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
