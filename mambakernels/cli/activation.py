"""Commands in an activated environment: exec, shell; and shell-init, which makes `micromamba activate` work."""

from __future__ import annotations

from typing import Annotated

import typer

from mambakernels.cli.app import RootOption, app

_Environment = Annotated[str, typer.Argument(help="The environment: its name, or a path to any conda environment.")]
_REST = {"allow_interspersed_args": False}


@app.command("exec", context_settings=_REST)
def exec_(
    name: _Environment,
    command: Annotated[list[str], typer.Argument(help="The command and its own options: -- python -c 'x'")],
    *,
    root: RootOption = None,
) -> None:
    """Run one command in the activated environment; input, output, signals and exit status are the command's."""
    import mambakernels

    words = command[1:] if command[0] == "--" else command
    raise typer.Exit(mambakernels.exec(name, words, root=root))


@app.command()
def shell(
    name: _Environment,
    *,
    shell: Annotated[str | None, typer.Option("--shell", "-s", help="If not the one in use: bash, zsh, …")] = None,
    root: RootOption = None,
) -> None:
    """Open an interactive shell in the activated environment; `exit` leaves it."""
    import mambakernels

    raise typer.Exit(mambakernels.shell(name, shell, root=root))


@app.command("shell-init")
def shell_init(
    shell: Annotated[str | None, typer.Argument(help="bash, zsh, fish, xonsh, tcsh, nu, powershell, cmd.exe.")] = None,
    *,
    reverse: Annotated[bool, typer.Option("--reverse", help="Undo it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    root: RootOption = None,
) -> None:
    """Let micromamba initialise a shell, so that `micromamba activate` works in new ones."""
    import mambakernels

    change = mambakernels.shell_init(shell, root=root, reverse=reverse, dry_run=dry_run)
    for text in (change.diff, change.said):
        if text:
            typer.echo(text)
    would = "would be " if dry_run else ""
    for file in change.generated:
        typer.echo(f"{would}{'removed' if reverse else 'written'}: {file}")
    if change.start_file is not None:
        done = f"{would}changed" if change.diff else "stays as it is"
        typer.echo(f"{change.start_file} {done}." + ("" if dry_run or not change.diff else " Open a new shell."))
