"""The application, and the options and renderings that several commands share."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import mambakernels

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn conda environments into Jupyter kernels, and run one notebook on all of them.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        "-r",
        help="The folder of environments, packages and channels (or MAMBAKERNELS_ROOT).",
        show_default=False,
    ),
]
EngineOption = Annotated[
    Literal["auto", "rattler", "micromamba"], typer.Option(help="The program that solves and links packages.")
]
NameArgument = Annotated[str, typer.Argument(help="The environment: its name or its path.", metavar="NAME")]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="An environment.yml, a list of specs, an @EXPLICIT file or a lockfile."),
]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option("--channel", "-c", help="auto, wheels, conda-forge, a URL or a folder; repeat for several."),
]
ParameterOption = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="A parameter of the notebook; repeat for several."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


@app.callback(invoke_without_command=True)
def _main(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001 (see __main__)
) -> None:
    if version:
        typer.echo(f"mambakernels {mambakernels.__version__}")
        raise typer.Exit


def plain(item: DataclassInstance) -> dict[str, Any]:
    """Return a dataclass as values that JSON has, a root as its path."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(item), default=str))
    if isinstance(content.get("root"), dict):
        content["root"] = content["root"]["path"]
    return content


def print_json(content: Any) -> None:
    """Print JSON for programs."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def size(count: float) -> str:
    """Return a number of bytes for people, such as `4 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def amount(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural but for one: `1 kernel`, `2 kernels`."""
    return f"{number} {noun}{'s' * (number != 1)}"
