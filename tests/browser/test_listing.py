"""The index of runs as a reader uses it: sorted, filtered, with thousands of rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mambakernels.runs.listing import write_listing

pytestmark = pytest.mark.browser

ROWS = 2_000


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of many runs; every hundredth one has failed."""
    folder = tmp_path_factory.mktemp("runs & more")
    for n in range(ROWS):
        bad = n % 100 == 50
        record = {
            "schema": 1, "notebook": {"path": "/x/study.ipynb", "sha256": "", "cells": ""},
            "kernel": {"name": f"np-{'ab'[n % 2]}", "fingerprint": "", "display_name": "", "metadata": None},
            "parameters": {"n": n, "word": "<b>&"}, "started": "2026-11-26T23:39:33+00:00", "seconds": n / 7,
            "status": "failed" if bad else "ok", "error": {"ename": "ValueError", "evalue": "bad"} if bad else None,
            "version": "0", "host": "h", "folder": "/x",
        }  # fmt: skip
        content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"mambakernels": record}, "cells": []}
        (folder / f"study.n={n}.ipynb").write_text(json.dumps(content))
    [_, page] = write_listing(folder)
    assert isinstance(page, Path)
    return page


def test_failures_come_first_and_columns_sort_and_filter(page: Page, index: Path) -> None:
    page.goto(index.as_uri())
    rows = page.locator("tbody tr")
    expect(page.locator("#counts")).to_have_text("20 failed, 1980 ok")
    expect(rows).to_have_count(200)
    expect(rows.first).to_contain_text("failedstudy.ipynbnp-a50<b>&")
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(800)
    page.get_by_role("button", name="n", exact=True).click()
    expect(rows.first.locator("td").nth(3)).to_have_text("0")
    page.get_by_role("button", name="n ↑", exact=True).click()
    expect(rows.first.locator("td").nth(3)).to_have_text("1999")
    page.get_by_label("Filter").fill("np-b status=ok n=77")
    expect(rows).to_have_count(1)
    expect(page.locator("#found")).to_have_text("1 of 2000")
    link = rows.first.get_by_role("link", name="notebook")
    assert link.get_attribute("href") == "study.n%3D77.ipynb"
    page.get_by_label("Filter").fill("nothing-like-this")
    expect(rows).to_have_count(0)
