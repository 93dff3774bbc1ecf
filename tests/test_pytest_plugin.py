"""Notebooks as tests of pytest: sessions of pytest inside the tests, with real kernels."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import nbformat
import pytest
from junitparser import JUnitXml
from support.python_kernels import install
from support.running_kernels import alive

__all__ = ["install"]

pytest_plugins = ["pytester"]
PLUGIN = "mambakernels.pytest_plugin"
Notebook = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes of pytest that a test starts import only the plugins that it names: half of their time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def notebook(pytester: pytest.Pytester) -> Notebook:
    """Return a function that writes a notebook into the folder where pytest runs; each cell is a source and tags."""

    def write_notebook(name: str, *cells: str | tuple[str, str], **metadata: Any) -> Path:
        pairs = [cell if isinstance(cell, tuple) else (cell, "") for cell in cells]
        made = [nbformat.v4.new_code_cell(code, metadata={"tags": [tag] if tag else []}) for code, tag in pairs]
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=metadata), path)
        return path

    return write_notebook


def run(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", PLUGIN, "-p", "xdist", "-v", *words)


@pytest.mark.slow
def test_each_notebook_on_each_kernel_is_a_test_on_several_workers(
    install: Any, notebook: Notebook, pytester: pytest.Pytester
) -> None:
    install("np-a")
    install("np-b")
    install("other")
    notebook("notebooks/study.ipynb", ("n = 1", "parameters"), "print('so far')\n1 / n", "'never'")
    notebook("notebooks/sub/fine.ipynb", "import os\nassert os.path.exists('fine.ipynb')")
    notebook("kept/notebooks/record.ipynb", "1 / 0")  # where records are kept, no test is
    options = ("--mambakernels", "np-*", "--mambakernels-parameter", "n=0", "--mambakernels-output", "kept")
    result = run(pytester, *options, "-n", "2", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2, failed=2)
    for kernel in ("np-a", "np-b"):
        result.stdout.fnmatch_lines_random(
            [f"*FAILED notebooks/study.ipynb::{kernel}*", f"*PASSED*fine.ipynb::{kernel}*"]
        )
    result.stdout.fnmatch_lines(
        [
            "*_ study.ipynb on np-? _*",
            "cell 3 (In [[]3[]]): ZeroDivisionError: division by zero",
            "--- cell 3 (In [[]3[]])",
            "1 / n",
            "--- traceback",
            "----> 2 1 / n",
            "--- end of its output",
            "so far",
        ]
    )
    assert "plugin.py" not in result.stdout.str()
    failures = [case for suite in JUnitXml.fromfile("junit.xml") for case in suite if case.result]
    assert {case.name for case in failures} == {"np-a", "np-b"}
    assert failures[0].result[0].message == "cell 3 (In [3]): ZeroDivisionError: division by zero"
    assert (pytester.path / "kept" / "notebooks" / "study.np-a.ipynb").exists()
    assert (pytester.path / "kept" / "notebooks" / "sub" / "fine.np-b.ipynb").exists()
    result = run(pytester, "--mambakernels=np-a", "--mambakernels-parameter=m=0", "-n", "1", "notebooks/study.ipynb")
    result.stdout.fnmatch_lines(["FAILED *study.ipynb::np-a - *no collected*"])


def test_those_that_failed_alone_and_a_selection(install: Any, notebook: Notebook, pytester: pytest.Pytester) -> None:
    install("np-a")
    study = notebook("study.ipynb", "1\n1 / 0")
    notebook("fine.ipynb", "1")
    run(pytester, "--mambakernels", "np-*", "-k", "study and np-a").assert_outcomes(failed=1, deselected=1)
    result = run(pytester, "--mambakernels", "np-*", "--lf", "--tb=line", "-x")
    result.assert_outcomes(failed=1)
    line = 1 + [line.strip() for line in study.read_text(encoding="utf-8").splitlines()].index('"1 / 0"')
    result.stdout.fnmatch_lines([f"*study.ipynb:{line}: cell 1 (In [[]1[]]): ZeroDivisionError: division by zero"])
    run(pytester, "--mambakernels", "np-a", "fine.ipynb::np-a").assert_outcomes(passed=1)


def test_expected_failures_and_marks(install: Any, notebook: Notebook, pytester: pytest.Pytester) -> None:
    install("one")
    notebook("expected.ipynb", "1", ("1 / 0", "xfail"), "2")
    notebook("elsewhere.ipynb", "1 / 0", ("1 / 0", "xfail"))
    notebook("better.ipynb", ("1", "xfail"))
    notebook("allowed.ipynb", ("1 / 0", "raises-exception"))
    notebook("marked.ipynb", "1 / 0", execution={"markers": ["skip"]})
    result = run(pytester, "--mambakernels", "one")
    result.assert_outcomes(xfailed=1, failed=1, xpassed=1, passed=1, skipped=1)
    result.stdout.fnmatch_lines(["FAILED elsewhere.ipynb::one - cell 1*"])


def test_a_cell_that_takes_too_long_fails(install: Any, notebook: Notebook, pytester: pytest.Pytester) -> None:
    install("one")
    notebook("slow.ipynb", "import time\ntime.sleep(600)")
    result = run(pytester, "--mambakernels", "one", "--mambakernels-timeout", "0.5s")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAILED slow.ipynb::one - cell 1*TimeoutError*"])


def test_what_cannot_run_is_said_before_anything_does(
    install: Any, notebook: Notebook, pytester: pytest.Pytester
) -> None:
    install("one")
    notebook("fine.ipynb", ("n = 1", "parameters"))
    result = run(pytester, "--mambakernels", "nothing-*")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*There is no kernel nothing-[*]*", "*Known kernels:*one*"])
    result = run(pytester, "--mambakernels", "one", "--mambakernels-parameter", "m=1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no collected notebook has a parameter 'm'*"])
    (pytester.path / "broken.ipynb").write_text("{")
    result = run(pytester, "--mambakernels", "one", "--mambakernels-parameter", "n=x")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*int was expected*"])
    result.stdout.fnmatch_lines(["This file is not a notebook*broken.ipynb*"])


def test_without_its_option_no_notebook_is_collected_and_nothing_is_imported(
    notebook: Notebook, pytester: pytest.Pytester
) -> None:
    notebook("fine.ipynb", "1")
    assert run(pytester, "--collect-only").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    code = f"import sys, {PLUGIN}; print(*sorted(name for name in sys.modules if name.startswith('mambakernels')))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["mambakernels", "mambakernels.errors", PLUGIN]


def test_pytest_finds_the_plugin() -> None:
    found = {
        entry.name: entry.value for entry in distribution("mambakernels").entry_points if entry.group == "pytest11"
    }
    assert found == {PLUGIN: PLUGIN}


@pytest.mark.skipif(sys.platform == "win32", reason="only where there is no Windows: SIGINT")
def test_an_interrupt_ends_the_kernel(install: Any, notebook: Notebook, pytester: pytest.Pytester) -> None:
    install("one")
    code = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    notebook("slow.ipynb", code)
    words = [sys.executable, "-m", "pytest", "-p", PLUGIN, "--mambakernels", "one"]
    with subprocess.Popen(words, cwd=pytester.path, stdout=subprocess.PIPE, text=True) as running:
        while not (pytester.path / "pid").exists() or not (pytester.path / "pid").read_text():
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in said
    assert alive([int((pytester.path / "pid").read_text())]) == set()
