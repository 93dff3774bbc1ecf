"""`run` as a user meets it: what moves on a terminal, what a log gets, what is said in the end, and plans."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from support.terminal import terminal

from mambakernels.cli import live
from mambakernels.progress import Event
from mambakernels.runs.records import read_run

pytestmark = pytest.mark.slow

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def study(install: Any, write: Any, tmp_path: Path) -> Path:
    """Return a notebook for the kernels np-a and np-b, of which a run waits for a file `go` if n is 9."""
    for name in ("np-a", "np-b"):
        install(name)
    waiting = (
        f"import pathlib, time\nwhile n == 9 and not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.05)"
    )
    path: Path = write(waiting, "print(1 / n)", parameters="n = 1  # the size", name="study.ipynb")
    return path


def test_a_terminal_shows_a_line_for_each_run_at_work_and_the_total(study: Path, output: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mambakernels", "run", str(study), "-k", "np-*", "-g", "n=0,9", "-j", "2"]
    words += ["-o", str(output)]
    with terminal(words, {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}) as shown:
        shown.wait_for("study.np-a.n=0: failed in")
        shown.wait_for("study.np-a.n=9: cell 4 of 5 (A notebook)")
        shown.wait_for("0 of 4 done, 2 failed, 2 to go")
        (tmp_path / "go").touch()
        shown.wait_for("executed notebook")
        assert shown.status() == 1
    assert "2 runs: np-a n=0, np-b n=0" in shown.screen
    assert "mambakernels collect" in shown.screen


def test_ctrl_c_on_a_terminal_ends_with_what_is_finished(study: Path, output: Path) -> None:
    words = [sys.executable, "-m", "mambakernels", "run", str(study), "-k", "np-a", "-g", "n=1,9", "-o", str(output)]
    with terminal(words, {**os.environ, "TERM": "xterm"}) as shown:
        shown.wait_for("1 of 2 done, 1 to go")
        shown.type("\x03")
        shown.wait_for("\x1b[?25h")  # the cursor is back
        shown.wait_for("1 of 2 runs finished. The same command does the rest.")
        assert shown.status() == 130
    assert read_run(output / "study.np-a.n=9.ipynb").status == "interrupted"
    assert (output / "index.html").exists()


@pytest.mark.parametrize(("width", "height"), [(40, 6), (100, 3), (20, 24)])
def test_the_lines_fit_the_terminal(width: int, height: int) -> None:
    watch = live.Watch()
    watch(Event("plan", "", total=30))
    for n in range(30):
        watch(Event("run", f"wïde 漢字 {n}: cell 3 of 12 (A rather long heading of a cell)", item=str(n)))
    written = io.StringIO()
    Console(file=written, width=width, height=height).print(live._Screen(watch))
    lines = written.getvalue().splitlines()
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    assert lines[-1].startswith("0 of 30 done, 30 to"[:width])
    assert f"{30 - len(lines) + 2} more" in lines[-2]


def test_a_log_gets_a_line_when_a_run_has_ended(cli: Cli, study: Path, output: Path) -> None:
    words = ("run", study, "-k", "np-a,np-b", "-g", "n=0,1,2", "-o", output)
    answer = cli(*words, "-j", "2")
    assert answer.returncode == 1
    lines = [line for line in answer.stderr.splitlines() if line.startswith("[")]
    assert [line.partition("]")[0] for line in lines] == [f"[{number} of 6" for number in range(1, 7)]
    assert "running" not in answer.stderr
    assert sum("ZeroDivisionError" in line for line in lines) == 2
    assert f"All runs in this folder: {output / 'index.html'}" in answer.stdout
    again = cli(*words, "--failed", "--exclude", "kernel=*b")
    assert sum(" of 3] study.np-a.n=0: failed in" in line for line in again.stderr.splitlines()) == 1


def test_what_is_done_already_is_said_with_the_way_to_repeat_it(cli: Cli, study: Path, output: Path) -> None:
    words = ("run", study, "-k", "np-a", "-p", "n=3", "-o", output)
    assert "--force" not in cli(*words).stdout
    answer = cli(*words)
    assert "The run is done already" in answer.stdout
    assert "--force" in answer.stdout
    planned = cli(*words, "--dry-run")
    assert planned.returncode == 0
    assert "done" in planned.stdout
    assert "Nothing would run" in planned.stdout


def test_a_plan_is_printed_and_nothing_is_run(cli: Cli, study: Path, output: Path, tmp_path: Path) -> None:
    file = tmp_path / "matrix.toml"
    file.write_text(f'notebooks = ["{study.parent.name}/*.ipynb"]\nkernels = "np-*"\n[grid]\nn = "1:4:log2"\n')
    answer = cli("run", file, "-k", "np-b", "-o", output, "--dry-run", "--json")
    plan = json.loads(answer.stdout)
    assert [(one["label"], one["state"], one["runs"], one["estimate"]) for one in plan["runs"]] == [
        (f"study.np-b.n={n}", "new", True, None) for n in (1, 2, 4)
    ]  # fmt: skip
    assert (plan["seconds"], plan["unknown"]) == (None, 3)
    shown = cli("run", file, "-g", "n=5", "-o", output, "--dry-run").stdout
    assert "2 of 2 runs to run. Time: unknown. Nothing was run." in shown
    assert not output.exists()
    refused = cli("run", file, study)
    assert (refused.returncode, "give it alone" in refused.stderr) == (2, True)


def test_the_parameters_of_a_notebook_are_shown(cli: Cli, study: Path, write: Any) -> None:
    shown = cli("parameters", study).stdout
    assert "the size" in shown
    assert f"mambakernels run {study}" in shown
    assert json.loads(cli("parameters", study, "--json").stdout) == [
        {"name": "n", "type": "int", "default": 1, "help": "the size", "is_settable": True}
    ]
    assert "tag the cell" in cli("parameters", write("1", name="none.ipynb")).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-j", "0"), "0 runs cannot execute at once"),
        (("--measure", "-j", "2"), "one at a time"),
        (("--timeout", "soon"), "'soon' is not a time-out"),
        (("--memory", "lots"), "'lots' is not an amount of memory"),
        (("--zip", "n,m", "-g", "n=1,2"), "'m' has no values to zip"),
        (("-g", "n=a"), "'a' does not fit the parameter 'n'"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_runs(
    words: tuple[str, ...], said: str, cli: Cli, study: Path, output: Path
) -> None:
    answer = cli("run", study, "-k", "np-a", "-o", output, *words)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Error: ")
    assert said in answer.stderr
    assert not output.exists()
