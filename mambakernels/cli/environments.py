"""Commands for environments: create, list, remove, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mambakernels import tables
from mambakernels.cli.app import (
    AsJson,
    ChannelOption,
    EngineChoice,
    EngineOption,
    Quiet,
    RootOption,
    app,
    plain,
    print_json,
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The environment's name, and its kernel's.")] = "",
    specs: Annotated[list[str] | None, typer.Argument(help="Match specs: python=3.11 numpy 'libblas=*=*mkl'")] = None,
    *,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="An environment.yml.")] = None,
    engine: EngineOption = EngineChoice.auto,
    channel: ChannelOption = None,
    root: RootOption = None,
    kernel: Annotated[bool, typer.Option(help="Register it as a Jupyter kernel.")] = True,
    quiet: Quiet = False,
) -> None:
    """Make an environment and register it as a Jupyter kernel; one that is there already is left as it is."""
    import mambakernels
    from mambakernels import display

    clock = display.Clock()
    with display.progress(quiet=quiet) as progress:
        made = mambakernels.create(
            name,
            specs or (),
            file=file,
            engine=engine.value,
            channel=channel or (),
            root=root,
            register=kernel,
            progress=progress,
        )
    typer.echo(f"{made.name}: {len(made.packages)} packages with {made.engine} in {clock}\n{made.prefix}")


@app.command("list")
def list_(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """List the environments."""
    import mambakernels

    found = mambakernels.list_environments(root=root)
    if as_json:
        print_json([{**plain(item), "blas": item.blas} for item in found])
        return
    rows = [(item.name, item.blas or "", str(len(item.packages)), item.engine, str(item.prefix)) for item in found]
    tables.print_table(
        ("environment", "blas", "packages", "engine", "prefix"), rows, empty="There are no environments yet."
    )


@app.command()
def remove(names: list[str], *, root: RootOption = None) -> None:
    """Remove environments together with their kernels."""
    import mambakernels

    for name in names:
        mambakernels.get(name, root=root)  # a name that is wrong removes nothing
    for name in names:
        mambakernels.remove(name, root=root)
        typer.echo(f"Removed {name}.")


@app.command()
def info(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """Show what mambakernels would use here: places, engine, channels, BLAS libraries."""
    import mambakernels

    facts = mambakernels.info(root=root)
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        shown = "; ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{key.replace('_', ' ') + ':':18}{shown if shown is not None else '-'}")
