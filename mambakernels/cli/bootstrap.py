"""The command for micromamba itself: fetch and verify it, check it, remove it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    version: Annotated[str | None, typer.Option(help="Such as 2.9.0 or latest.")] = None,
    subdir: Annotated[str | None, typer.Option(help="For another machine, such as osx-arm64.")] = None,
    sha256: Annotated[str | None, typer.Option(help="What the executable, or its archive, must hash to.")] = None,
    output: Annotated[Path | None, typer.Option(help="Into this folder, to be carried elsewhere.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Verify the one that is there, offline.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the one that is there.")] = False,
    root: RootOption = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fetch micromamba, verified, once; or verify or remove the one that is there."""
    import mambakernels
    from mambakernels.cli import bars

    if check and remove:
        raise typer.BadParameter("--check and --remove exclude each other")
    if remove:
        removed = mambakernels.bootstrap.remove(subdir=subdir, root=root)
        typer.echo("Removed micromamba." if removed else "There was no micromamba of ours.")
        return
    if check:
        made = mambakernels.bootstrap.check(subdir=subdir, root=root)
    else:
        with bars.progress(quiet=quiet) as progress:
            made = mambakernels.bootstrap.install(
                source=source,
                version=version,
                subdir=subdir,
                sha256=sha256,
                output=output,
                root=root,
                progress=progress,
            )
    if as_json:
        print_json(plain(made))
        return
    typer.echo(f"micromamba {made.version} for {made.subdir}: {made.voucher}\n{made.path}")
