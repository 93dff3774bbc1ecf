"""Runs on the workers of executors: pools of processes, Dask; workers that die; environments made once per machine."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from distributed import Client, LocalCluster
from support import channel_cache
from support.running_kernels import seconds_until

from mambakernels import paths
from mambakernels.environments import Environment, list_environments
from mambakernels.errors import InvalidRequestError, MambakernelsError, RunError
from mambakernels.kernels import registration
from mambakernels.paths import Root
from mambakernels.runs.execute import run
from mambakernels.runs.jobs import Job
from mambakernels.runs.provision import KernelOrigin, provide
from mambakernels.runs.records import read_record, read_run

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as executor:
        yield executor


@pytest.mark.slow
def test_a_killed_worker_costs_a_retry_and_a_run_that_kills_each_worker_fails_alone(
    install: Any, write: Any, output: Path, pool: ProcessPoolExecutor
) -> None:
    install("one")
    mark = output.parent / "mark"
    notebook = write(
        f"import os, pathlib, signal\nmark = pathlib.Path({str(mark)!r})\n"
        "if n == 3 or n == 1 and not mark.exists():\n    mark.touch(); os.kill(os.getppid(), signal.SIGKILL)\nn * 2",
        parameters="n = 0",
        name="study.ipynb",
    )
    runs = run(notebook, kernels="one", grid={"n": list(range(5))}, output=output, executor=pool)
    assert [one.status for one in runs] == ["ok"] * 3 + ["failed", "ok"]
    assert [read_run(one.path) for one in runs] == runs
    assert sorted(path.name for path in output.glob("*.ipynb")) == [f"study.one.n={n}.ipynb" for n in range(5)]
    attempts = [record.attempts for one in runs if (record := read_record(one.path))]
    assert attempts[1] > 1
    assert attempts[3] == 3
    assert runs[3].error is not None
    assert runs[3].error.ename == "WorkerLost"
    assert "Each of 3 workers" in runs[3].error.evalue
    fine = [*runs[:3], runs[4]]
    grid = {"n": [0, 1, 2, 4]}
    assert run(notebook, kernels="one", grid=grid, output=output, executor=pool) == fine


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


class FromAnotherMachine(Executor):
    """Dask's executor for jobs as they would come from a machine with other folders than this one."""

    def __init__(self, client: Client, root: Root) -> None:
        self._client = client
        self._inner = client.get_executor()
        self._root = str(root.path)

    def submit(self, function: Any, job: Job) -> Any:  # type: ignore[override]
        origin = job.kernel
        assert origin.lock is not None
        lock = zlib.compress(self._moved(zlib.decompress(origin.lock).decode()).encode())
        document = json.loads(self._moved(json.dumps(origin.document)))
        moved = replace(job, kernel=replace(origin, lock=lock, document=document))
        return self._inner.submit(function, replace(moved, folder="/elsewhere"))

    def _moved(self, text: str) -> str:
        for folder in (self._root, quote(self._root)):
            text = text.replace(json.dumps(folder)[1:-1], "/elsewhere")
        return text


@pytest.fixture
def dask_workers(root: Root, tmp_path: Path) -> Iterator[tuple[Client, Root, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler, two workers in folders of their own, and the root that both have on their machine."""
    theirs = Root(tmp_path / "machine")
    channel_cache.copy(root.channels, theirs.channels)
    theirs.packages.symlink_to(root.packages)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        started = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            words = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny"]
            variables = {"MAMBAKERNELS_ROOT": str(theirs.path), "JUPYTER_DATA_DIR": str(folder / "jupyter")}
            with (folder / "log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [*words, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)],
                        env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path)},
                        cwd=folder,
                        stderr=log,
                    )
                )
        try:
            yield client, theirs, started
        finally:
            for process in started:
                process.terminate()
                process.wait(120)


@pytest.mark.slow
def test_dask_workers_make_the_environment_once_and_one_is_killed(
    environments: dict[str, Environment],
    dask_workers: tuple[Client, Root, list[subprocess.Popen[bytes]]],
    write: Any,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tmp_path = output.parent
    client, theirs, processes = dask_workers
    source = environments["openblas"]
    jupyter = tmp_path / "jupyter"
    monkeypatch.setenv("JUPYTER_PATH", str(jupyter))
    options: dict[str, Any] = {"variant": "one", "env": {"WHERE": "there $1"}, "threads": 1}
    registration.register_kernels(source, name="np", **options, data_dir=jupyter)
    mark = tmp_path / "mark"
    notebook = write(
        f"import os, pathlib, signal, time, numpy\nmark = pathlib.Path({str(mark)!r})\ntime.sleep(0.5)\n"
        "if n == 2 and not mark.exists():\n    mark.touch(); os.kill(os.getppid(), signal.SIGKILL)",
        "assert (os.environ['WHERE'], os.environ['OPENBLAS_NUM_THREADS']) == ('there $1', '1')\n"
        "pathlib.Path('left.txt').touch()\nos.environ['CONDA_PREFIX']",
        parameters="n = 0",
        name="study.ipynb",
    )
    executor = FromAnotherMachine(client, source.root)
    runs = run(notebook, kernels="np", grid={"n": list(range(4))}, output=output, executor=executor)
    assert [one.status for one in runs] == ["ok"] * 4, [one.error for one in runs]
    assert sum(process.poll() is not None for process in processes) == 1
    [made] = list_environments(theirs)
    assert made.name.startswith("lock-")
    assert [(item.name, item.build) for item in made.packages] == [(item.name, item.build) for item in source.packages]
    records = [read_record(one.path) for one in runs]
    assert {record.kernel.metadata["prefix"] for record in records if record and record.kernel.metadata} == {
        str(made.prefix)
    }
    assert [record.kernel.packages_there for record in records if record] == [None] * 4  # the very same packages
    assert not (notebook.parent / "left.txt").exists()
    assert not any((tmp_path / name / "jupyter").exists() for name in ("a", "b"))
    assert [one.started for one in runs] == [
        one.started for one in run(notebook, kernels="np", grid={"n": list(range(4))}, output=output)
    ]


STOPPED = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from mambakernels.runs.execute import run
make = lambda: ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
try:
    run(sys.argv[1], kernels="one", parameters={"runner": os.getpid()}, output=sys.argv[2], executor=make)
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.slow
def test_an_interruption_ends_the_jobs_and_leaves_no_record(install: Any, write: Any, output: Path) -> None:
    install("one")
    trace = output.parent / "trace"
    notebook = write(
        f"import os, signal, time\nopen({str(trace)!r}, 'w').write(str(os.getpid()))\n"
        "os.kill(runner, signal.SIGINT)\ntime.sleep(60)",
        parameters="runner = 0",
    )
    words = [sys.executable, "-c", STOPPED, notebook, output]
    assert subprocess.run(words, capture_output=True, text=True, timeout=300, check=True).stdout == "stopped\n"
    assert list(output.glob("*.ipynb")) == []
    kernel = Path("/proc", trace.read_text())
    seconds_until(lambda: not kernel.exists(), at_most=60)


def origin(**fields: Any) -> KernelOrigin:
    """Return a kernel as it comes from a machine that has another root; `lock` is its content."""
    mark = {"prefix": "/elsewhere/envs/np", "root": "/elsewhere"}
    document = {
        "argv": ["/elsewhere/envs/np/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "metadata": {"mambakernels": mark},
    }
    lock = fields.pop("lock", None)
    content = None if lock is None else zlib.compress(json.dumps(lock).encode())
    return KernelOrigin(
        **{
            "name": "np",
            "document": document,
            "fingerprint": "f",
            "packages": "p",
            "lock": content,
            "why": "pip.",
            **fields,
        }
    )


PACKAGE = {"name": "a", "version": "1", "build": "h0_0", "subdir": "noarch", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (origin(document={"argv": ["python"]}, name="gone"), "has no kernel 'gone', and mambakernels"),
        (origin(), r"lacks the environment of the kernel 'np', which has no lock: pip\."),
        (origin(lock={"subdir": "win-64", "packages": [], "channels": []}), "but the lock of 'np' is for win-64"),
        (
            origin(
                lock={
                    "subdir": paths.subdir(),
                    "packages": [{**PACKAGE, "url": "file:///elsewhere/channel/noarch/a-1-h0_0.conda"}],
                    "channels": ["file:///elsewhere/channel"],
                    "variables": {},
                }
            ),
            "cannot get a=1=h0_0: the channel is a folder of another machine",
        ),
    ],
)
def test_a_kernel_that_cannot_be_had_is_said_in_words(
    kernel: KernelOrigin, said: str, install: Any, empty_root: Root
) -> None:
    install("other")
    with pytest.raises(MambakernelsError, match=said):
        provide(kernel, empty_root)
    assert list_environments(empty_root) == []
