"""Commands for the `wheels` channel: build, list, clean."""

from __future__ import annotations

from typing import Annotated

import typer

import mambakernels
from mambakernels.cli import bars, tables
from mambakernels.cli.app import AsJson, Quiet, RootOption, app, print_json
from mambakernels.system.quantities import amount, size

channel_app = typer.Typer(no_args_is_help=True, help="The wheels channel: conda packages built here from wheels.")
app.add_typer(channel_app, name="channel")


@channel_app.command("build")
def channel_build(
    specs: Annotated[list[str] | None, typer.Argument(help="Packages to add: pandas 'libblas=*=*mkl'.")] = None,
    *,
    update: Annotated[bool, typer.Option("--update", help="Look for newer versions.")] = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Build the wheels channel, or add packages to it."""
    clock = bars.Clock()
    with bars.progress(quiet=quiet) as progress:
        url = mambakernels.channel.build(specs or (), update=update, root=root, progress=progress)
    typer.echo(f"{amount(len(mambakernels.channel.list(root=root)), 'package')} in {clock}\n{url}")


@channel_app.command("list")
def channel_list(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """List the packages of the wheels channel."""
    found = mambakernels.channel.list(root=root)
    if as_json:
        print_json(found)
        return
    rows = [
        (item["name"], item["version"], item["build"], item.get("license") or "", size(item["size"])) for item in found
    ]
    header = ("package", "version", "build", "licence", "size")
    tables.print_table(header, rows, empty="The wheels channel is not built yet.")


@channel_app.command("clean")
def channel_clean(*, root: RootOption = None) -> None:
    """Remove the wheels channel and the package cache. Environments keep working."""
    typer.echo(f"Freed {size(mambakernels.channel.clean(root=root))}.")
