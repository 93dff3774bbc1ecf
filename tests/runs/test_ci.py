"""What CI systems read of runs: JUnit reports, GitHub's summary and annotations, failures in a log."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from junitparser import Failure as Failed
from junitparser import JUnitXml, Skipped

import mambakernels
from mambakernels.errors import StorageError
from mambakernels.runs.failures import explain_failures
from mambakernels.runs.github import append_summary, error_commands, line_of, summary
from mambakernels.runs.junit import write_junit
from mambakernels.runs.records import Failure, Run

Cli = Callable[..., subprocess.CompletedProcess[str]]
RAISED = Failure(
    "ValueError", "no", cell=3, prompt=2, heading="Study", source="f()", traceback="Cell In[2], line 1\nno"
)
DIED = Failure("KernelDied", "The kernel ended with signal SIGKILL.", cell=2, source="grow()")


def made(kernel: str = "np-a", mark: str = "", error: Failure | None = None, **fields: Any) -> Run:
    """A run that was not executed."""
    path = Path("/runs") / ".".join(filter(None, ("study", kernel, mark, "ipynb")))
    notebook = Path("/work/study.ipynb")
    run = Run(notebook, kernel, {}, path, "failed" if error else "ok", 1.5, "2026-11-26T10:00:00+00:00", error)
    return replace(run, **fields)


def cases(report: Path) -> dict[tuple[str, str], Any]:
    """Each test case by its class and name."""
    return {(case.classname, case.name): case for suite in JUnitXml.fromfile(str(report)) for case in suite}


def test_a_matrix_on_kernels_as_junit_summary_and_annotations(
    install: Any, write: Any, output: Path, cli: Cli, tmp_path: Path
) -> None:
    install("np-a")
    notebook = write("x = 1", "print('so far')\n1 / n", parameters="n = 1", name="study.ipynb")
    said = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    said["GITHUB_WORKSPACE"] = str(notebook.parent)
    report = tmp_path / "new folder" / "results.xml"
    answer = cli("run", notebook, "-k", "np-*", "-p", "n=0", "-o", output, "--junit", report, **said)
    assert answer.returncode == 1
    [suite] = JUnitXml.fromfile(str(report))
    assert (suite.name, suite.tests, suite.failures, suite.errors) == ("study.ipynb on np-a", 1, 1, 0)
    [case] = suite
    [result] = case.result
    assert isinstance(result, Failed)
    assert result.type == "ZeroDivisionError"
    assert 'under "A notebook"): ZeroDivisionError: division by zero' in result.message
    assert "----> 2 1 / n" in result.text
    assert case.time > 0
    assert case.system_out.startswith("so far\nexecuted notebook: ")
    written = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "| study.ipynb | ❌ failed |" in written
    assert "----> 2 1 / n" in written
    [command] = [line for line in answer.stderr.splitlines() if line.startswith("::error ")]
    where = command.removeprefix("::error file=study.ipynb,line=").partition(",")[0]
    assert notebook.read_text(encoding="utf-8").splitlines()[int(where) - 1].strip() == '"1 / n"'
    assert answer.stderr.count("----> 2 1 / n") == 2  # the annotation, and once for the log


def test_what_did_not_run_is_skipped(install: Any, write: Any, output: Path) -> None:
    install("np-a")
    notebook = write("1 / n", parameters="n = 1", name="study.ipynb")
    report = output.parent / "results.xml"
    grid = {"n": [0, 1, 2]}
    mambakernels.run(notebook, kernels="np-a", grid=grid, output=output, fail_fast=True, junit=report)
    found = cases(report)
    assert list(found) == [("study.np-a", f"n={n}") for n in (0, 1, 2)]
    assert [type(one) for case in found.values() for one in case.result] == [Failed, Skipped, Skipped]


def test_a_junit_report_that_cannot_be_written_is_refused_before_a_kernel_starts(
    install: Callable[..., Path], write: Callable[..., Path], output: Path, tmp_path: Path
) -> None:
    install("one")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        mambakernels.run(write("1"), kernels="one", output=output, junit=tmp_path / "file" / "results.xml")
    assert list(output.iterdir()) == []


def test_junit_names_suites_and_takes_any_text(tmp_path: Path) -> None:
    hostile = replace(RAISED, evalue="\x00 <b> \ud83d & ]]>", output="\x1b[1m", source="'\x00'")
    runs = [made(mark="n=1"), made("np-b", "n=1", hostile), made("np-b", "n=2,s=<ä>", DIED)]
    runs.append(made("np-b", "n=3", Failure("Interrupted", "The run was interrupted."), status="interrupted"))
    runs.append(made("np-b", "n=4", status="running"))
    report = write_junit(runs, tmp_path / "results.xml")
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(report))}
    assert {name: (one.tests, one.failures, one.errors) for name, one in suites.items()} == {
        "study.ipynb on np-a": (1, 0, 0),
        "study.ipynb on np-b": (4, 1, 3),
    }
    found = cases(report)
    assert ("study.np-b", "n=2,s=<ä>") in found
    assert "<b> � & ]]>" in found["study.np-b", "n=1"].result[0].message
    assert found["study.np-b", "n=3"].result[0].type == "Interrupted"
    assert found["study.np-a", "n=1"].result == []


def test_failures_in_a_log_are_shown_once_and_bounded() -> None:
    same = [made("np-a", f"n={n}", RAISED) for n in range(500)]
    text = explain_failures([made(), *same])
    assert text.count("Cell In[2]") == 1
    assert text.startswith("study.ipynb failed in 500 runs: np-a n=0, np-a n=1, ")
    assert "n=19 and 480 more: cell 3 (In [2], under " in text
    long = "\n".join(map(str, range(100_000)))
    different = [made("np-a", f"n={n}", replace(RAISED, evalue=f"{n}", traceback=long)) for n in range(1000)]
    text = explain_failures(different)
    assert len(text) < 200_000
    assert "and 880 more failures" in text
    assert "… 99920 lines …" in text
    assert "99999" in text
    assert explain_failures([made()]) == ""


def test_a_summary_shows_notebooks_by_kernels_and_escapes_what_markdown_would_read() -> None:
    fenced = replace(RAISED, traceback="````\n</details>\n| a |", evalue="<script>")
    runs = [made("np-a", "n=1"), made("np-a", "n=2", fenced), made("np|*b*", "n=1"), made("np|*b*", "n=2")]
    other = made("np-a", notebook=Path("/work/a_b.ipynb"))
    text = summary([*runs, other])
    assert "5 runs: 1 failed, 4 ok" in text
    assert "| | np\\-a | np\\|\\*b\\* |\n|---|---|---|\n" in text
    assert "| study.ipynb | ❌ 1 of 2 | ✅ 2 |" in text
    assert "| a\\_b.ipynb | ✅ 1.5 s |  |" in text
    assert "\n`````\n````\n</details>\n| a |\n`````\n" in text
    assert "<script>" not in text


def test_a_summary_fits_into_what_github_takes(tmp_path: Path) -> None:
    runs = [made(f"k{n}", "", replace(RAISED, evalue=str(n), traceback="ä" * 8000)) for n in range(300)]
    file = tmp_path / "summary.md"
    file.write_text("before\n" * 1000)
    append_summary(runs, file)
    append_summary(runs, file)
    text = file.read_text(encoding="utf-8")
    assert len(text.encode()) < 1024 * 1024
    assert text.startswith("before\n")
    assert "more are not shown" in text


def test_annotations_are_few_and_their_properties_escaped(tmp_path: Path) -> None:
    many = [made(f"k{n}", "", replace(RAISED, evalue=f"100% {n}\nnext")) for n in range(20)]
    commands = list(error_commands(many, workspace=Path("/work")))
    assert len(commands) == 10
    assert commands[0].startswith("::error file=study.ipynb,title=study.ipynb failed on k0::cell 3")
    assert "100%25 0" in commands[0]
    assert "\n" not in commands[0]
    assert next(error_commands(many, workspace=tmp_path)).startswith("::error file=/work/study.ipynb,")


def test_the_line_of_a_cell_is_found_among_equal_ones_and_in_compact_files(tmp_path: Path) -> None:
    cells = ["", "a = 1\nä = 2\n1 / 0", "n = 1", "a = 1\nä = 2\n1 / 0"]
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    content.cells[1].outputs = [nbformat.v4.new_output("stream", text='"source": ["a = 1\\n"')]
    notebook, executed = tmp_path / "study.ipynb", tmp_path / "study.np-a.ipynb"
    nbformat.write(content, notebook)
    content.cells.insert(3, nbformat.v4.new_code_cell("n = 2", metadata={"tags": ["injected-parameters"]}))
    nbformat.write(content, executed)
    error = replace(RAISED, cell=5, prompt=5, traceback="Cell In[5], line 3\n")
    run = made(error=error, notebook=notebook, path=executed)
    lines = notebook.read_text(encoding="utf-8").splitlines()
    last = len(lines) - 1 - [line.strip() for line in lines][::-1].index('"1 / 0"')
    assert line_of(run) == last + 1
    assert line_of(replace(run, error=replace(error, cell=4))) is None  # the injected cell is not in the file
    assert line_of(replace(run, error=replace(error, cell=None))) is None
    notebook.write_text(notebook.read_text(encoding="utf-8").replace("\n", ""), encoding="utf-8")
    assert line_of(run) == 1
