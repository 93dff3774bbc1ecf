"""Commands for whole environments: create, list, remove, clone, rename, verify, clean, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mambakernels.cli import tables
from mambakernels.cli.app import (
    AsJson,
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
    plain,
    print_json,
    size,
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name, and its kernel's; with --prefix, the first spec.")] = "",
    specs: Annotated[list[str] | None, typer.Argument(help="Match specs: python=3.11 numpy 'libblas=*=*mkl'")] = None,
    *,
    file: FileOption = None,
    locked: Annotated[Path | None, typer.Option(help="A lockfile, whose packages are linked exactly.")] = None,
    prefix: Annotated[Path | None, typer.Option("--prefix", "-p", help="Where to make it, if not by name.")] = None,
    engine: EngineOption = EngineChoice.auto,
    channel: ChannelOption = None,
    root: RootOption = None,
    kernel: Annotated[bool, typer.Option(help="Register it as a Jupyter kernel.")] = True,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 (nothing is ever asked)
    quiet: Quiet = False,
) -> None:
    """Make an environment and register it as a Jupyter kernel; one that is there already is left as it is."""
    import mambakernels
    from mambakernels.cli import bars

    words = [word for word in (name, *(specs or ())) if word]
    clock = bars.Clock()
    if dry_run:
        wanted = words if prefix is not None else words[1:]
        with bars.progress(quiet=quiet) as progress:
            found = mambakernels.solve(
                wanted,
                file=file,
                locked=locked,
                engine=engine.value,
                channel=channel or (),
                root=root,
                progress=progress,
            )
        rows = [(package.name, package.version, package.build) for package in found]
        tables.print_table(("package", "version", "build"), rows, empty="")
        return
    with bars.progress(quiet=quiet) as progress:
        made = mambakernels.create(
            words.pop(0) if words and prefix is None else "",
            words,
            file=file,
            locked=locked,
            prefix=prefix,
            engine=engine.value,
            channel=channel or (),
            root=root,
            register=kernel,
            progress=progress,
        )
    typer.echo(f"{made.name}: {len(made.packages)} packages with {made.engine}, ready in {clock}\n{made.prefix}")


@app.command("list")
def list_(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """List the environments."""
    import mambakernels

    found = mambakernels.list(root=root)
    if as_json:
        print_json([{**plain(item), "blas": item.blas} for item in found])
        return
    rows = [(item.name, item.blas or "", str(len(item.packages)), item.engine, str(item.prefix)) for item in found]
    tables.print_table(
        ("environment", "blas", "packages", "engine", "prefix"), rows, empty="There are no environments yet."
    )


@app.command()
def remove(names: list[str], *, root: RootOption = None, quiet: Quiet = False) -> None:
    """Remove environments together with their kernels."""
    import mambakernels

    for name in names:
        mambakernels.get(name, root=root)  # a name that is wrong removes nothing
    for name in names:
        mambakernels.remove(name, root=root)
        if not quiet:
            typer.echo(f"Removed {name}.")


@app.command()
def clone(
    name: NameArgument,
    target: Annotated[str, typer.Argument(help="The new environment's name.")],
    *,
    engine: EngineOption = EngineChoice.auto,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Make another environment with the same packages, files and kernels."""
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet) as progress:
        made = mambakernels.clone(name, target, engine=engine.value, root=root, progress=progress)
    typer.echo(f"{made.name}: {len(made.packages)} packages\n{made.prefix}")


@app.command()
def rename(
    name: NameArgument,
    target: Annotated[str, typer.Argument(help="The new name.")],
    *,
    engine: EngineOption = EngineChoice.auto,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Give an environment another name; its kernels go with it."""
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet) as progress:
        made = mambakernels.rename(name, target, engine=engine.value, root=root, progress=progress)
    typer.echo(f"{made.name}: {len(made.packages)} packages\n{made.prefix}")


@app.command()
def verify(
    name: NameArgument,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Link its packages anew if anything differs.")] = False,
    engine: EngineOption = EngineChoice.auto,
    root: RootOption = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare an environment's files with the hashes its packages have of them."""
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet or as_json) as progress:
        found = mambakernels.verify(name, repair=repair, engine=engine.value, root=root, progress=progress)
    if as_json:
        print_json(plain(found))
    else:
        rows = [(item.path, item.package, item.kind) for item in found.damage]
        tables.print_table(("file", "package", "is"), rows, empty=f"All {found.files} files are as they should be.")
        if rows:
            typer.echo(f"To mend them: mambakernels verify {name} --repair")
    if found.damage:
        raise typer.Exit(1)


@app.command()
def clean(*, dry_run: DryRun = False, root: RootOption = None, quiet: Quiet = False) -> None:
    """Delete the package cache and what killed processes left; environments keep working."""
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet) as progress:
        found = mambakernels.clean(dry_run=dry_run, root=root, progress=progress)
    for item in found:
        typer.echo(f"{size(item.size):>8}  {item.path}")
    total = size(sum(item.size for item in found))
    typer.echo(f"{total} would be freed." if dry_run else f"Freed {total}.")


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="An environment, or the path of one.")] = "",
    *,
    as_json: AsJson = False,
    root: RootOption = None,
) -> None:
    """Show what is known of an environment; without one, what mambakernels would use here."""
    import mambakernels

    facts = mambakernels.describe(name, root=root) if name else mambakernels.info(root=root)
    if as_json:
        print_json(facts)
        return
    packages = facts.pop("packages", [])
    for key, value in facts.items():
        typer.echo(f"{key.replace('_', ' ') + ':':18}{_shown(value)}")
    if packages:
        rows = [(item["name"], item["version"], item["build"]) for item in packages]
        tables.print_table(("package", "version", "build"), rows, empty="")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {item}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
