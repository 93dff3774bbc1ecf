"""What a student sees: our kernels in JupyterLab, and the notebook running on the one that was picked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import driving, pictures
from browser.driving import Lab
from playwright.sync_api import Page, expect
from support.blas import BLAS
from support.running_kernels import make_environment

import mambakernels
from mambakernels import kernels, paths
from mambakernels.environments import Environment
from mambakernels.kernels import logo, registration
from mambakernels.kernels.blas import TITLES
from mambakernels.paths import Root

pytestmark = pytest.mark.browser

OPERATIONS = ("gemm", "dot", "cholesky", "fft")
SIZES = (32, 64)
SMALL = f"""\
operations = {list(OPERATIONS)}
sizes = {list(SIZES)}
dtypes = ["float64"]
repeats = 3
budget = 0.1
threads = 1
"""
COLUMNS = (
    "%load_ext mambakernels",
    """\
%%kernels {names}
import numpy as np
a = np.random.default_rng(0).random((700, 700))
np.linalg.svd(a, compute_uv=False)[:3]""",
    """\
%%bench --threads 1 --budget {budget}
import numpy as np
a = np.random.default_rng(0).random((200, 200))
a @ a""",
)
CHOSEN = [name for name in ("openblas", "mkl", "netlib", "blis") if name in BLAS]


COMPARED = CHOSEN[: 3 if pictures.wanted() else 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that JupyterLab serves."""
    folder = tmp_path_factory.mktemp("lessons")
    shutil.copy(paths.notebooks() / "blas.ipynb", folder)
    names = " ".join(f"np-{blas}" for blas in COMPARED)
    cells = [code.format(names=names, budget=20 if pictures.wanted() else 4) for code in COLUMNS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(notebook, folder / "columns.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(
    environments: dict[str, Environment], root: Root, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    assert environments
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.ROOT_VARIABLE, str(root.path))
        with driving.jupyterlab(folder, state=tmp_path_factory.mktemp("lab")) as lab:
            yield lab


@pytest.fixture
def page(lasting: Page, tmp_path: Path) -> Iterator[Page]:
    """The module's page, with JupyterLab and the notebooks of earlier tests in other tabs."""
    lasting.set_viewport_size(driving.VIEWPORT)
    yield lasting
    lasting.screenshot(path=tmp_path / "last.png")


@pytest.fixture(scope="module")
def titles(environments: dict[str, Environment]) -> dict[str, str]:
    """What each environment's kernel is called in JupyterLab, by its BLAS."""
    shown = {spec.name: spec.display_name for spec in mambakernels.kernels.list()}
    return {blas: shown[environment.name] for blas, environment in environments.items()}


def test_the_launcher_shows_every_kernel(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": 1100, "height": 500})
    shown = [card.text_content() for card in lab.launcher(page).all()]
    pictures.take(page, "launcher")
    assert {spec.display_name for spec in mambakernels.kernels.list()} <= set(shown)
    assert len(shown) == len(set(shown)), "two kernels that nobody could tell apart"


def test_every_kernel_has_its_librarys_logo(lab: Lab, page: Page, titles: dict[str, str]) -> None:
    cards = lab.launcher(page)
    for blas, title in titles.items():
        picture = cards.filter(has=page.get_by_text(title, exact=True)).locator("img")
        source = picture.evaluate("image => image.src")
        assert page.request.get(source).body() == logo.logos("python", blas)["logo-svg.svg"].read_bytes()
        assert picture.evaluate("image => image.complete && image.naturalWidth") > 0, "the browser could not draw it"


def test_a_variant_appears_in_a_running_jupyterlab_and_is_what_it_says(
    lab: Lab, page: Page, environments: dict[str, Environment]
) -> None:
    environment = environments[CHOSEN[0]]
    (spec,) = registration.register_kernels(environment, variant="careful", env={"MODE": "$careful"}, threads=1)
    try:
        lab.load(page)
        notebook = lab.new(page, spec.display_name)
        notebook.write(notebook.cells.first, "import os\nprint(os.environ['MODE'], os.environ['OMP_NUM_THREADS'])")
        notebook.run_all()
        assert notebook.outputs.first.inner_text().strip() == "$careful 1"
    finally:
        kernels.unregister(spec.name)
    lab.load(page)
    assert spec.display_name not in "".join(lab.launcher(page).all_text_contents())


def test_a_kernel_whose_environment_was_moved_says_so_in_the_notebook(lab: Lab, page: Page, tmp_path: Path) -> None:
    environment = make_environment(tmp_path / "root", "wanderer")
    (spec,) = registration.register_kernels(environment)
    environment.prefix.rename(tmp_path / "elsewhere")
    try:
        page.set_viewport_size({"width": 1100, "height": 500})
        lab.load(page)
        notebook = lab.new(page, spec.display_name)
        notebook.write(notebook.cells.first, "1 + 1")
        notebook.run_all()
        said = " ".join(notebook.errors.first.inner_text().split())
        assert "it was moved or removed" in said
        assert "mambakernels prune" in said
        pictures.take(page, "moved")
        (tmp_path / "elsewhere").rename(environment.prefix)
        notebook.restart()
        notebook.run_all()
        assert notebook.errors.count() == 0
        assert notebook.outputs.last.inner_text().strip() == "2"
    finally:
        kernels.unregister(spec.name)


def test_the_notebook_runs_on_the_kernel_that_was_picked(lab: Lab, page: Page, titles: dict[str, str]) -> None:
    notebook = lab.open_from_list(page, "blas.ipynb")
    notebook.write(notebook.cells.first, SMALL)
    for blas in CHOSEN[:2]:  # that it runs on every kernel is tested without a browser
        notebook.choose_kernel(titles[blas])
        notebook.run_all()
        assert notebook.errors.all_text_contents() == []
        table = notebook.panel.locator(".jp-RenderedHTMLCommon table").filter(has_text="GFLOP/s")
        assert f" on {blas}" in table.locator("caption").inner_text()
        rows = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
        assert {(row[0], int(row[1])) for row in rows} == {(name, size) for name in OPERATIONS for size in SIZES}
        assert {row[-1] for row in rows} == {"right"}


def test_a_cell_runs_on_blas_kernels_and_is_measured_on_them(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 860})
    opened = lab.open_from_list(page, "columns.ipynb")
    opened.run_all()
    assert opened.errors.all_text_contents() == []
    expect(opened.cells.nth(1).locator(".mambakernels-columns section")).to_have_count(len(COMPARED))
    verdicts = opened.cells.nth(2).locator("table tbody tr")
    expect(verdicts).to_have_count(len(COMPARED))
    for blas, row in zip(COMPARED, verdicts.all(), strict=True):
        expect(row).to_contain_text(f"np-{blas}")
    opened.cells.nth(1).evaluate("cell => cell.scrollIntoView()")
    pictures.take(opened.panel.locator(".jp-NotebookPanel-notebook"), "columns")


def test_the_panel_knows_each_kernels_blas_and_registers_a_variant(lab: Lab, page: Page) -> None:
    name, variant = f"np-{CHOSEN[0]}", f"np-{CHOSEN[0]}-one"
    page.set_viewport_size({"width": 1100, "height": 790})
    notebook = lab.new(page, "Python 3 (ipykernel)")
    notebook.write(notebook.cells.first, "import mambakernels\n\nmambakernels.lab.manager()")
    notebook.run(notebook.cells.first)
    panel = notebook.panel.locator(".mbk")
    panel.get_by_role("radio", name=name, exact=True).check()
    panel.get_by_role("tab", name="Kernels").click()
    panel.get_by_label("Variant", exact=True).fill("one")
    panel.get_by_label("Threads", exact=True).select_option("1")
    try:
        panel.get_by_role("button", name="Register", exact=True).click()
        expect(panel).to_contain_text(f"Registered {variant}.")
        expect(panel.get_by_role("cell", name=TITLES[CHOSEN[0]], exact=True)).to_be_visible()
        panel.get_by_role("cell", name="…", exact=True).first.wait_for(state="detached")  # sizes and findings are there
        panel.evaluate("panel => panel.closest('.jp-CodeCell').scrollIntoView()")
        pictures.take(page, "panel")
    finally:
        kernels.unregister(variant)


def test_a_cell_finds_the_environments_own_programs(
    lab: Lab, page: Page, titles: dict[str, str], environments: dict[str, Environment]
) -> None:
    notebook = lab.new(page, titles[CHOSEN[0]])
    notebook.write(notebook.cells.first, "!which python\n!pip --version")
    notebook.run_all()
    prefix = environments[CHOSEN[0]].prefix
    python, pip = "".join(notebook.outputs.all_text_contents()).split("\n")[:2]
    assert python.strip() == str(prefix / "bin" / "python")
    assert f" from {prefix / 'lib'}" in pip


def test_the_toolbar_interrupts_a_cell(lab: Lab, page: Page, titles: dict[str, str]) -> None:
    notebook = lab.new(page, titles[CHOSEN[-1]])
    notebook.write(notebook.cells.first, "import time\nprint('asleep', flush=True)\ntime.sleep(60)\nprint('woken')")
    notebook.run(notebook.cells.first)
    notebook.outputs.filter(has_text="asleep").wait_for()
    notebook.interrupt()
    notebook.errors.filter(has_text="KeyboardInterrupt").wait_for()
    assert "woken" not in notebook.outputs.first.inner_text()
