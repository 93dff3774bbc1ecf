"""Records at addresses: written at once, listed without being read, resumed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from mambakernels.errors import InvalidRequestError, StorageError
from mambakernels.runs import outputs
from mambakernels.runs.execute import run
from mambakernels.runs.records import read_run
from mambakernels.runs.results import collect


@pytest.fixture
def memory() -> Iterator[str]:
    """An address in this process's memory."""
    system = fsspec.filesystem("memory")
    yield "memory://runs"
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_runs_go_to_an_address_and_are_done_there(install: Any, write: Any, memory: str) -> None:
    install("one")
    notebook = write("1 / n", parameters="n = 1", name="sub.ipynb")

    def call(**options: Any) -> list[Any]:
        return run(notebook.parent, kernels="one", grid={"n": [0, 1]}, output=memory, **options)

    failed, fine = call()
    assert [failed.status, fine.status] == ["failed", "ok"]
    assert str(fine.path) == "memory://runs/sub.one.n=1.ipynb"
    assert read_run(fine.path) == fine
    again = call()
    assert again[1] == fine
    assert again[0].started > failed.started
    assert [str(entry.place) for entry in outputs.entries(outputs.place(memory))] == [
        "memory://runs/sub.one.n=0.ipynb", "memory://runs/sub.one.n=1.ipynb",
    ]  # fmt: skip
    call(html=True)
    assert fsspec.filesystem("memory").exists(f"{memory}/sub.one.n=0.html")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder in a bucket of an S3 server on loopback, whose address and keys are where every client looks."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    outputs.file_system.cache_clear()
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
    yield "s3://bucket/runs"
    outputs.file_system.cache_clear()
    server.stop()


@pytest.mark.slow
def test_workers_write_to_a_bucket_themselves(install: Any, write: Any, bucket: str) -> None:
    install("one")
    notebook = write("print('x' * 100_000)\n1 / n", parameters="n = 1", name="sub.ipynb")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = run(notebook, kernels="one", grid={"n": [0, 1, 2]}, output=bucket, executor=pool)
    assert [one.status for one in runs] == ["failed", "ok", "ok"]
    assert [read_run(one.path) for one in runs] == runs
    again = run(notebook, kernels="one", grid={"n": [1, 2, 3]}, output=bucket)
    assert again[:2] == runs[1:]
    assert [(str(entry.place), entry.size > 100_000) for entry in outputs.entries(outputs.place(bucket))] == [
        (f"s3://bucket/runs/sub.one.n={n}.ipynb", True) for n in range(4)
    ]
    frame = collect(bucket)
    assert list(zip(frame["n"], frame["status"], strict=True)) == [(0, "failed"), (1, "ok"), (2, "ok"), (3, "ok")]
    with pytest.raises(StorageError):
        run(notebook, kernels="one", output="s3://no-such-bucket/runs")


def test_an_address_names_the_host_to_the_file_system_that_needs_one() -> None:
    with pytest.raises(StorageError, match=r"Nothing can be written there(.|\n)*Check the address") as refused:
        outputs.writable(outputs.place("ftp://127.0.0.1:1/runs"))
    assert refused.value.where == "ftp://127.0.0.1:1/runs"


def test_an_entry_changes_with_its_file(tmp_path: Path, memory: str) -> None:
    for folder in (outputs.place(tmp_path), outputs.place(memory)):
        outputs.write(folder / "a.ipynb", "1")
        outputs.write(folder / ".hidden.ipynb", "1")
        [first] = outputs.entries(folder)
        assert (first.place, first.size) == (folder / "a.ipynb", 1)
        outputs.write(folder / "a.ipynb", "2")
        [second] = outputs.entries(folder)
        assert second.modified != first.modified


@pytest.mark.parametrize("address", ["nothing://x/y", "ftps-or-so://x"])
def test_an_address_that_nothing_opens_is_refused(address: str, install: Any, write: Any) -> None:
    install("one")
    with pytest.raises(InvalidRequestError, match="not an address that fsspec knows"):
        run(write("1"), kernels="one", output=address)
