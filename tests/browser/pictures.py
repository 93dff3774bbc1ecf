"""Makes the README's pictures again, from a real demo.

Run in `tests`, on a quiet machine: `python -m browser.pictures /tmp/demo-home`. That folder is taken for the home of
somebody who starts from nothing; what is there from an earlier time is used. The pictures show no path but those in it.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from browser import driving
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize

if TYPE_CHECKING:
    from mambakernels.demo import Demo

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LAUNCHER = ViewportSize(width=1100, height=500)
LAB = ViewportSize(width=1100, height=680)
COLUMNS = ViewportSize(width=1280, height=760)
PANEL = ViewportSize(width=1100, height=790)
SHOWN = "mkl"  # whose kernel the notebook runs on
COLORS = 256
DEFINED = """\
%%kernels np-mkl np-openblas np-netlib
import numpy as np
a = np.random.default_rng(0).random((700, 700))
np.linalg.svd(a, compute_uv=False).size"""
ON_MANY = """\
%%kernels --serial
np.linalg.svd(a, compute_uv=False)[:2]"""
MEASURED = """\
%%bench np-mkl np-openblas np-netlib
import numpy as np

a = np.random.default_rng(0).random((200, 200))
a @ a"""


def main() -> None:
    """Read the command line and make every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="a folder whose path may be seen")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where the pictures go")
    asked = parser.parse_args()
    images = asked.images.absolute()
    images.mkdir(parents=True, exist_ok=True)
    make(asked.home.absolute(), images)


def make(home: Path, images: Path) -> None:
    """Run the demo as if `home` were the user's, and take the pictures of what it made."""
    demo = _demo(home)
    save(demo.files["plot"].read_bytes(), images / "gflops.png")
    with driving.chromium() as browser:
        _picture_lab(browser, home, images, kernels=len(demo.environments))


def _demo(home: Path) -> Demo:
    home.mkdir(parents=True, exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("CONDA_", "JUPYTER_", "MAMBAKERNELS_", "OPENBLAS_"))]:
        del os.environ[name]
    os.environ["HOME"] = str(home)
    os.chdir(home)
    import mambakernels

    demo = mambakernels.demo()
    demo.check()
    return demo


def _picture_lab(browser: Browser, home: Path, images: Path, *, kernels: int) -> None:
    import mambakernels
    from mambakernels.demo import notebook as shipped_notebook

    titles = {spec.environment: spec.display_name for spec in mambakernels.kernels.list()}
    assert len(titles) == kernels
    shutil.copy(shipped_notebook(), home)
    state = home / ".cache" / "pictures"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    with driving.jupyterlab(home, state=state) as lab:
        page = browser.new_page(viewport=LAUNCHER)
        lab.launcher(page)
        save(page.screenshot(), images / "launcher.png")
        page.set_viewport_size(LAB)
        notebook = lab.open(page, "blas.ipynb")
        notebook.choose_kernel(titles[f"np-{SHOWN}"])
        notebook.run_all()
        assert notebook.errors.count() == 0
        notebook.cells.filter(has_text="GFLOP/s").evaluate("cell => cell.scrollIntoView()")
        page.mouse.move(0, 0)  # no row under it, that would be drawn in another colour
        save(page.screenshot(), images / "notebook.png")
        _picture_panel(page, lab, images)
        _picture_columns(page, lab, home, images)
        _picture_explorer(page, lab, images)
        with _moved(SHOWN):
            page.set_viewport_size(LAUNCHER)
            notebook = lab.new(page, titles[f"np-{SHOWN}"])
            notebook.write(notebook.cells.first, "import numpy as np")
            notebook.run_all()
            save(page.screenshot(), images / "moved.png")


def _picture_panel(page: Page, lab: driving.Lab, images: Path) -> None:
    """Picture the panel after it has registered a variant."""
    page.set_viewport_size(PANEL)
    notebook = lab.new(page, "Python 3 (ipykernel)")
    notebook.write(notebook.cells.first, "import mambakernels\n\nmambakernels.lab.manager()")
    notebook.run(notebook.cells.first)
    panel = page.locator(".mbk")
    panel.get_by_role("radio", name=f"np-{SHOWN}", exact=True).check()
    panel.get_by_role("tab", name="Kernels").click()
    panel.get_by_label("Variant", exact=True).fill("one")
    panel.get_by_label("Threads", exact=True).select_option("1")
    panel.get_by_role("button", name="Register", exact=True).click()
    panel.get_by_text(f"Registered np-{SHOWN}-one").first.wait_for()
    panel.get_by_role("cell", name="…", exact=True).first.wait_for(state="detached")  # sizes and findings are there
    panel.evaluate("panel => panel.closest('.jp-CodeCell').scrollIntoView()")
    page.mouse.move(0, 0)
    save(page.screenshot(), images / "panel.png")


def _picture_columns(page: Page, lab: driving.Lab, home: Path, images: Path) -> None:
    """Picture a cell on three kernels, and one that measures its last statement on them."""
    page.set_viewport_size(COLUMNS)
    cells = [nbformat.v4.new_code_cell(code) for code in ("%load_ext mambakernels", DEFINED, ON_MANY, MEASURED)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(notebook, home / "columns.ipynb")
    opened = lab.open(page, "columns.ipynb")
    opened.run_all()
    assert opened.errors.count() == 0
    page.mouse.move(0, 0)
    opened.cells.nth(1).evaluate("cell => cell.scrollIntoView()")
    save(page.locator(".jp-NotebookPanel-notebook").screenshot(), images / "columns.png")


def _picture_explorer(page: Page, lab: driving.Lab, images: Path) -> None:
    """Picture the explorer once it has measured."""
    page.set_viewport_size(PANEL)
    notebook = lab.new(page, "Python 3 (ipykernel)")
    code = "import mambakernels\n\nmambakernels.lab.explorer(['np-mkl', 'np-openblas', 'np-netlib'])"
    notebook.write(notebook.cells.first, code)
    notebook.run(notebook.cells.first)
    page.locator(".mk-explorer").get_by_role("button", name="Run", exact=True).press("Enter")
    page.locator(".mk-status").get_by_text("Done:").wait_for(timeout=300_000)
    page.mouse.move(0, 0)
    page.locator(".mk-explorer").evaluate("panel => panel.closest('.jp-CodeCell').scrollIntoView()")
    save(page.screenshot(), images / "explorer.png")


@contextmanager
def _moved(blas: str) -> Iterator[None]:
    """Move an environment away for a while."""
    import mambakernels

    prefix = mambakernels.get(f"np-{blas}").prefix
    away = prefix.with_name("elsewhere")
    prefix.rename(away)
    try:
        yield
    finally:
        away.rename(prefix)


def save(picture: bytes, file: Path) -> None:
    """Write a PNG with a palette, which is small."""
    with Image.open(BytesIO(picture)) as full:
        few = full.convert("RGB").quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


if __name__ == "__main__":
    main()
