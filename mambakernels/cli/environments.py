"""Commands for whole environments: create, list, remove, clone, rename, verify, clean, info."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import mambakernels
from mambakernels import errors
from mambakernels.cli import bars, tables
from mambakernels.cli.app import (
    AsJson,
    ChannelOption,
    DryRun,
    EngineOption,
    FileOption,
    NameArgument,
    Quiet,
    RootOption,
    app,
    plain,
    print_json,
)
from mambakernels.paths import same_place
from mambakernels.system.quantities import amount, size

if TYPE_CHECKING:
    from mambakernels import Environment


@app.command()
def create(
    name: Annotated[
        str | None, typer.Argument(help="The name of the environment and its kernel; with --prefix, the first spec.")
    ] = None,
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Match specs, each a package with the versions and builds allowed: python=3.11 'libblas=*=*mkl'."
        ),
    ] = None,
    *,
    file: FileOption = None,
    locked: Annotated[
        Path | None, typer.Option(help="A lockfile: link exactly its packages; any other file is refused.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option(help="Which environment of a lockfile that has several, as pixi's may.")
    ] = None,
    prefix: Annotated[
        Path | None, typer.Option("--prefix", "-p", help="The environment's folder, instead of a name.")
    ] = None,
    engine: EngineOption = "auto",
    channel: ChannelOption = None,
    root: RootOption = None,
    register: Annotated[bool, typer.Option(help="Register it as a Jupyter kernel.")] = True,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Make an environment and register its kernels. An existing one with the same specs stays as it is."""
    words = [*([] if name is None else [name]), *(specs or ())]
    name = words.pop(0) if words and prefix is None else None
    _check_words(name, words, complete=bool(file or locked))
    clock = bars.Clock()
    with bars.progress(quiet=quiet) as progress:
        if dry_run:
            found = mambakernels.solve(
                words,
                file=file,
                locked=locked,
                environment=environment,
                engine=engine,
                channel=channel or (),
                root=root,
                progress=progress,
            )
        else:
            made = mambakernels.create(
                name or "",
                words,
                file=file,
                locked=locked,
                environment=environment,
                prefix=prefix,
                engine=engine,
                channel=channel or (),
                root=root,
                register=register,
                progress=progress,
            )
    if dry_run:
        tables.print_table(_PACKAGE, [(item.name, item.version, item.build) for item in found])
    else:
        packages = amount(len(made.packages), "package")
        typer.echo(f"{made.name}: {packages} with {made.engine}, ready in {clock}\n{made.prefix}")
        _show_next_step(made, root)


def _check_words(name: str | None, specs: list[str], *, complete: bool) -> None:
    """Raise if the name is empty, or if it stands where a spec should."""
    if name == "":
        raise errors.InvalidRequestError(
            "An environment's name cannot be empty.", next_step="For example: mambakernels create np numpy"
        )
    if name and not specs and not complete:
        raise errors.InvalidRequestError(
            "An environment needs at least one match spec.",
            next_step=f"{name!r} is the environment's name; specs follow it: mambakernels create np numpy",
        )


_PACKAGE = ("package", "version", "build")


@app.command("list")
def list_(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """List the environments."""
    found = mambakernels.list(root=root)
    if as_json:
        print_json([{**plain(item), "blas": item.blas} for item in found])
        return
    rows = [(item.name, item.blas or "", str(len(item.packages)), item.engine, str(item.prefix)) for item in found]
    header = ("environment", "blas", "packages", "engine", "prefix")
    tables.print_table(header, rows, empty="There are no environments yet.")


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(help="Environments: names or paths.")],
    *,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Remove environments and their kernels. If one of the names is wrong, nothing is removed."""
    for name in names:
        mambakernels.get(name, root=root)
    for name in names:
        mambakernels.remove(name, root=root)
        if not quiet:
            typer.echo(f"Removed {name}.")


@app.command()
def clone(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(help="The new environment's name.")],
    *,
    engine: EngineOption = "auto",
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Copy an environment: its packages, files and kernels."""
    with bars.progress(quiet=quiet) as progress:
        _show_made(mambakernels.clone(name, new_name, engine=engine, root=root, progress=progress))


@app.command()
def rename(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(help="The new name.")],
    *,
    engine: EngineOption = "auto",
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Give an environment another name, with its kernels."""
    with bars.progress(quiet=quiet) as progress:
        _show_made(mambakernels.rename(name, new_name, engine=engine, root=root, progress=progress))


@app.command()
def verify(
    name: NameArgument,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Link the packages of damaged files again.")] = False,
    engine: EngineOption = "auto",
    root: RootOption = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare an environment's files with their hashes. The exit status is 1 if any differ."""
    with bars.progress(quiet=quiet or as_json) as progress:
        found = mambakernels.verify(name, repair=repair, engine=engine, root=root, progress=progress)
    if as_json:
        print_json(plain(found))
    else:
        rows = [(item.path, item.package, item.kind) for item in found.damage]
        tables.print_table(("file", "package", "is"), rows, empty=f"All {found.files} files are as they should be.")
        if rows:
            typer.echo(f"To repair them: mambakernels verify {name} --repair")
    if found.damage:
        raise typer.Exit(1)


@app.command()
def clean(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the wheels channel and micromamba: leave nothing but environments.")
    ] = False,
    dry_run: DryRun = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Delete the package cache and leftovers. Environments keep working."""
    with bars.progress(quiet=quiet) as progress:
        found = mambakernels.clean(everything=everything, dry_run=dry_run, root=root, progress=progress)
    for item in found:
        typer.echo(f"{size(item.size):>8}  {item.path}")
    total = size(sum(item.size for item in found))
    typer.echo(f"{total} would be freed." if dry_run else f"Freed {total}.")


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="An environment: its name or its path.")] = "",
    *,
    as_json: AsJson = False,
    root: RootOption = None,
) -> None:
    """Describe an environment, or this installation. That is its folders, engine, channels and BLAS libraries."""
    facts = mambakernels.describe(name, root=root) if name else mambakernels.info(root=root)
    if as_json:
        print_json(facts)
        return
    packages = facts.pop("packages", [])
    for key in {"size", "own_size"} & facts.keys():
        facts[key] = size(facts[key])
    for key, value in facts.items():
        typer.echo(f"{key.replace('_', ' ') + ':':18}{_shown(value)}")
    if packages:
        tables.print_table(_PACKAGE, [[item[key] for key in ("name", "version", "build")] for item in packages])


def _show_next_step(made: Environment, root: Path | None) -> None:
    """Name the kernels of an environment that was just made, and how to use one."""
    specs = [spec for spec in mambakernels.kernels.list(root=root) if same_place(spec.prefix, made.prefix)]
    if not specs:
        typer.echo(f"To use it in notebooks: mambakernels register {made.place.argument}")
        return
    for spec in specs:
        typer.echo(f"Kernel: {spec.name} ({spec.display_name})")
    typer.echo(f"Run a notebook on it: mambakernels run NOTEBOOK.ipynb -k {specs[0].name}")
    typer.echo(f"Or choose {specs[0].display_name} in JupyterLab: jupyter lab")


def _show_made(made: Environment) -> None:
    typer.echo(f"{made.name}: {amount(len(made.packages), 'package')}\n{made.prefix}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {item}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
