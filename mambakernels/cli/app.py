"""The application, and the options and renderings that several commands share."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import mambakernels

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PANELS = {
    "Start here": ("demo", "lab", "info", "doctor"),
    "Environments": (
        "create", "list", "install", "update", "uninstall", "clone", "rename", "remove", "verify", "export", "lock",
        "exec", "shell", "shell-init",
    ),
    "Kernels": ("kernels", "register", "unregister", "prune", "sync"),
    "Notebooks and results": ("run", "parameters", "collect", "report", "measurements"),
    "Measuring": ("bench", "plot"),
    "Housekeeping": ("bootstrap", "channel", "clean"),
}  # fmt: skip


class _Panels(TyperGroup):
    """A group whose help lists the commands in panels; typer's own `rich_help_panel` needs rich's boxes and colours."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (click's signature)
        """Write the panels in place of one long list."""
        longest = max(map(len, self.commands))
        room = formatter.width - longest - 6
        for title, names in PANELS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(longest), self.commands[name].get_short_help_str(room)) for name in names]
                )


app = typer.Typer(
    cls=_Panels,
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
Engine = Literal["auto", "rattler", "micromamba"]
EngineOption = Annotated[Engine, typer.Option(help="The program that solves and links packages.")]
NameArgument = Annotated[str, typer.Argument(help="The environment: its name or its path.")]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", "-f", help="An environment.yml or a list of specs, to solve; or an @EXPLICIT file or a lockfile."
    ),
]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option("--channel", "-c", help="auto, wheels, conda-forge, a URL or a folder; repeat for several."),
]
KernelsOption = Annotated[
    list[str] | None,
    typer.Option("--kernel", "-k", metavar="NAME,…", help="Kernels: -k a,b or -k a -k b.", show_default=False),
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


def kernel_names(given: list[str] | None) -> list[str]:
    """Return the names that one or several `--kernel` options give, each with commas or without."""
    names = [name.strip() for text in given or () for name in text.split(",")]
    if any(names):
        return list(filter(None, names))
    from mambakernels.runs.kernelspecs import known_kernels

    raise typer.BadParameter(
        f"No kernel was named. {known_kernels()} To see them with their environments: mambakernels kernels",
        param_hint="--kernel",
    )


def print_json(content: Any) -> None:
    """Print JSON for programs, in ASCII, which every encoding has."""
    typer.echo(json.dumps(content, indent=2, default=str))
