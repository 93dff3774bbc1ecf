"""Every command line in the README is one that the command line takes: the command and its options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mambakernels.cli import app
from mambakernels.system import yaml

WORKFLOW = Path(__file__).parents[2] / "docs" / "github-workflow.yml"
TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
# `mambakernels`, a command, and the rest up to a comment, the end of a quotation or the next command.
_LINE = re.compile(r"(?:^ {4}|&& |;  |`|\.venv/bin/)mambakernels ([a-z-]+(?:'[^'\n]*'|[^`#\n;'])*)", re.MULTILINE)
_TABLE = re.compile(r"^\| `(?:create|install|run|shell) [^|]*\| (.*) \|$", re.MULTILINE)
_OPTION = re.compile(r"\[?(--?[a-z][a-z0-9-]*)\]?")
# Typer's commands are click's or, in later versions, its own copies of them.
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def command_lines() -> list[str]:
    in_table = [quoted for cell in _TABLE.findall(TEXT) for quoted in re.findall(r"`([a-z-]{3,} [^`]*)`", cell)]
    return sorted({*(line.split(" && ")[0].strip() for line in _LINE.findall(TEXT)), *in_table})


def given_options(words: list[str]) -> Iterator[str]:
    """Yield the options, but for those of another program, which come after `--`."""
    for word in words:
        if word == "--":
            return
        if match := _OPTION.fullmatch(word):
            yield match[1]


def commands_of_the_workflow() -> list[str]:
    jobs = yaml.load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    return [line.removeprefix("mambakernels ") for line in lines if line.startswith("mambakernels ")]


def options_of(command: Any) -> set[str]:
    return {name for item in command.params for name in (*item.opts, *item.secondary_opts)}


@pytest.mark.parametrize("line", [*command_lines(), *commands_of_the_workflow()])
def test_a_command_line_of_the_readme_is_one(line: str) -> None:
    words = shlex.split(line)
    command = COMMANDS[words.pop(0)]
    if words and words[0] in getattr(command, "commands", ()):
        command = command.commands[words.pop(0)]
    assert set(given_options(words)) <= options_of(command)


def test_options_that_the_readme_mentions_are_some_commands() -> None:
    known = {option for command in COMMANDS.values() for option in options_of(command)}
    mentioned = set(re.findall(r"`(--[a-z][a-z0-9-]*)", TEXT))
    assert len(mentioned) > 10
    assert mentioned <= known
    assert len(command_lines()) > 40


def test_the_workflow_runs_reports_and_keeps_what_ran() -> None:
    assert [line.split()[0] for line in commands_of_the_workflow()] == ["sync", "run", "report"]
    workflow = yaml.load(WORKFLOW.read_text(encoding="utf-8"))
    assert set(workflow["on"]) == {"push", "pull_request"}  # a key that older YAML reads as true
    [kept] = [step for step in workflow["jobs"]["notebooks"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert kept["with"]["path"].split() == ["runs", "report.html", "results.xml"]
