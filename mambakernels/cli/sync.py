"""The command for a project's kernels.toml: sync."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mambakernels
from mambakernels.cli import bars
from mambakernels.cli.app import DryRun, Quiet, RootOption, app


@app.command()
def sync(
    file: Annotated[Path, typer.Argument(help="The project's file, or its folder.")] = Path("kernels.toml"),
    *,
    dry_run: DryRun = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what the file used to declare.")] = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Make what a project's kernels.toml declares. The steps are listed first."""
    planned = mambakernels.sync(file, dry_run=True, prune=prune, root=root)
    for step in planned.steps:
        typer.echo(str(step))
    if planned.prunable:
        names = ", ".join(step.name for step in planned.prunable)
        typer.echo(f"No longer declared; --prune removes them: {names}")
    if not planned.steps:
        typer.echo("Nothing to do.")
    elif dry_run:
        typer.echo("Nothing was changed.")
    else:
        clock = bars.Clock()
        with bars.progress(quiet=quiet) as progress:
            mambakernels.sync(file, prune=prune, root=root, progress=progress)
        typer.echo(f"Done in {clock}.")
