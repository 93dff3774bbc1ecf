"""The explorer in JupyterLab: run, hovered, cancelled, exported, saved, closed and opened again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser import driving, pictures
from browser.driving import Lab
from playwright.sync_api import Page, expect
from support.running_kernels import alive, family, seconds_until

from mambakernels.environments import Environment
from mambakernels.kernels import registration
from mambakernels.paths import ROOT_VARIABLE, notebooks

pytestmark = pytest.mark.browser

SMALL = {"operations": ["gemm"], "sizes": "16", "seconds": "100"}  # of several sizes, a busy machine leaves some out
PICTURED = {"operations": ["gemm", "solve", "svd"], "sizes": "64,128,256,512", "seconds": "90"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the explorer's notebook, as `mambakernels lab` copies it."""
    folder = tmp_path_factory.mktemp("exploring")
    (folder / "explorer.ipynb").write_bytes((notebooks() / "explorer.ipynb").read_bytes())
    return folder


@pytest.fixture(scope="module")
def names(environments: dict[str, Environment]) -> list[str]:
    """The kernels of the notebook: two, or three for a picture."""
    found = [f"np-{blas}" for blas in ("openblas", "mkl", "netlib", "blis", "nvpl") if blas in environments]
    return found[: 3 if pictures.wanted() else 2]


@pytest.fixture(scope="module")
def lab(
    folder: Path, names: list[str], environments: dict[str, Environment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A JupyterLab that finds no kernel of other tests: the explorer would choose one of each BLAS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(tmp_path_factory.mktemp("root")))
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
        for environment in environments.values():
            if environment.name in names:
                registration.register_kernels(environment, threads=1)
        with driving.jupyterlab(folder, state=tmp_path_factory.mktemp("lab")) as lab:
            yield lab


class Explored:
    """The explorer in a page, used with mouse and keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.status = page.locator(".mk-status")
        self.hints = page.locator(".mk-hint:visible")

    def press(self, name: str) -> None:
        button = self.page.locator(".mk-explorer").get_by_role("button", name=name, exact=True)
        expect(button).to_be_enabled()  # Playwright presses without waiting for it
        button.press("Enter")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def choose(self, names: list[str], wanted: dict[str, Any]) -> None:
        for name in names:
            self.page.get_by_label(name, exact=True).check()
        self.page.get_by_label("Operations", exact=True).select_option(wanted["operations"])
        self.page.get_by_label("Sizes", exact=True).fill(wanted["sizes"])
        self.page.get_by_label("Seconds", exact=True).fill(wanted["seconds"])
        self.page.get_by_label("Seconds", exact=True).press("Tab")

    def export(self, name: str, file: Path) -> bytes:
        """Export, and check that the download is what was saved."""
        self.press(name)
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name=f"Download {file.name}").click()
        assert Path(download.value.path()).read_bytes() == file.read_bytes()
        return file.read_bytes()


def end_kernels(lab: Lab, page: Page) -> None:
    for session in page.request.get(f"{lab.url}api/sessions?token={lab.token}").json():
        page.request.delete(f"{lab.url}api/sessions/{session['id']}?token={lab.token}")


def test_explore_cancel_export_save_and_open_again(
    lab: Lab, page: Page, folder: Path, names: list[str], tmp_path: Path
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    notebook, explored = lab.open(page, "explorer.ipynb"), Explored(page)
    notebook.run_all()
    explored.choose(names, SMALL)
    explored.press("Run")
    expect(explored.hints).not_to_have_count(0)  # while it measures
    explored.press("Cancel")
    expect(explored.status).to_contain_text("Cancelled after")
    first = explored.hints.first
    first.hover()
    expect(first.locator("span")).to_be_visible()
    expect(first).to_contain_text(re.compile(rf"({'|'.join(names)}) .*, n = 16: [\d.e+-]+ GFLOP/s"))
    page.screenshot(path=tmp_path / "cancelled.png")
    page.get_by_role("tab", name="Rate").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Ratio")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".mk-figure:visible, .mk-warning:visible")).to_be_visible()
    explored.tab("Threads")
    expect(page.get_by_text("no kernel ran with several numbers of threads")).to_be_visible()
    explored.tab("Rate")

    check_exports(explored, folder)
    expect(page.get_by_role("tab", name="Rate")).to_have_attribute("aria-selected", "true")
    page.locator(".mk-static img").first.wait_for(state="attached")  # what the notebook keeps
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)
    assert complaints == []
    page.goto("about:blank")
    kept = "".join(json.dumps(cell["outputs"]) for cell in nbformat.read(folder / "explorer.ipynb", 4).cells[1:])
    assert names[1] in kept
    assert "image/png;base64" in kept

    end_kernels(lab, page)
    notebook = lab.open(page, "explorer.ipynb")
    expect(page.locator(".mk-static table").last).to_be_visible()
    expect(page.locator(".mk-static img").first).to_be_visible()
    page.screenshot(path=tmp_path / "without kernel.png")
    notebook.run_all()
    expect(explored.status).to_contain_text("Run measures again")
    expect(page.locator(".mk-static")).to_be_hidden()
    expect(explored.hints.filter(has_text="n = 16")).not_to_have_count(0)
    if pictures.wanted():
        take_a_picture(explored, names)
    check_nothing_is_left(lab, notebook, explored, len(names))


def check_exports(explored: Explored, folder: Path) -> None:
    assert explored.export("CSV", folder / "comparison.csv").count(b"\n") > 4
    assert explored.export("PNG", folder / "rate.png").startswith(b"\x89PNG")
    nbformat.validate(nbformat.reads(explored.export("Notebook", folder / "comparison-again.ipynb"), as_version=4))


def check_nothing_is_left(lab: Lab, notebook: driving.Notebook, explored: Explored, kernels: int) -> None:
    """Shut the notebook's kernel down while it measures."""
    before = family(lab.pid)
    explored.press("Run")
    seconds_until(lambda: len(family(lab.pid) - before) >= kernels, at_most=100)
    started = family(lab.pid) - before
    notebook.shut_down()
    seconds_until(lambda: not alive(started), at_most=100)


def take_a_picture(explored: Explored, names: list[str]) -> None:
    """Measure as a reader would, and picture that."""
    explored.page.set_viewport_size({"width": 1280, "height": 900})
    explored.choose(names, PICTURED)
    explored.press("Run")
    expect(explored.status).to_contain_text("Done:", timeout=300_000)
    explored.page.locator(".mk-explorer").evaluate("panel => panel.closest('.jp-CodeCell').scrollIntoView()")
    pictures.take(explored.page, "explorer")
