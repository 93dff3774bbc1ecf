"""The report on runs: one page from a notebook, which people can replace."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest

import mambakernels
from mambakernels.errors import InvalidRequestError, NotFoundError, RunError
from mambakernels.runs.report import TEMPLATE, is_log_spaced, link

Cli = Callable[..., subprocess.CompletedProcess[str]]

STUDY = """from mambakernels.record import record
if n == 8 and kind == "b":
    raise ValueError("too <large> & heavy")
record({"score <b>": n * 2.0}, label="x")"""


def test_a_page_of_a_matrix(install: Any, write: Any, output: Path, cli: Cli, tmp_path: Path) -> None:
    install("np-a")
    notebook = write(STUDY, parameters="n = 1\nkind = 'a'", name="stüdy & more.ipynb")
    mambakernels.run(notebook, kernels="np-a", grid={"n": [2, 8], "kind": ["a", "b"]}, output=output, jobs=2)
    page = tmp_path / "a page" / "report.html"
    answer = cli("report", output, "-o", page, "--title", "Scores <1>")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"Report: {page}\n"
    assert [file.name for file in page.parent.iterdir()] == ["report.html"]
    text = page.read_text(encoding="utf-8")
    assert "<title>Scores &lt;1&gt;</title>" in text
    assert "4 runs: 3 ok, 1 failed" in text
    shown = re.sub(r"<[^>]*>", "", text)
    places = [
        shown.index(word) for word in ("Failures", "What ran where", "Results over parameters", "executed notebook")
    ]
    assert places[:3] == sorted(places[:3])
    assert "----&gt; 3     raise ValueError" in text
    assert "1 failed, 3 ok" in text
    assert 'alt="score &lt;b&gt; over n, a line for each kernel" src="data:image/png;base64,' in text
    links = [unquote(address) for address in re.findall('<a href="([^"#]*)"', text)]
    assert len(set(links)) == 4
    assert all((page.parent / address.replace("&amp;", "&")).is_file() for address in links)
    assert "<script" not in text
    assert "score <b>" not in text
    assert not re.search("src=.https?:", text)
    assert "This notebook makes the page" not in text


@pytest.mark.slow
def test_a_notebook_of_ones_own_makes_the_page(install: Any, write: Any, output: Path, tmp_path: Path) -> None:
    install("np-a")
    mambakernels.run(write("1", name="study.ipynb"), kernels="np-a", output=output)
    own = mambakernels.report_notebook(tmp_path / "own.ipynb")
    with pytest.raises(InvalidRequestError, match="there already"):
        mambakernels.report_notebook(own)
    content = nbformat.read(own, as_version=4)
    content.cells[1].source += "\nlimit = 1"
    content.cells.append(nbformat.v4.new_code_cell('print(f"limit is {limit + len(frame)}")'))
    nbformat.write(content, own)
    page = mambakernels.report(output, output=tmp_path / "own.html", template=own, parameters={"limit": 40})
    assert "limit is 41" in page.read_text(encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="no parameter 'other'"):
        mambakernels.report(output, output=page, template=own, parameters={"other": 1})
    content.cells.insert(2, nbformat.v4.new_code_cell("1 / 0"))
    nbformat.write(content, own)
    before = page.read_bytes()
    with pytest.raises(RunError, match=r"(?s)failed: cell 4 .*ZeroDivisionError.*1 / 0"):
        mambakernels.report(output, output=page, template=own)
    assert page.read_bytes() == before
    with pytest.raises(NotFoundError, match="No notebook is there"):
        mambakernels.report(tmp_path / "nothing", output=page)


@pytest.mark.slow
def test_notebooks_that_others_executed_are_reported_as_well(tmp_path: Path) -> None:
    failed = nbformat.v4.new_code_cell("1 / 0", execution_count=1)
    failed.outputs = [nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="division", traceback=["no"])]
    folder = tmp_path / "runs"
    folder.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[failed]), folder / "foreign.ipynb")
    (folder / "torn.ipynb").write_text(json.dumps({"cells": 1}))
    text = mambakernels.report(folder, output=tmp_path / "report.html").read_text(encoding="utf-8")
    assert "foreign.ipynb failed on" in text
    assert "ZeroDivisionError: division" in text
    assert 'href="runs/torn.ipynb"' in text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([256, 512, 1024, 2048], True),
        ([1e-3, 1e-2, 1e-1], True),
        ([100, 200, 500, 1000, 2000], True),
        ([1, 2, 3, 4, 5], False),
        ([100, 200, 300], False),
        ([0, 1, 10, 100], False),
        ([1, 10], False),
        ([], False),
    ],
)
def test_values_that_are_spaced_as_on_a_logarithmic_axis(values: Sequence[float], *, expected: bool) -> None:
    assert is_log_spaced(values) is expected


def test_links_are_relative_and_quoted() -> None:
    assert link("/a/b/runs/x y#1.ipynb", "/a/b/page") == "../runs/x%20y%231.ipynb"
    assert link("s3://bucket/runs/x.ipynb", "/a") == "s3://bucket/runs/x.ipynb"


def test_the_notebook_of_the_report_is_no_lesson() -> None:
    assert TEMPLATE.is_file()
    assert not TEMPLATE.is_relative_to(Path(mambakernels.__file__).parent / "notebooks")
