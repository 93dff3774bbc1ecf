"""The explorer in JupyterLab: run, hovered, cancelled, exported, saved, closed and opened again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import driving
from browser.driving import Lab
from playwright.sync_api import Page, expect
from support.running_kernels import make_environment

from mambakernels.kernels import registration
from mambakernels.paths import ROOT_VARIABLE, notebooks

# Not in CI: on a busy machine, the link of an export may never appear. tests/lab has the same without a page.
pytestmark = [pytest.mark.browser, pytest.mark.exhaustive]

NAMES = ("first", "second")
LONG_ENOUGH = 90_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the explorer's notebook, as `mambakernels lab` copies it."""
    folder = tmp_path_factory.mktemp("exploring")
    (folder / "explorer.ipynb").write_bytes((notebooks() / "explorer.ipynb").read_bytes())
    return folder


@pytest.fixture(scope="module")
def lab(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab that finds no kernel of other tests: the explorer would choose one of each BLAS."""
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(root))
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
        for name in NAMES:
            registration.register_kernels(make_environment(root, f"explored-{name}"), threads=1)
        with driving.jupyterlab(folder, state=tmp_path_factory.mktemp("lab")) as lab:
            yield lab


class Explored:
    """The explorer in a page, used with mouse and keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.status = page.locator(".mk-status")
        self.hints = page.locator(".mk-hint:visible")

    def press(self, name: str) -> None:
        self.page.locator(".mk-explorer").get_by_role("button", name=name, exact=True).press("Enter")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def choose(self) -> None:
        for name in NAMES:
            self.page.get_by_label(f"explored-{name}").check()
        self.page.get_by_label("Operations", exact=True).select_option(["gemm", "dot"])
        self.page.get_by_label("Sizes", exact=True).fill("16,32")
        self.page.get_by_label("Seconds", exact=True).fill("100")
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


def test_explore_cancel_export_save_and_open_again(lab: Lab, page: Page, folder: Path, tmp_path: Path) -> None:
    page.set_default_timeout(LONG_ENOUGH)
    expect.set_options(timeout=LONG_ENOUGH)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    notebook, explored = lab.open(page, "explorer.ipynb"), Explored(page)
    notebook.run_all()
    explored.choose()
    explored.press("Run")
    expect(explored.status).to_contain_text(re.compile(r"round [3-9] of"))
    expect(explored.hints.filter(has_text="n = 32")).not_to_have_count(0)
    explored.press("Cancel")
    expect(explored.status).to_contain_text("Cancelled after")
    first = explored.hints.first
    first.hover()
    expect(first.locator("span")).to_be_visible()
    expect(first).to_contain_text(re.compile(r"explored-first .*, n = 16: [\d.e+-]+ GFLOP/s"))
    page.screenshot(path=tmp_path / "cancelled.png")
    page.get_by_role("tab", name="Rate").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Ratio")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".mk-figure:visible, .mk-warning:visible")).to_be_visible()
    explored.tab("Threads")
    expect(page.get_by_text("no kernel ran with several numbers of threads")).to_be_visible()
    explored.tab("Rate")

    assert explored.export("CSV", folder / "comparison.csv").count(b"\n") > 8
    assert explored.export("PNG", folder / "rate.png").startswith(b"\x89PNG")
    nbformat.validate(nbformat.reads(explored.export("Notebook", folder / "comparison-again.ipynb"), as_version=4))
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)
    assert complaints == []
    page.goto("about:blank")
    kept = "".join(json.dumps(cell["outputs"]) for cell in nbformat.read(folder / "explorer.ipynb", 4).cells[1:])
    assert "explored-second" in kept
    assert "image/png;base64" in kept

    end_kernels(lab, page)
    notebook = lab.open(page, "explorer.ipynb")
    expect(page.locator(".mk-static table").last).to_be_visible()
    expect(page.locator(".mk-static img").first).to_be_visible()
    page.screenshot(path=tmp_path / "without kernel.png")
    notebook.run_all()
    expect(explored.status).to_contain_text("Run measures again")
    expect(page.locator(".mk-static")).to_be_hidden()
    expect(explored.hints.filter(has_text="n = 32")).not_to_have_count(0)
