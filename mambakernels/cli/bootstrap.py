"""The command for micromamba itself: download and verify it, check it, remove it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mambakernels
from mambakernels.cli import bars
from mambakernels.cli.app import AsJson, Quiet, RootOption, app, plain, print_json


@app.command()
def bootstrap(
    *,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|FOLDER|URL",
            help="An executable, .tar.bz2 or .conda, or a folder or mirror of these (or MAMBAKERNELS_MICROMAMBA_URL).",
        ),
    ] = None,
    version: Annotated[str | None, typer.Option(help="A version, such as 2.9.0, or latest.")] = None,
    subdir: Annotated[str | None, typer.Option(help="The platform of another machine, such as osx-arm64.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The hash that the executable or its archive must have.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write it to this folder instead, for use on another machine.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Verify the installed one, offline.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the installed one.")] = False,
    root: RootOption = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Download and verify micromamba. Does nothing if it is installed; --check verifies it, --remove removes it."""
    if check and remove:
        raise typer.BadParameter("--check and --remove exclude each other")
    if remove:
        removed = mambakernels.bootstrap.remove(root, subdir=subdir)
        typer.echo("Removed micromamba." if removed else "mambakernels has not installed a micromamba here.")
        return
    if check:
        made = mambakernels.bootstrap.check(root, subdir=subdir)
    else:
        with bars.progress(quiet=quiet) as progress:
            made = mambakernels.bootstrap.install(
                root, source=source, version=version, subdir=subdir, sha256=sha256, output=output, progress=progress
            )
    if as_json:
        print_json(plain(made))
    else:
        typer.echo(f"micromamba {made.version} for {made.subdir}: {made.voucher}\n{made.path}")
