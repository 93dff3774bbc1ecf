"""The pages of the site that are made, not written: commands, functions, a workflow, and the executed lessons.

mkdocs calls the functions whose names begin with `on_`. Lessons come from the folder of executed notebooks that
MAMBAKERNELS_LESSONS names; without it, the lessons are listed and not shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import nbformat
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

import mambakernels.numeric
import mambakernels.sessions.kernel_session
from mambakernels import errors
from mambakernels.cli import app
from mambakernels.cli.app import PANELS

TOP = Path(__file__).parent.parent
LESSONS = [*sorted((TOP / "notebooks").glob("[0-9]*.ipynb")), TOP / "notebooks" / "blas.ipynb"]
# Public names, as one types them after `mambakernels.`, by the headings of the page on Python.
FUNCTIONS = {
    "environments": (
        "create", "list", "get", "describe", "install", "update", "uninstall", "clone", "rename", "remove", "verify",
        "export", "lock", "clean", "sync", "exec", "call", "shell", "shell_init", "Environment", "info", "solve",
    ),
    "kernels": (
        "kernels.register", "kernels.list", "kernels.unregister", "kernels.prune", "kernels.KernelSpec", "doctor",
    ),
    "runs": ("run", "plan", "read_matrix", "parameters", "record", "collect", "report", "report_notebook"),
    "measuring": (
        "bench", "compare", "measurements", "plot", "demo", "demo_belongings", "clean_demo", "numeric.measure",
        "numeric.probe", "numeric.publish",
        *(f"plots.{name}" for name in mambakernels.plots.__all__ if name.islower()),
    ),
    "jupyterlab": (
        "session", "sessions.kernel_session.KernelSession", *(f"lab.{name}" for name in mambakernels.lab.__all__),
    ),
    "origins": (
        "bootstrap.install", "bootstrap.check", "bootstrap.remove", "channel.build", "channel.list", "channel.clean",
    ),
    "errors": tuple(f"errors.{name}" for name in vars(errors) if name.endswith("Error")),
}  # fmt: skip


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the executed lessons to the navigation, under the page that lists them."""
    [below] = [item["Lessons"] for item in config.nav or () if "Lessons" in item]
    below += [f"lessons/{_stem(path)}.md" for path in _executed()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page on the commands, and a page for each executed lesson."""
    files.append(File.generated(config, "reference/commands.md", content="\n".join(_commands())))
    for path in _executed():
        for name, content in _lesson(path).items():
            files.append(File.generated(config, f"lessons/{name}", content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill what a page leaves open in braces, and drop the notes to the tests."""
    del config, files
    found = re.sub(r"[ ]*<!-- not run: .*? -->\n", "", markdown)
    if page.file.src_uri in {"how-to/ci.md", "lessons/index.md", "reference/python.md"}:
        found = re.sub(r"^\{(\w+)\}$", lambda match: _filling(match[1]), found, flags=re.MULTILINE)
    return found


def _filling(name: str) -> str:
    if name == "workflow":
        return (TOP / "docs" / "github-workflow.yml").read_text(encoding="utf-8")
    return _list_of_lessons() if name == "lessons" else _functions(FUNCTIONS[name])


# ------------------------------------------------------------------------------------------------------- commands


def _commands() -> Iterator[str]:
    """Yield the lines of a page with each command's own help."""
    group: Any = typer.main.get_command(app)
    yield "# Commands\n\nEach command says the same with `--help`.\n"
    for title, names in PANELS.items():
        yield f"## {title}\n"
        for name in names:
            yield from _command(name, group.commands[name])


def _command(name: str, command: Any) -> Iterator[str]:
    if hasattr(command, "commands"):
        for below, item in command.commands.items():
            yield from _command(f"{name} {below}", item)
        return
    context = command.make_context(name, [], resilient_parsing=True)
    context.info_name = f"mambakernels {name}"
    yield f"### {name}\n\n```text\n{command.get_help(context)}\n```\n"


# ------------------------------------------------------------------------------------------------------ functions


def _functions(names: tuple[str, ...]) -> str:
    """Return the places of the docstrings for mkdocstrings, under the names that one types."""
    return "\n\n".join(f"::: {_home(name)}\n    options: {{heading: {name}, toc_label: {name}}}" for name in names)


def _home(name: str) -> str:
    found = attrgetter(name)(mambakernels)
    return f"{found.__module__}.{found.__qualname__}"


# -------------------------------------------------------------------------------------------------------- lessons


def _executed() -> list[Path]:
    folder = os.environ.get("MAMBAKERNELS_LESSONS")
    found = {_stem(path): path for path in Path(folder).glob("*.ipynb")} if folder else {}
    return [found[lesson.stem] for lesson in LESSONS if lesson.stem in found]


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


@cache
def _lesson(path: Path) -> dict[str, str | bytes]:
    """Return an executed notebook as a page, with its pictures, by file name."""
    name = _stem(path)
    exporter = MarkdownExporter(exclude_input_prompt=True)
    body, resources = exporter.from_notebook_node(
        nbformat.read(path, as_version=4), {"output_files_dir": f"{name}_files", "unique_key": name}
    )
    pictures: dict[str, bytes] = resources["outputs"]
    shown = {_stem(each) for each in _executed()}
    body = re.sub(
        r"\[([^]]+)\]\((\w+)\.ipynb\)", lambda link: f"[{link[1]}]({link[2]}.md)" if link[2] in shown else link[1], body
    )
    return {f"{name}.md": body, **pictures}


def _list_of_lessons() -> str:
    shown = {_stem(path) for path in _executed()}
    lines = []
    for path in LESSONS:
        title = re.sub(r"^#+\s*", "", nbformat.read(path, as_version=4).cells[0].source.splitlines()[0])
        lines.append(f"- [{title}]({path.stem}.md)" if path.stem in shown else f"- {title} (`{path.name}`)")
    return "\n".join(lines)
