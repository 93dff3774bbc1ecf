"""The site: built strictly, complete, readable without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import DOCS, PAGES, TOP, name

import mambakernels
from mambakernels.cli.app import PANELS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as CI builds it, without lessons' outputs."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, DOCS / "build.py", folder], capture_output=True, text=True, check=False, timeout=500, cwd=TOP
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_it_loads_nothing_from_the_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]+src=\"?(https?:[^\" >]+)|<link[^>]+href=\"?(https?:[^\" >]+)",
                            page.read_text(encoding="utf-8"))  # fmt: skip
        assert loaded == [], page


def test_every_command_and_every_public_name_is_in_the_reference(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert [command for names in PANELS.values() for command in names if f'id="{command}' not in commands] == []
    python = (site / "reference" / "python.html").read_text(encoding="utf-8")
    named = {public: home for public, home in mambakernels._HOMES.items() if not public.endswith("_ipython_extension")}
    homes = {public: "mambakernels." + home.replace(":", ".") for public, home in named.items()}
    assert [public for public, home in homes.items() if f'id="{home}' not in python] == []


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
