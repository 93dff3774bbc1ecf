"""Fixtures: kernelspecs that start this very Python, in a Jupyter folder of the test's own, and notebooks for them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest

Install = Callable[..., Path]
Write = Callable[..., Path]

ARGV = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a kernelspec and returns its folder; no other is visible to the test.

    `site` is code that runs when the kernel's Python starts; `mark` is what mambakernels would have recorded.
    """
    jupyter = tmp_path / "jupyter dätä"
    monkeypatch.setenv("JUPYTER_PATH", str(jupyter))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def install_kernelspec(
        name: str, *, argv: Sequence[str] = (), site: str = "", mark: Mapping[str, Any] | None = None, **fields: Any
    ) -> Path:
        folder = jupyter / "kernels" / name
        folder.mkdir(parents=True, exist_ok=True)
        spec = {"argv": list(argv) or ARGV, "display_name": f"Python on {name}", "language": "python", **fields}
        if site:
            (tmp_path / name).mkdir()
            (tmp_path / name / "sitecustomize.py").write_text(site)
            spec["env"] = {"PYTHONPATH": str(tmp_path / name)}
        if mark:
            spec["metadata"] = {"mambakernels": dict(mark)}
        (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        return folder

    return install_kernelspec


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
