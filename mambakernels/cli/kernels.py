"""Commands for kernels: list, register, unregister, prune."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import mambakernels
from mambakernels.cli import bars, tables
from mambakernels.cli.app import AsJson, DryRun, NameArgument, Quiet, RootOption, app, plain, print_json
from mambakernels.system import quoting
from mambakernels.system.quantities import amount

if TYPE_CHECKING:
    from mambakernels.kernels import KernelSpec


@app.command()
def kernels(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """List the registered kernels, by environment."""
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
    header = ("environment", "kernel", "display name", "settings", "working", "Jupyter folder")
    tables.print_table(header, rows, empty="There are no kernels yet.")


@app.command()
def register(
    name: NameArgument,
    *,
    kernel: Annotated[str | None, typer.Option(help="The kernel's name; by default the environment's.")] = None,
    display_name: Annotated[
        str | None,
        typer.Option(help="The name that Jupyter shows; fields: {environment} {language} {version} {blas} {variant}."),
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Another kernel of the environment: NAME-VARIANT.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A variable of the kernel; repeat for several."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of numeric libraries; 0 lets them choose; by default, as many as the CPU quota allows.", min=0
        ),
    ] = None,
    user: Annotated[bool, typer.Option("--user", help="In your Jupyter folder; the default.")] = False,
    sys_prefix: Annotated[bool, typer.Option("--sys-prefix", help="In the Jupyter folder of this Python.")] = False,
    prefix: Annotated[
        str | None, typer.Option(help="In the Jupyter folder of an installation: PREFIX/share/jupyter.")
    ] = None,
    jupyter: Annotated[
        str | None, typer.Option(help="In this Jupyter folder, such as a project's that JUPYTER_PATH names.")
    ] = None,
    add_ipykernel: Annotated[
        bool, typer.Option("--add-ipykernel", help="Install ipykernel if the environment has no kernel.")
    ] = False,
    numeric: Annotated[
        bool, typer.Option("--numeric", help="Let lessons and measurements run on it; the environment stays as it is.")
    ] = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Register an environment's kernels with Jupyter. Do it again when its activation has changed."""
    with bars.progress(quiet=quiet) as progress:
        found = mambakernels.kernels.register(
            name,
            kernel=kernel,
            display_name=display_name,
            variant=variant,
            env=dict(_assignment(item) for item in env or ()),
            threads=threads,
            jupyter=_chosen(user=user, sys_prefix=sys_prefix, prefix=prefix, jupyter=jupyter),
            add_ipykernel=add_ipykernel,
            numeric=numeric,
            root=root,
            progress=progress,
        )
    for spec in found:
        typer.echo("\n".join(filter(None, (f"{spec.name}: {spec.display_name}", _settings(spec), str(spec.path)))))
    _warn_if_unseen(found)


@app.command()
def unregister(
    names: Annotated[list[str], typer.Argument(help="Names of kernels.")],
    *,
    jupyter: Annotated[str | None, typer.Option(help="Only in this Jupyter folder.")] = None,
    root: RootOption = None,
) -> None:
    """Remove registered kernels. Their environments stay."""
    from mambakernels.kernels import folders

    only = None if jupyter is None else folders.folder_at(jupyter)
    for spec in mambakernels.kernels.unregister(*names, jupyter=only, root=root):
        typer.echo(f"Unregistered {spec.name}: {spec.path}")


@app.command()
def prune(
    *,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove them without asking.")] = False,
    root: RootOption = None,
) -> None:
    """Remove kernels whose environment is gone. They are shown first, and you confirm."""
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


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    return name, value


def _chosen(*, user: bool, sys_prefix: bool, prefix: str | None, jupyter: str | None) -> str | Path:
    """Return the Jupyter folder that the options name; at most one of them may be given."""
    from mambakernels.kernels import folders

    given: list[str | Path] = [
        where for where, asked in ((folders.USER, user), (folders.SYS_PREFIX, sys_prefix)) if asked
    ]
    if prefix is not None:
        given.append(folders.of_prefix(prefix))
    if jupyter is not None:
        given.append(folders.folder_at(jupyter))
    if len(given) > 1:
        raise typer.BadParameter("--user, --sys-prefix, --prefix and --jupyter exclude one another")
    return given[0] if given else folders.USER


def _settings(spec: KernelSpec) -> str:
    """Return the threads and variables that the kernel sets."""
    counts = {spec.threads: "as requested", spec.limit: spec.limited_by}
    threads = [f"{amount(count, 'thread')} ({why})" for count, why in counts.items() if count]
    return ", ".join([*threads, *(f"{name}={value}" for name, value in spec.variables.items())])


def _warn_if_unseen(found: list[KernelSpec]) -> None:
    from mambakernels.kernels import folders

    for folder in dict.fromkeys(spec.jupyter for spec in found):
        if folder not in folders.searched():
            where = quoting.quote(str(folder))
            typer.echo(f"Jupyter does not search that folder by default; start it with JUPYTER_PATH={where}", err=True)
