"""Commands for the packages of an environment: install, update, uninstall, export, lock."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mambakernels.cli.app import (
    ChannelOption,
    DryRun,
    EngineChoice,
    EngineOption,
    FileOption,
    NameArgument,
    Quiet,
    RootOption,
    Yes,
    app,
)

if TYPE_CHECKING:
    from mambakernels.environments import Change


class FormatChoice(str, Enum):
    """The formats of `export`, as options."""

    yml = "yml"
    specs = "specs"
    explicit = "explicit"
    lock = "lock"


@app.command()
def install(
    name: NameArgument,
    specs: Annotated[list[str], typer.Argument(help="Match specs: pandas 'scipy>=1.14'")],
    *,
    channel: ChannelOption = None,
    engine: EngineOption = EngineChoice.auto,
    dry_run: DryRun = False,
    root: RootOption = None,
    yes: Yes = False,  # noqa: ARG001 (nothing is ever asked)
    quiet: Quiet = False,
) -> None:
    """Add packages to an environment, changing as little else as can be."""
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet) as progress:
        change = mambakernels.install(
            name,
            specs,
            channel=channel or (),
            engine=engine.value,
            dry_run=dry_run,
            root=root,
            progress=progress,
        )
    _show(change, dry_run=dry_run)


@app.command()
def update(
    name: NameArgument,
    packages: Annotated[list[str] | None, typer.Argument(help="Only these, and what they depend on.")] = None,
    *,
    channel: ChannelOption = None,
    engine: EngineOption = EngineChoice.auto,
    dry_run: DryRun = False,
    root: RootOption = None,
    yes: Yes = False,  # noqa: ARG001 (nothing is ever asked)
    quiet: Quiet = False,
) -> None:
    """Bring an environment's packages to the newest versions that its specs allow."""
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet) as progress:
        change = mambakernels.update(
            name,
            packages or (),
            channel=channel or (),
            engine=engine.value,
            dry_run=dry_run,
            root=root,
            progress=progress,
        )
    _show(change, dry_run=dry_run)


@app.command()
def uninstall(
    name: NameArgument,
    packages: Annotated[list[str], typer.Argument(help="Names of packages.")],
    *,
    engine: EngineOption = EngineChoice.auto,
    dry_run: DryRun = False,
    root: RootOption = None,
    yes: Yes = False,  # noqa: ARG001 (nothing is ever asked)
    quiet: Quiet = False,
) -> None:
    """Take packages out of an environment, with what only they needed."""
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet) as progress:
        change = mambakernels.uninstall(
            name, packages, engine=engine.value, dry_run=dry_run, root=root, progress=progress
        )
    _show(change, dry_run=dry_run)


@app.command()
def export(
    name: NameArgument,
    *,
    form: Annotated[
        FormatChoice, typer.Option("--format", help="yml: exact builds; specs: as asked for; explicit: URLs.")
    ] = (FormatChoice.yml),
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file to write, instead of printing.")] = None,
    root: RootOption = None,
) -> None:
    """Write an environment down: as environment.yml, as an @EXPLICIT file, as a lockfile."""
    import mambakernels
    from mambakernels.system import files

    text = mambakernels.export(name, format=form.value, root=root)
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
        list[str] | None, typer.Option("--subdir", help="Lock for this platform: osx-arm64; may be given again.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The lockfile; by default NAME.lock.")] = None,
    channel: ChannelOption = None,
    engine: EngineOption = EngineChoice.auto,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Write a lockfile (rattler's format, which pixi reads): exact packages with hashes, for one or more platforms."""
    import mambakernels
    from mambakernels.cli import bars

    path = output or Path(f"{name or (file.stem if file else 'environment')}.lock")
    with bars.progress(quiet=quiet) as progress:
        locked = mambakernels.lock(
            name,
            specs or (),
            output=path,
            file=file,
            subdirs=subdir or (),
            channel=channel or (),
            engine=engine.value,
            root=root,
            progress=progress,
        )
    counts = ", ".join(f"{len(packages)} packages for {platform}" for platform, packages in locked.packages.items())
    typer.echo(f"{path}: {counts}")


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
        typer.echo(f"{change.after.name}: {len(change.after.packages)} packages\n{change.after.prefix}")
