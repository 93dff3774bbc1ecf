"""Commands for the packages of an environment: install, update, uninstall, export, lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import mambakernels
from mambakernels.cli import bars
from mambakernels.cli.app import ChannelOption, DryRun, EngineOption, FileOption, NameArgument, Quiet, RootOption, app
from mambakernels.paths import storage_errors
from mambakernels.system.quantities import amount

if TYPE_CHECKING:
    from mambakernels.environments import Change


@app.command()
def install(
    name: NameArgument,
    specs: Annotated[list[str], typer.Argument(help="Match specs: pandas 'scipy>=1.14'.")],
    *,
    channel: ChannelOption = None,
    engine: EngineOption = "auto",
    dry_run: DryRun = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Add packages to an environment. As little else as possible changes."""
    with bars.progress(quiet=quiet) as progress:
        change = mambakernels.install(
            name, specs, channel=channel or (), engine=engine, dry_run=dry_run, root=root, progress=progress
        )
    _show(change, dry_run=dry_run)


@app.command()
def update(
    name: NameArgument,
    packages: Annotated[list[str] | None, typer.Argument(help="Only these packages and their dependencies.")] = None,
    *,
    channel: ChannelOption = None,
    engine: EngineOption = "auto",
    dry_run: DryRun = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Update packages as far as the environment's specs allow."""
    with bars.progress(quiet=quiet) as progress:
        change = mambakernels.update(
            name, packages or (), channel=channel or (), engine=engine, dry_run=dry_run, root=root, progress=progress
        )
    _show(change, dry_run=dry_run)


@app.command()
def uninstall(
    name: NameArgument,
    packages: Annotated[list[str], typer.Argument(help="Names of packages.")],
    *,
    engine: EngineOption = "auto",
    dry_run: DryRun = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Remove packages from an environment. Dependencies that only they needed go with them."""
    with bars.progress(quiet=quiet) as progress:
        change = mambakernels.uninstall(name, packages, engine=engine, dry_run=dry_run, root=root, progress=progress)
    _show(change, dry_run=dry_run)


@app.command()
@storage_errors
def export(
    name: NameArgument,
    *,
    format: Annotated[  # noqa: A002 (as in `mambakernels.export`)
        Literal["yml", "specs", "explicit", "lock"],
        typer.Option(help="yml: exact builds; specs: as requested; explicit: URLs; lock: a lockfile."),
    ] = "yml",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file to write; by default, print.")] = None,
    root: RootOption = None,
) -> None:
    """Export an environment as a file. Formats: environment.yml, @EXPLICIT file, lockfile."""
    from mambakernels.system import files

    text = mambakernels.export(name, format=format, root=root)
    if output is None:
        typer.echo(text, nl=False)
    else:
        files.write_atomically(output, text)
        typer.echo(str(output))


@app.command()
def lock(
    name: Annotated[str, typer.Argument(help="The environment, unless --file or specs are given.")] = "",
    specs: Annotated[list[str] | None, typer.Argument(help="Match specs to solve for.")] = None,
    *,
    file: FileOption = None,
    subdir: Annotated[
        list[str] | None, typer.Option("--subdir", help="A platform, such as osx-arm64; repeat for several.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The lockfile; by default NAME.lock.")] = None,
    channel: ChannelOption = None,
    engine: EngineOption = "auto",
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Write a lockfile for one or more platforms. It has exact packages with hashes, in rattler's format (pixi's)."""
    path = output or Path(f"{name or (file.stem if file else 'environment')}.lock")
    with bars.progress(quiet=quiet) as progress:
        locked = mambakernels.lock(
            name,
            specs or (),
            output=path,
            file=file,
            subdirs=subdir or (),
            channel=channel or (),
            engine=engine,
            root=root,
            progress=progress,
        )
    counts = (f"{amount(len(found), 'package')} for {platform}" for platform, found in locked.packages.items())
    typer.echo(f"{path}: {', '.join(counts)}")


def _show(change: Change, *, dry_run: bool) -> None:
    for package in change.removed:
        typer.echo(f"- {package}")
    for before, after in change.replaced:
        typer.echo(f"~ {before} → {after.version}={after.build}")
    for package in change.added:
        typer.echo(f"+ {package}")
    if not change:
        typer.echo("Nothing to change.")
    elif dry_run:
        typer.echo("Nothing was changed.")
    else:
        typer.echo(f"{change.after.name}: {amount(len(change.after.packages), 'package')}\n{change.after.prefix}")
