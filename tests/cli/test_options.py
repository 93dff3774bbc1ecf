"""One word for one thing: an option of the command line is called as the keyword of the Python function."""

from __future__ import annotations

import inspect
from operator import attrgetter
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import mambakernels
from mambakernels.cli import app
from mambakernels.cli.app import PANELS, kernel_names

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# Commands whose function is not called as they are.
ELSEWHERE = {
    "bootstrap": "bootstrap.install",
    "kernels": "kernels.list",
    "lab": "lab.start_jupyterlab",
    "prune": "kernels.prune",
    "register": "kernels.register",
    "unregister": "kernels.unregister",
}
# What only the command line has: renderings and progress, questions, and choices between functions.
RENDERING = {"as_json", "quiet", "help"}
ONLY_HERE = {
    "bench": {"code", "setup"},  # `compare`
    "bootstrap": {"check", "remove"},  # functions themselves
    "measurements": {"output"},
    "create": {"dry_run"},  # `solve`
    "demo": {"clean"},  # `clean_demo`
    "export": {"output"},
    "info": {"name"},  # `describe`
    "prune": {"yes"},
    "run": {"dry_run", "dask"},  # `plan`, a kind of `executor`
    "report": {"notebook"},  # `report_notebook`
    "register": {"user", "sys_prefix", "prefix"},  # values of `jupyter`, as Jupyter's own commands have them
}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"channel"}))
def test_an_option_is_a_keyword(name: str) -> None:
    """An option that may be repeated is called in the singular, its keyword in the plural."""
    function = attrgetter(ELSEWHERE.get(name, name.replace("-", "_")))(mambakernels)
    keywords = set(inspect.signature(function).parameters) | ONLY_HERE.get(name, set()) | RENDERING
    options = {item.name for item in COMMANDS[name].params if item.param_type_name == "option"}
    assert {option for option in options if not {option, f"{option}s"} & keywords} == set()


def test_the_help_lists_every_command_in_one_panel() -> None:
    assert sorted(name for names in PANELS.values() for name in names) == sorted(COMMANDS)
    shown = CliRunner().invoke(app, ["--help"]).output
    titles = [
        line.rstrip(":") for line in shown.splitlines() if line and not line.startswith((" ", "Usage", "Options"))
    ]
    assert titles == list(PANELS)
    listed = [line.split()[0] for line in shown.partition("Start here:")[2].splitlines() if line.startswith("  ")]
    assert listed == [name for names in PANELS.values() for name in names]


@pytest.mark.parametrize("given", [["a,b", "c"], ["a", "b", "c"], ["a, b,c,"]])
def test_kernels_are_given_with_commas_or_one_by_one(given: list[str]) -> None:
    assert kernel_names(given) == ["a", "b", "c"]


@pytest.mark.parametrize("command", [["run", "notebook.ipynb"], ["bench"], ["bench", "-k", ","]])
def test_without_a_kernel_those_that_exist_are_named(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mambakernels.runs.kernelspecs._folders", lambda: {"np-mkl": "", "np-blis": ""})
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 2
    assert "Known kernels: np-blis, np-mkl." in answer.output
    assert "mambakernels kernels" in answer.output


def test_the_channel_has_the_commands_of_its_module() -> None:
    for name, command in COMMANDS["channel"].commands.items():
        keywords = set(inspect.signature(getattr(mambakernels.channel, name)).parameters) | RENDERING
        assert {item.name for item in command.params} <= keywords
