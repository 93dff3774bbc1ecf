"""`%%kernels` in JupyterLab: columns, a figure, an error, a flood, the saved notebook, and the end of its kernels."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import driving
from browser.driving import Lab, Notebook
from playwright.sync_api import Page, expect
from support.python_kernels import ARGV
from support.running_kernels import alive, family, seconds_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# JupyterLab's widget manager asks each kernel for widgets, and complains where there are none.
NOT_OURS = ("Comm not found for comm id",)
FIGURE = """\
%%kernels one two
import os
from matplotlib import pyplot
if os.environ["NAME"] == "one":
    raise ValueError("only here")
pyplot.figure(figsize=(4, 3)); pyplot.plot([1, 2, 4]); pyplot.show()"""
FLOOD = "%%kernels\nfor number in range(5_000): print(number, 'a line of a flood')"
LIVE = """\
%%kernels
import time
for step in range(1, 4):
    print('\\rstep', step, end='', flush=True); time.sleep(0.4)"""
CELLS = ("%load_ext mambakernels", FIGURE, FLOOD, LIVE, "%%kernels one two\n1 / 0")
KERNELS = ("one", "two")
DARK = {"theme": "JupyterLab Dark"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab with a notebook of the cells, and two kernels that know their names."""
    data, folder, state = (tmp_path_factory.mktemp(name) for name in ("data", "notebooks", "lab"))
    for name in KERNELS:
        place = data / "kernels" / name
        place.mkdir(parents=True)
        spec = {"argv": ARGV, "display_name": f"Kernel {name}", "language": "python", "env": {"NAME": name}}
        (place / "kernel.json").write_text(json.dumps(spec))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS])
    notebook.metadata["kernelspec"] = {"name": "one", "display_name": "Kernel one", "language": "python"}
    nbformat.write(notebook, folder / "cells.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", os.pathsep.join([str(data), *filter(None, [os.environ.get("JUPYTER_PATH")])]))
        with driving.jupyterlab(folder, state=state) as lab:
            yield lab


def test_columns_show_what_each_kernel_does_and_survive_in_the_saved_notebook(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_viewport_size({"width": 1280, "height": 720})
    notebook = lab.open(page, "cells.ipynb")
    run(notebook, 0)

    columns = run(notebook, 1)
    expect(columns).to_have_count(2)
    expect(columns.nth(0)).to_contain_text("ValueError: only here")
    expect(columns.nth(1).locator("img")).to_be_visible()
    assert columns.nth(1).locator("img").evaluate("image => image.complete && image.naturalWidth") > 0
    left, right = columns.nth(0).bounding_box(), columns.nth(1).bounding_box()
    assert left
    assert right
    assert left["y"] == right["y"], "they are not next to each other"
    assert right["x"] > left["x"] + left["width"] - 1

    columns = run(notebook, 2)
    expect(columns.nth(1)).to_contain_text("4999 a line of a flood")
    expect(columns.nth(1)).to_contain_text("lines left out")
    assert columns.nth(1).inner_text().count("a line of a flood") < 100

    notebook.run(notebook.cells.nth(3))
    columns = notebook.cells.nth(3).locator(".mambakernels-columns section")
    expect(columns.nth(1)).to_contain_text("running")
    wait(notebook, 3)
    expect(columns.nth(1)).to_contain_text("step 3")
    expect(columns.nth(1)).not_to_contain_text("step 2")

    run(notebook, 4)
    shared = notebook.cells.nth(4).locator(".mambakernels-columns > section")
    expect(shared).to_contain_text("The same in both:")
    expect(notebook.cells.nth(4).get_by_text("Traceback (most recent call last)")).to_have_count(1)
    for number in (1, 2, 4):
        notebook.cells.nth(number).screenshot(path=tmp_path / f"light-{number}.png")

    with page.expect_response(lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url):
        page.keyboard.press("Control+s")
    lab.set_settings(page, "@jupyterlab/apputils-extension:themes", DARK)
    notebook = lab.open(page, "cells.ipynb")
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    expect(sections(notebook, 1).nth(1).locator("img")).to_be_visible()
    expect(sections(notebook, 2).nth(0)).to_contain_text("lines left out")
    for number in (1, 2, 4):
        notebook.cells.nth(number).screenshot(path=tmp_path / f"dark-{number}.png")
    assert [said for said in complaints if not said.startswith(NOT_OURS)] == []

    check_nothing_is_left(lab, notebook)


def check_nothing_is_left(lab: Lab, notebook: Notebook) -> None:
    """Restart the notebook's kernel and shut it down, both from the menu, while it has kernels."""
    first = family(lab.pid) - {lab.pid}
    assert len(first) > len(KERNELS)
    notebook.restart_from_menu()
    seconds_until(lambda: not alive(first), at_most=100)
    notebook.run(notebook.cells.nth(0))
    notebook.run(notebook.cells.nth(4))
    wait(notebook, 4, prompt=2)
    second = family(lab.pid) - {lab.pid}
    assert len(second) > len(KERNELS)
    notebook.shut_down()
    seconds_until(lambda: not alive(second), at_most=100)


def sections(notebook: Notebook, number: int) -> driving.Locator:
    """The columns of a cell."""
    return notebook.cells.nth(number).locator(".mambakernels-columns section")


def run(notebook: Notebook, number: int) -> driving.Locator:
    """Run a cell, wait until it has ended, and return its columns."""
    notebook.run(notebook.cells.nth(number))
    wait(notebook, number)
    return sections(notebook, number)


def wait(notebook: Notebook, number: int, *, prompt: int | None = None) -> None:
    """Wait until a cell has its prompt's number, by default that of a cell in a row."""
    shown = notebook.cells.nth(number).locator(".jp-InputPrompt").filter(has_text=f"[{prompt or number + 1}]")
    shown.wait_for()
