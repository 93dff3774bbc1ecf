"""Commands in an activated environment: exec, shell; and shell-init, which makes `micromamba activate` work."""

from __future__ import annotations

from typing import Annotated

import typer

import mambakernels
from mambakernels.cli.app import DryRun, NameArgument, RootOption, app


@app.command("exec", context_settings={"allow_interspersed_args": False})
def exec_(
    name: NameArgument,
    command: Annotated[list[str], typer.Argument(help="The command with its own options: -- python -c 'x'.")],
    *,
    root: RootOption = None,
) -> None:
    """Run one command in an activated environment. Input, output, signals and exit status are the command's."""
    argv = command[1:] if command[0] == "--" else command
    raise typer.Exit(mambakernels.exec(name, argv, root=root))


@app.command()
def shell(
    name: NameArgument,
    *,
    shell: Annotated[
        str | None, typer.Option("--shell", "-s", help="The shell, such as bash or zsh; by default the one in use.")
    ] = None,
    root: RootOption = None,
) -> None:
    """Open a shell in an activated environment. `exit` leaves it."""
    raise typer.Exit(mambakernels.shell(name, shell, root=root))


@app.command()
def shell_init(
    shell: Annotated[
        str | None,
        typer.Argument(
            help="bash, zsh, fish, xonsh, tcsh, nu, powershell or cmd.exe; by default the one in use.",
        ),
    ] = None,
    *,
    reverse: Annotated[bool, typer.Option("--reverse", help="Undo the initialisation.")] = False,
    dry_run: DryRun = False,
    root: RootOption = None,
) -> None:
    """Make `micromamba activate` work in new shells. micromamba itself initialises them."""
    change = mambakernels.shell_init(shell, reverse=reverse, dry_run=dry_run, root=root)
    for text in filter(None, (change.diff, change.said)):
        typer.echo(text)
    would = "would be " if dry_run else ""
    for file in change.generated:
        typer.echo(f"{would}{'removed' if reverse else 'written'}: {file}")
    if change.start_file is not None:
        done = f"{would}changed" if change.diff else "stays as it is"
        typer.echo(f"{change.start_file} {done}." + (" Open a new shell." if change.diff and not dry_run else ""))
