"""Commands for kernels: list, register, unregister."""

from __future__ import annotations

from typing import Annotated

import typer

from mambakernels import tables
from mambakernels.cli.app import (
    AsJson,
    RootOption,
    app,
    assignment,
    plain,
    print_json,
)


@app.command()
def kernels(*, as_json: AsJson = False) -> None:
    """List the kernels that mambakernels registered."""
    import mambakernels

    found = mambakernels.list_kernels()
    if as_json:
        print_json([plain(item) for item in found])
        return
    rows = [(item.name, item.display_name, item.environment, "yes" if item.working else "NO") for item in found]
    tables.print_table(("kernel", "display name", "environment", "working"), rows, empty="There are no kernels yet.")


@app.command()
def register(
    name: Annotated[str, typer.Argument(help="The environment.")],
    *,
    kernel: Annotated[str | None, typer.Option(help="The kernel's name, if not the environment's.")] = None,
    display_name: Annotated[str | None, typer.Option(help="What the launcher shows.")] = None,
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE to set in the kernel; may be given again.")] = None,
    root: RootOption = None,
) -> None:
    """Register an environment's kernels with Jupyter; again after its activation changed."""
    import mambakernels

    variables = dict(assignment(item) for item in env or ())
    for spec in mambakernels.register(name, kernel=kernel, display_name=display_name, env=variables, root=root):
        typer.echo(f"{spec.name}: {spec.display_name}\n{spec.path}")


@app.command()
def unregister(names: list[str]) -> None:
    """Remove kernels that mambakernels registered; their environments stay."""
    import mambakernels

    mambakernels.unregister(*names)
    typer.echo(f"Unregistered {', '.join(names)}.")
