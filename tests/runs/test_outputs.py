"""Records at addresses: written at once, listed without being read, resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from mambakernels.errors import InvalidRequestError
from mambakernels.runs import outputs
from mambakernels.runs.execute import run
from mambakernels.runs.records import read_run


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
