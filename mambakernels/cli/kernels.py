"""Commands for kernels: list, register, unregister, prune."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mambakernels.cli import tables
from mambakernels.cli.app import (
    AsJson,
    DryRun,
    NameArgument,
    Quiet,
    RootOption,
    app,
    assignment,
    plain,
    print_json,
)

if TYPE_CHECKING:
    from mambakernels.kernels import KernelSpec


@app.command()
def kernels(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """List the kernels that mambakernels registered, those of an environment together."""
    import mambakernels

    found = mambakernels.kernels.list(root=root)
    if as_json:
        print_json([plain(item) for item in found])
        return
    rows = [
        (
            item.environment,
            item.name,
            item.display_name,
            _settings(item),
            "yes" if item.working else "NO",
            str(item.jupyter),
        )
        for item in found
    ]
    tables.print_table(
        ("environment", "kernel", "display name", "settings", "working", "Jupyter folder"),
        rows,
        empty="There are no kernels yet.",
    )


@app.command()
def register(
    name: NameArgument,
    *,
    kernel: Annotated[str | None, typer.Option(help="The kernel's name, if not the environment's.")] = None,
    display_name: Annotated[
        str | None, typer.Option(help="What the launcher shows, also with {environment} {language} {version} {blas}.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Another kernel of it, called NAME-VARIANT.")] = None,
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE to set in the kernel; may be given again.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="How many threads NumPy and the like may use; 0 leaves it to them.", min=0)
    ] = None,
    user: Annotated[bool, typer.Option("--user", help="For you: your Jupyter folder (default).")] = False,
    sys_prefix: Annotated[bool, typer.Option("--sys-prefix", help="For this Python's Jupyter.")] = False,
    prefix: Annotated[
        str | None, typer.Option(help="For the Jupyter of an installation: PREFIX/share/jupyter.")
    ] = None,
    jupyter: Annotated[str | None, typer.Option(help="To a folder that JUPYTER_PATH names, of a project.")] = None,
    add_ipykernel: Annotated[bool, typer.Option("--add-ipykernel", help="Install it if there is no kernel.")] = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Register an environment's kernels with Jupyter; again after its activation changed."""
    import mambakernels
    from mambakernels.cli import bars

    variables = dict(assignment(item) for item in env or ())
    with bars.progress(quiet=quiet) as progress:
        found = mambakernels.kernels.register(
            name,
            kernel=kernel,
            display_name=display_name,
            variant=variant,
            env=variables,
            threads=threads,
            jupyter=_chosen(user=user, sys_prefix=sys_prefix, prefix=prefix, jupyter=jupyter),
            add_ipykernel=add_ipykernel,
            root=root,
            progress=progress,
        )
    for spec in found:
        typer.echo("\n".join(filter(None, (f"{spec.name}: {spec.display_name}", _settings(spec), str(spec.path)))))
    _tell_if_unseen(found)


@app.command()
def unregister(
    names: list[str],
    *,
    jupyter: Annotated[str | None, typer.Option(help="Only in this Jupyter folder.")] = None,
    root: RootOption = None,
) -> None:
    """Remove kernels that mambakernels registered; their environments stay."""
    import mambakernels
    from mambakernels.kernels import folders

    only = None if jupyter is None else folders.named(jupyter)
    for spec in mambakernels.kernels.unregister(*names, jupyter=only, root=root):
        typer.echo(f"Unregistered {spec.name}: {spec.path}")


@app.command()
def prune(
    *,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove them without asking.")] = False,
    root: RootOption = None,
) -> None:
    """Show the kernels of mambakernels whose environment is gone, and remove them if that is confirmed."""
    import mambakernels

    found = mambakernels.kernels.prune(dry_run=True, root=root)
    rows = [(item.name, item.display_name, f"{item.prefix} is gone", str(item.path)) for item in found]
    tables.print_table(("kernel", "display name", "why", "kernelspec"), rows, empty="Nothing to remove.")
    if not found or dry_run:
        return
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove these?")):
        typer.echo("Nothing was removed. To remove them: mambakernels prune --yes")
        raise typer.Exit(1)
    for spec in mambakernels.kernels.prune(only=found, root=root):
        typer.echo(f"Removed {spec.name}.")


def _chosen(*, user: bool, sys_prefix: bool, prefix: str | None, jupyter: str | None) -> str | Path:
    """Return the Jupyter folder that one of the options names."""
    from mambakernels.kernels import folders

    given: list[str | Path] = [
        where for where, asked in ((folders.USER, user), (folders.SYS_PREFIX, sys_prefix)) if asked
    ]
    if prefix is not None:
        given.append(folders.of_prefix(prefix))
    if jupyter is not None:
        given.append(folders.named(jupyter))
    if len(given) > 1:
        raise typer.BadParameter("--user, --sys-prefix, --prefix and --jupyter exclude one another")
    return given[0] if given else folders.USER


def _settings(spec: KernelSpec) -> str:
    """Return what tells a kernel from a plain one: its threads and variables."""
    counts = {spec.threads: "as asked", spec.limit: spec.limited_by}
    threads = [f"{count} thread{'s' * (count != 1)} ({why})" for count, why in counts.items() if count]
    return ", ".join([*threads, *(f"{name}={value}" for name, value in spec.variables.items())])


def _tell_if_unseen(found: list[KernelSpec]) -> None:
    from mambakernels.kernels import folders

    for folder in dict.fromkeys(spec.jupyter for spec in found):
        if folder not in folders.searched():
            typer.echo(f"Jupyter does not look there by itself: JUPYTER_PATH={folder} before it starts.", err=True)
