"""The command line's options and words that several commands share, and the application they belong to."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn conda environments into Jupyter kernels, and run one notebook on all of them.",
)


class EngineChoice(str, Enum):
    """The engines, as options."""

    auto = "auto"
    rattler = "rattler"
    micromamba = "micromamba"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", "-r", help="Where environments live (or MAMBAKERNELS_ROOT).", show_default=False),
]
EngineOption = Annotated[EngineChoice, typer.Option(help="What solves and links packages.")]
NameArgument = Annotated[str, typer.Argument(help="The environment, or the path of one.", metavar="NAME")]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="environment.yml, a list of specs, an @EXPLICIT file or a lockfile."),
]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option("--channel", "-c", help="auto, wheels, conda-forge, a URL or a folder; may be given again."),
]
ParameterOption = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", help="key=value of the notebook; may be given again.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Accepted for micromamba's sake: nothing is ever asked.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@app.callback(invoke_without_command=True)
def _main(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001 (see __main__)
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"mambakernels {installed('mambakernels')}")
        raise typer.Exit


def assignment(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    return name, value


def plain(item: Any) -> dict[str, Any]:
    """Return a dataclass as JSON can hold it."""
    assert is_dataclass(item)
    assert not isinstance(item, type)
    content: dict[str, Any] = json.loads(json.dumps(asdict(item), default=str))
    if isinstance(content.get("root"), dict):
        content["root"] = content["root"]["path"]
    return content


def print_json(content: Any) -> None:
    """Print JSON for programs."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def size(count: int) -> str:
    """Write a number of bytes for people."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
