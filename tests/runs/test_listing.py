"""The index of a folder of records: complete, with links that lead somewhere, and never in place of a user's file."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from mambakernels.runs import listing
from mambakernels.runs.execute import run


def rows_of(page: Path) -> list[dict[str, Any]]:
    """Return the rows that a page holds, by column."""
    [data] = re.findall(r'id="runs">(.*)</script>', page.read_text("utf-8"))
    content = json.loads(data)
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


def test_all_records_of_a_folder_are_listed_failures_first(install: Any, write: Any, output: Path) -> None:
    install("one")
    notebook = write("1 / n", parameters="n = 1\nxs = [1]\nword = '</script>'", name="a&b.ipynb")
    run(notebook, kernels="one", grid={"n": [9, 10]}, output=output)
    run(notebook, kernels="one", grid={"n": [0, 10]}, output=output, html=True)
    rows = rows_of(output / "index.html")
    assert [(row["status"], row["n"], row["xs"], row["word"]) for row in rows] == [
        ("failed", 0, "[1]", "</script>"), ("ok", 9, "[1]", "</script>"), ("ok", 10, "[1]", "</script>"),
    ]  # fmt: skip
    assert "ZeroDivisionError" in rows[0]["error"]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", row["started"]) for row in rows)
    for row in rows:
        assert all((output / unquote(link)).is_file() for _, link in row["files"])
    assert [text for text, _ in rows[0]["files"]] == ["notebook", "log", "page"]
    with (output / "runs.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(row["path"], row["status"], row["n"], json.loads(row["xs"])) for row in table] == [
        ("a&b.one.n=0.ipynb", "failed", "0", [1]), ("a&b.one.n=9.ipynb", "ok", "9", [1]),
        ("a&b.one.n=10.ipynb", "ok", "10", [1]),
    ]  # fmt: skip


def test_the_index_is_there_while_runs_go_on(
    install: Any, write: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("one")
    monkeypatch.setattr(listing, "_SECONDS", 0.05)
    page = str(output / "index.html")
    waiting = f"import pathlib, time\nwhile n and not pathlib.Path({page!r}).exists(): time.sleep(0.05)"
    runs = run(write(waiting, parameters="n = 0"), kernels="one", grid={"n": [0, 1]}, output=output, run_timeout=60)
    assert [one.status for one in runs] == ["ok", "ok"]
    assert len(rows_of(output / "index.html")) == 2


def test_a_file_of_the_users_stays(install: Any, write: Any, output: Path) -> None:
    install("one")
    output.mkdir()
    for name in (listing.PAGE, listing.TABLE):
        (output / name).write_text("mine")
    run(write("1"), kernels="one", output=output)
    assert [(output / name).read_text() for name in (listing.PAGE, listing.TABLE)] == ["mine", "mine"]
    assert listing.index_of(output) is None


def test_a_folder_without_records_gets_no_index(tmp_path: Path) -> None:
    assert listing.write_listing(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_an_address_gets_an_index_too(install: Any, write: Any) -> None:
    install("one")
    run(write("1"), kernels="one", output="memory://listing/runs")
    page = listing.index_of("memory://listing/runs")
    assert page is not None
    assert b".one.ipynb" in page.read_bytes()
