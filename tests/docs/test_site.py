"""The site: built strictly, complete, readable without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import DOCS, PAGES, TOP, name

import mambakernels
from mambakernels.cli.app import PANELS

pytestmark = pytest.mark.slow
LESSONS = ("00_start_here", "01_the_blas_matters")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with two lessons, as they are in the source: without outputs."""
    folder, lessons = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("lessons")
    for lesson in LESSONS:
        shutil.copy(TOP / "notebooks" / f"{lesson}.ipynb", lessons / f"{lesson}.np-a.ipynb")
    done = subprocess.run(
        [sys.executable, DOCS / "build.py", folder],
        env={**os.environ, "MAMBAKERNELS_LESSONS": str(lessons)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        cwd=TOP,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_executed_lessons_are_pages_that_lead_to_each_other(site: Path) -> None:
    start = (site / "lessons" / "00_start_here.html").read_text(encoding="utf-8")
    assert start.count("01_the_blas_matters.html") >= 3  # in the table, in the navigation, and as the next page
    assert ".ipynb" not in "".join(re.findall(r"href=[^ >]+", start))
    assert "00_start_here.html" in (site / "lessons" / "index.html").read_text(encoding="utf-8")


def test_it_loads_nothing_from_the_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]+src=\"?(https?:[^\" >]+)|<link[^>]+href=\"?(https?:[^\" >]+)",
                            page.read_text(encoding="utf-8"))  # fmt: skip
        assert loaded == [], page


def test_every_command_and_every_public_name_is_in_the_reference(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert [command for names in PANELS.values() for command in names if f'id="{command}' not in commands] == []
    python = (site / "reference" / "python.html").read_text(encoding="utf-8")
    described = set(re.findall(r'class="doc doc-heading">\s*([\w.]+)', python))
    modules = {name.partition(".")[0] for name in described if "." in name}
    public = {name for name in mambakernels._HOMES if not name.endswith("_ipython_extension")}
    assert public <= described | modules
    assert {f"lab.{name}" for name in mambakernels.lab.__all__} <= described
    assert "module-attribute" not in python  # an alias, shown without its docstring


@pytest.mark.browser
def test_it_is_read_and_searched_from_a_folder(site: Path) -> None:
    from browser import driving

    if lacking := driving.lacking():
        pytest.skip(f"This machine lacks {' and '.join(lacking)}.")
    loaded: list[str] = []
    with driving.chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: loaded.append(request.url))
        for path in [*(site / "how-to").glob("*.html"), site / "index.html"]:
            page.goto(path.as_uri())
        page.locator(".md-search__input").focus()
        page.get_by_text("Type to start searching").wait_for(timeout=driving.WAIT_MILLISECONDS)  # the index is read
        page.locator(".md-search__input").press_sequentially("JupyterHub")
        page.locator(".md-search-result__link").first.click(timeout=driving.WAIT_MILLISECONDS)
        page.wait_for_url("**/jupyterhub.html*", timeout=driving.WAIT_MILLISECONDS)
    assert {url.partition(":")[0] for url in loaded} <= {"file", "data", "blob"}


def test_nothing_is_left_open_on_a_page(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "not run:" not in text, page
        assert not re.search(r"<p>\{\w+\}</p>", text), page


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    made = {(DOCS / "reference" / "commands.md").resolve()}
    paths = [(page.parent / target).resolve() for target in targets]
    assert [path for path in paths if not path.exists() and path not in made] == []


def test_the_readme_is_short() -> None:
    assert len((TOP / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
