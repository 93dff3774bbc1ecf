"""The report as a reader sees it: opened from the disk, light and dark, on a wide screen and on a telephone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import pytest
from browser import driving
from playwright.sync_api import Browser, Page, expect
from support.blas import BLAS
from support.measurements import kernel, measured, visits
from support.python_kernels import ARGV

import mambakernels
from mambakernels import paths
from mambakernels.bench.cases import all_cases
from mambakernels.bench.comparison import evaluate
from mambakernels.bench.measured import Measured
from mambakernels.blas_report.html import write_blas_report

pytestmark = pytest.mark.browser

TINY = {"operations": ["gemm", "dot", "cholesky", "svd", "fft"], "sizes": [16, 32, 48], "repeats": 3, "budget": 0.05}
FAILING = {**TINY, "operations": ["no-such-operation"]}
READABLE_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3
READABLE_PIXELS = 12

# The contrast between an element's ink and what is painted behind it, after WCAG 2.2.
LOOKS = """elements => {
    const parse = color => color.match(/[\\d.]+/g).map(Number)
    const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    const luminance = color => {
        const [red, green, blue] = parse(color).map(part => linear(part / 255))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
    const paper = element => {
        const color = getComputedStyle(element).backgroundColor
        return parse(color)[3] === 0 && element.parentElement ? paper(element.parentElement) : color
    }
    return elements.map(element => {
        const style = getComputedStyle(element)
        const [dark, light] = [luminance(style.color), luminance(paper(element))].sort((one, other) => one - other)
        return {
            text: element.textContent.slice(0, 40),
            contrast: (light + 0.05) / (dark + 0.05),
            pixels: parseFloat(style.fontSize),
        }
    })
}"""
# The pixels a picture has, those it is given, and how light its corner is.
PICTURE = """image => {
    const pen = document.createElement("canvas").getContext("2d")
    pen.drawImage(image, 0, 0, 1, 1, 0, 0, 1, 1)
    return [image.naturalWidth, image.clientWidth, pen.getImageData(0, 0, 1, 1).data[0]]
}"""
# What reaches past the right edge of the page and cannot be scrolled to within a part of it.
SPILLED = """() => [...document.body.querySelectorAll("*")]
    .filter(element => !element.parentElement.closest(".scroll, pre"))
    .filter(element => element.getBoundingClientRect().right > document.documentElement.clientWidth)
    .map(element => element.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a kernel of each BLAS with made-up figures, on a run on each, and on one that failed.

    This Python runs the notebook, once for all of them: that each BLAS does is tested without a browser.
    """
    folder, jupyter = tmp_path_factory.mktemp("bericht & mehr"), tmp_path_factory.mktemp("jupyter")
    names = [f"np-{name}" for name in BLAS]
    place = jupyter / "kernels" / names[0]
    place.mkdir(parents=True)
    spec = {"argv": ARGV, "display_name": "NumPy", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec))
    notebook = paths.notebooks() / "blas.ipynb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(jupyter))
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("user")))
        [run] = mambakernels.run(notebook, kernels=names[0], parameters=TINY, output=folder)
        [failed] = mambakernels.run(notebook, kernels=names[0], parameters=FAILING, output=folder)
    assert (run.status, failed.status) == ("ok", "failed")
    runs = [replace(run, kernel=name, path=folder / f"blas.{name}.ipynb") for name in names]
    for other in runs[1:]:
        shutil.copy(run.path, other.path)
    return write_blas_report(evaluate(compared()), [*runs, failed], folder / "report.html")


def compared() -> Measured:
    """Measurements of every BLAS in two rounds, each slower than the one before."""
    kernels = [kernel(f"np-{name}", library={"name": name}) for name in BLAS]
    cases = all_cases(TINY["operations"][:3], [16, 128, 64], ["float64"])
    rows = [
        row
        for factor, one in enumerate(kernels, start=1)
        for case in cases
        for row in visits(one, case, [factor * case.size * 1e-6] * 2)
    ]
    return measured(kernels, rows)


class Watched:
    """A page and everything it complained about or asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[360, 1280])
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def shown(report: Path, browser: Browser, scheme: Literal["light", "dark"], width: int, tmp_path: Path) -> Any:
    """The report in a window, everything unfolded."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.set_default_timeout(driving.WAIT_MILLISECONDS)
    watched = Watched(page)
    try:
        page.goto(report.as_uri())
        for summary in page.locator("summary").all():
            summary.click()
        page.screenshot(path=tmp_path / "report.png", full_page=True)
        yield watched
    finally:
        page.context.close()


def test_the_report_is_readable(shown: Watched, report: Path, scheme: str, width: int) -> None:
    page = shown.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SPILLED) == []
    looks = page.locator("h1, h2, h3, p, dt, dd, th, td, a, pre, summary").evaluate_all(LOOKS)
    assert len(looks) > 100
    assert [look for look in looks if look["contrast"] < READABLE_CONTRAST] == []
    assert [look for look in looks if look["pixels"] < READABLE_PIXELS] == []
    for name in BLAS:
        assert page.locator("td").filter(has_text=f"np-{name}").first.is_visible()
    assert page.locator("h2").filter(has_text="Failed").count() == 1
    plot = page.locator("img")
    assert plot.is_visible()
    drawn, given, corner = plot.evaluate(PICTURE)
    assert drawn >= given > 0.8 * min(width, 800)
    assert drawn < 2 * width, "too large a picture to read its letters"
    assert corner > 240 if scheme == "light" else corner < 40
    assert shown.complaints == []
    assert {url for url in shown.requests if not url.startswith("data:")} == {report.as_uri()}


def test_tables_sort_by_a_click_and_by_the_keyboard_as_numbers(report: Path, page: Page) -> None:
    page.goto(report.as_uri())
    table = page.get_by_role("table", name="Operations by kernel")
    sizes = table.locator("tbody tr td:nth-child(3)")
    title = table.get_by_role("columnheader", name="n", exact=True)
    title.get_by_role("button").click()
    expect(title).to_have_attribute("aria-sort", "ascending")
    assert sizes.all_text_contents() == sorted(sizes.all_text_contents(), key=int)
    assert {"16", "64", "128"} == set(sizes.all_text_contents())
    title.get_by_role("button").press("Enter")
    expect(title).to_have_attribute("aria-sort", "descending")
    assert sizes.all_text_contents() == sorted(sizes.all_text_contents(), key=int, reverse=True)
    other = table.get_by_role("columnheader").first
    other.get_by_role("button").press("Space")
    expect(other).to_have_attribute("aria-sort", "ascending")
    expect(title).to_have_attribute("aria-sort", "none")


def test_links_lead_to_the_executed_notebooks(report: Path, page: Page) -> None:
    page.goto(report.as_uri())
    targets = [
        Path(unquote(urlsplit(link).path)) for link in page.locator("a").evaluate_all("all => all.map(a => a.href)")
    ]
    assert len(targets) == len(BLAS) + 1
    assert all(target.is_file() and target.parent == report.parent for target in targets)
