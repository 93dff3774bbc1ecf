"""Fixtures: kernelspecs that start this very Python, in a Jupyter folder of the test's own, and notebooks for them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest

Install = Callable[..., Path]
Write = Callable[..., Path]

# Modules that other packages do without, and that take long to import.
ABSENT = Path(__file__).with_name("absent")
ABSENT_FROM_SERVERS = Path(__file__).with_name("absent_from_servers")
ARGV = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


def without_what_is_slow(*folders: Path) -> dict[str, str]:
    """Return the path on which Python finds first what is in these folders; without any, in both."""
    first = map(str, folders or (ABSENT, ABSENT_FROM_SERVERS))
    return {"PYTHONPATH": os.pathsep.join(filter(None, [*first, os.environ.get("PYTHONPATH")]))}


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Install]:
    """Return a function that installs a kernelspec and returns its folder; no other is visible to the test."""
    with installing(tmp_path) as install_kernelspec:
        yield install_kernelspec


@contextmanager
def installing(folder: Path) -> Iterator[Install]:
    """Give a function that installs a kernelspec and returns its folder; no other is visible meanwhile.

    `site` is code that runs when the kernel's Python starts; `mark` is what mambakernels would have recorded.
    """
    jupyter = folder / "jupyter dätä"

    def install_kernelspec(
        name: str, *, argv: Sequence[str] = (), site: str = "", mark: Mapping[str, Any] | None = None, **fields: Any
    ) -> Path:
        place = jupyter / "kernels" / name
        place.mkdir(parents=True, exist_ok=True)
        spec = {"argv": list(argv) or ARGV, "display_name": f"Python on {name}", "language": "python", **fields}
        if site:
            (folder / name).mkdir()
            (folder / name / "sitecustomize.py").write_text(site)
            spec["env"] = {"PYTHONPATH": str(folder / name)}
        if mark:
            spec["metadata"] = {"mambakernels": dict(mark)}
        (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        return place

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(jupyter))
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "user"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONPATH", str(ABSENT), prepend=os.pathsep)
        yield install_kernelspec


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a notebook of code cells; the source `parameters=…` makes the tagged one."""

    def write_notebook(*sources: str, parameters: str | None = None, name: str = "näme with space.ipynb") -> Path:
        cells = [nbformat.v4.new_markdown_cell("# A notebook")]
        if parameters is not None:
            cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        cells += [nbformat.v4.new_code_cell(source) for source in sources]
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = tmp_path / "nötebooks here" / name
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), path)
        return path

    return write_notebook


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for executed notebooks, and see to it that nothing half-written is left there."""
    folder = tmp_path / "öutput folder"
    yield folder
    assert not list(folder.glob(".*")), "a temporary file was left"
