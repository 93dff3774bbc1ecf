"""Every command on the pages, run there or only named, is one that there is, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from support.pages import PAGES, TOP, blocks

from mambakernels.cli import app
from mambakernels.system import yaml

WORKFLOW = Path(__file__).parents[2] / "docs" / "github-workflow.yml"
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
_NAMED = re.compile(r"`(mambakernels [a-z][^`]*)`")
_TABLE = re.compile(r"^\| `(?:create|install|run|shell) [^|]*\| (.*) \|$", re.MULTILINE)
_OPTION = re.compile(r"\[?(--?[a-z][a-z0-9-]*)\]?")
# Typer's commands are click's or, in later versions, its own copies of them.
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def command_lines() -> list[str]:
    """Return the words after `mambakernels` of each command in a block of bash, in a table or in a sentence."""
    in_table = [quoted for cell in _TABLE.findall(TEXT) for quoted in re.findall(r"`([a-z-]{3,} [^`]*)`", cell)]
    lines = [
        line for page in PAGES for block in blocks(page) if block.language == "bash" for line in block.code.splitlines()
    ]
    said = [shlex.join(words) for line in [*lines, *_NAMED.findall(TEXT)] for words in commands_in(line)]
    return sorted({*said, *in_table})


def commands_in(line: str) -> Iterator[list[str]]:
    """Yield the commands of a line, each as words without `mambakernels`."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(";&|"):
            found.append([])
        else:
            found[-1].append(word)
    for words in found:
        if words and Path(words[0]).name == "mambakernels" and not words[1].startswith("-"):
            yield words[1:]


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
def test_a_command_line_of_the_pages_is_one(line: str) -> None:
    words = shlex.split(line)
    command = COMMANDS[words.pop(0)]
    if words and words[0] in getattr(command, "commands", ()):
        command = command.commands[words.pop(0)]
    assert set(given_options(words)) <= options_of(command)


def test_options_that_the_pages_mention_are_some_commands() -> None:
    group: Any = typer.main.get_command(app)
    known = {option for command in (group, *COMMANDS.values()) for option in options_of(command)}
    for other in ("lab/magics.py", "pytest_plugin.py"):  # those of magics, and of pytest
        known.update(re.findall(r'"(--[a-z-]+)"', (TOP / "mambakernels" / other).read_text(encoding="utf-8")))
    mentioned = set(re.findall(r"`(--[a-z][a-z0-9-]*)", TEXT))
    assert len(mentioned) > 10
    assert mentioned <= known
    assert len(command_lines()) > 40


def test_no_page_installs_it_from_a_package_index() -> None:
    """It is not on one."""
    text = TEXT + WORKFLOW.read_text(encoding="utf-8")
    assert len(re.findall(r"pip install ", text)) > 5
    assert re.findall(r"pip install (?:-\S+ )*['\"]?mambakernels(?! @ git).*", text) == []


def test_the_workflow_runs_reports_and_keeps_what_ran() -> None:
    assert [line.split()[0] for line in commands_of_the_workflow()] == ["sync", "run", "report"]
    workflow = yaml.load(WORKFLOW.read_text(encoding="utf-8"))
    assert set(workflow["on"]) == {"push", "pull_request"}  # a key that older YAML reads as true
    [kept] = [step for step in workflow["jobs"]["notebooks"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert kept["with"]["path"].split() == ["runs", "report.html", "results.xml"]
