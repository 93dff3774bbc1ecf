"""Every line of bash and Python on the pages is run, in the order in which a reader comes to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from support import channel_cache
from support.conda_packages import Package, write_channel
from support.forge import PACKAGES
from support.pages import DOCS, PAGES, Block, blocks, name
from support.running_kernels import make_environment

from mambakernels import kernels
from mambakernels.environments import Environment
from mambakernels.paths import Root

RUN = {"bash", "python"}
NOTEBOOK = "ipython3"
# Kernels of the session's environments, which compute with a real BLAS; the others are of tiny packages.
REAL = {f"docs/how-to/{page}.md" for page in ("ci", "cluster", "faster", "jupyterlab", "matrix")}
STUDY = {
    "parameters": "n = 32  # rows\ndtype = 'float64'\nseed = 0",
    "": "import numpy as np\na = np.ones((n, n), dtype)",
    "result:trace": "float(a.trace())",
}
# The channel that such a page builds is there already: how it is built is tested elsewhere, and takes a minute.
BUILT = {"docs/how-to/air-gapped.md"}
# Code of one's own is measured once, however small the budget, and half of it does for a second comparison.
BUDGETS = {"--budget 4": "--budget 1", "budget=4": "budget=1", "--budget 10 --against": "--budget 5 --against"}
pytestmark = pytest.mark.slow


def write_notebook(path: Path, cells: dict[str, str]) -> None:
    made = [
        nbformat.v4.new_code_cell(source, metadata={"tags": [tag] if tag else []}, id=f"cell-{number}")
        for number, (tag, source) in enumerate(cells.items())
    ]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)


def at_hand(page: str, folder: Path) -> None:
    """Make what a page takes for given in its reader's folder."""
    write_notebook(folder / "analysis.ipynb", {"parameters": "n = 100", "result:half": "n / 2"})
    write_notebook(folder / "study.ipynb", STUDY)
    write_notebook(folder / "notebooks" / "study.ipynb", STUDY)
    (folder / "bench.py").write_text("print('measured')\n")
    (folder / "environment.yml").write_text("name: any\ndependencies: [python, tiny]\nvariables: {A: b}\n")
    if page == "docs/how-to/conda-environment.md":
        shutil.move(make_environment(folder, "analysis").prefix, _parent(folder / "miniforge3/envs/analysis"))
    if page == "docs/how-to/virtual-environment.md":
        shutil.move(make_environment(folder, "venv").prefix, folder / ".venv")
        shutil.rmtree(folder / ".venv" / "conda-meta")


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for conda-forge: packages of the names that the pages use, of a few bytes each."""
    folder = tmp_path_factory.mktemp("docs") / "conda-forge"
    names = ("numpy", "threadpoolctl", "pandas")
    write_channel(
        [*PACKAGES, *(Package(each, "1.0", "0", noarch="python", depends=("python",)) for each in names)], folder
    )
    return folder


@pytest.fixture
def variables(tmp_path: Path, channel: Path) -> dict[str, str]:
    """The session of a reader who starts from nothing, with this mambakernels on PATH."""
    jupyter = str(tmp_path / "jupyter")
    return {
        **os.environ,
        "HOME": str(tmp_path),
        "JUPYTER_DATA_DIR": jupyter,
        "JUPYTER_PATH": jupyter,
        "MAMBAKERNELS_ROOT": str(tmp_path / "root"),
        "MAMBAKERNELS_CONDA_FORGE": channel.as_uri(),
        "MAMBAKERNELS_MICROMAMBA_URL": "http://127.0.0.1:9/none",
        "PYTEST_ADDOPTS": "-p no:xonsh",  # its plugin, which takes three seconds to start, is only here for other tests
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


PAGES_WITH_LINES = [
    page for page in PAGES if any(block.language in RUN and block.reason is None for block in blocks(page))
]


@pytest.mark.parametrize("page", [page for page in PAGES_WITH_LINES if name(page) not in {*REAL, *BUILT}], ids=name)
def test_the_lines_of_a_page_run(page: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    _run_all(page, tmp_path / "folder", variables)


@pytest.mark.parametrize("page", [page for page in PAGES_WITH_LINES if name(page) in REAL], ids=name)
def test_the_lines_of_a_page_run_on_kernels_with_a_blas(
    page: Path, tmp_path: Path, variables: dict[str, str], environments: dict[str, Environment]
) -> None:
    for environment in environments.values():
        kernels.register(environment.name, root=environment.root.path, jupyter=tmp_path / "jupyter")
    _run_all(page, tmp_path / "folder", variables)


@pytest.mark.parametrize("page", [page for page in PAGES_WITH_LINES if name(page) in BUILT], ids=name)
def test_the_lines_of_a_page_run_on_the_channel(
    page: Path, tmp_path: Path, variables: dict[str, str], root: Root
) -> None:
    channel_cache.copy(root.channels, Root(tmp_path / "root").channels)
    _run_all(page, tmp_path / "folder", variables)


def _run_all(page: Path, folder: Path, variables: dict[str, str]) -> None:
    folder.mkdir()
    at_hand(name(page), folder)
    for block in map(_with_small_budgets, blocks(page)):
        if block.reason is not None:
            continue
        if block.title and not Path(block.title).is_absolute():
            (folder / block.title).write_text(block.code)
        if block.language in RUN:
            _run(block.language, block.code, folder, variables, file=block.title)
    if cells := [block.code for block in blocks(page) if block.language == NOTEBOOK]:
        _run("python", CELLS.format(cells=cells), folder, variables)


def _with_small_budgets(block: Block) -> Block:
    for written, enough in BUDGETS.items():
        block = replace(block, code=block.code.replace(written, enough))
    return block


CELLS = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in {cells}:
    shell.run_cell(cell).raise_error()
"""


def _run(language: str, code: str, folder: Path, variables: dict[str, str], *, file: str | None = None) -> None:
    words = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
    done = subprocess.run(
        [sys.executable, file] if file else words,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}"


def test_few_lines_are_not_run_and_each_has_a_reason() -> None:
    """README's lines are those of other pages, and of the tests themselves."""
    site = [block for page in PAGES if page.is_relative_to(DOCS) for block in blocks(page) if block.language in RUN]
    left_out = [block for block in site if block.reason]
    assert all(len(str(block.reason)) > 10 for block in left_out)
    assert len(left_out) < len(site) / 3, f"{len(left_out)} of {len(site)}"
