"""Programs in an activated environment: in place of this process, with streamed output, or an interactive shell."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mambakernels import environments
from mambakernels.activation import capture, shells
from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.system import process
from mambakernels.system.process import Completed


def locate(name: str, root: Root) -> Path:
    """Return the prefix of the environment of that name, or of any conda environment by its path; NotFoundError."""
    prefix = Path(os.path.normpath(Path(name).expanduser().absolute()))
    if os.path.dirname(name) and (prefix / "conda-meta").is_dir():  # noqa: PTH120 (Path("./x") has lost its folder)
        return prefix  # by any name, and without reading hundreds of package records
    return environments.get(name, root).prefix


@storage_errors
def exec_(name: str, argv: Sequence[str], *, root: PathLike | None = None) -> int:
    """Run a program in the activated environment in place of this one; on POSIX, this does not return.

    On Windows, returns the program's exit status. Raises NotFoundError, ActivationError, InvalidRequestError.
    """
    _check(argv)
    place = Root.find(root)
    prefix = locate(name, place)
    variables = capture.activated(prefix, root=place.path)
    return _take_over(_program(argv, variables, prefix), argv, variables)


exec = exec_  # noqa: A001 (the public name: mambakernels.exec)


@storage_errors
def call(
    name: str,
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: PathLike | None = None,
    root: PathLike | None = None,
) -> Completed:
    """Run a program in the activated environment to its end, and return its exit status and last lines.

    `name` may be a path to any conda environment. Each line of output goes to `on_line` as it comes. `env` are
    variables set on top; standard input is empty. An exception, Ctrl-C included, stops the program.
    """
    _check(argv)
    place = Root.find(root)
    prefix = locate(name, place)
    # Without this, a Python that writes to a pipe buffers its lines.
    variables = {"PYTHONUNBUFFERED": "1", **capture.activated(prefix, root=place.path), **(env or {})}
    program = _program(argv, variables, prefix)
    try:
        return process.stream([program, *argv[1:]], env=variables, cwd=Path(cwd) if cwd else None, on_line=on_line)
    except OSError as error:
        raise _unstartable(program, error) from error


@storage_errors
def shell(name: str, shell: str | None = None, *, root: PathLike | None = None) -> int:
    """Become an interactive shell in an activated environment: the shell in use, or `shell`.

    The user's start files run first, then the activation. On POSIX, this does not return; on Windows, it returns the
    shell's exit status.
    """
    place = Root.find(root)
    prefix = locate(name, place)
    chosen = shells.get(shell or shells.in_use())
    program = chosen.find()
    applied = capture.capture(prefix, root=place.path)
    folder = Path(tempfile.mkdtemp(prefix="mambakernels-shell-"))
    try:
        start = chosen.start(applied, folder)
        if not any(folder.iterdir()):
            folder.rmdir()  # nothing else would remove it
        variables = {**capture.activated(prefix, root=place.path), **start.variables}
        return _take_over(program, [program.name, *start.arguments], variables)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # a shell that has become this process removes it itself


def _program(argv: Sequence[str], variables: Mapping[str, str], prefix: Path) -> Path:
    """Find the program on the activated PATH; one that a package of the environment brought must be in the prefix."""
    path = variables.get("PATH", os.defpath)
    found = process.which(argv[0], path=path)
    if found is not None and (found.is_relative_to(prefix) or not _is_lost(argv[0], prefix)):
        return found
    if found is not None:
        raise NotFoundError(
            f"The environment's own {argv[0]} is gone; this is another one: {found}.",
            where=str(prefix),
            next_step=f"Repair the environment: mambakernels verify {prefix.name} --repair",
        )
    if os.path.dirname(argv[0]):  # noqa: PTH120 (as above)
        raise NotFoundError("There is no such program, or it is not executable.", where=argv[0])
    raise NotFoundError(
        f"The command {argv[0]!r} was not found in the environment or elsewhere on its PATH.",
        where=str(prefix),
        next_step="These folders were searched:\n"
        + "\n".join(f"  {folder or '.'}" for folder in path.split(os.pathsep)),
    )


def _is_lost(name: str, prefix: Path) -> bool:
    """Whether the environment has a package of the program's name, so that the program should be there."""
    return any((prefix / "conda-meta").glob(f"{name.rstrip('0123456789.')}-[0-9]*.json"))


def _check(argv: Sequence[str]) -> None:
    if not argv or not argv[0]:
        raise InvalidRequestError("There is no command to run.", next_step="For example: python -c 'import numpy'")
    if argv[0].startswith("-"):
        raise InvalidRequestError(
            f"{argv[0]!r} is not a command.",
            next_step="Options of mambakernels come before the environment's name, the command after it.",
        )


def _take_over(program: Path, argv: Sequence[str], variables: Mapping[str, str]) -> int:
    try:
        return process.take_over(program, argv, env=variables)
    except OSError as error:
        raise _unstartable(program, error) from error


def _unstartable(program: Path, error: OSError) -> InvalidRequestError:
    """Return the error for a program that does not start: the system's message about a bad first line misleads."""
    advice = (
        "Its first line names an interpreter that does not exist." if isinstance(error, FileNotFoundError) else None
    )
    return InvalidRequestError(
        f"The program cannot be started: {error.strerror}.",
        where=str(program),
        next_step=advice or "The first line of a script must name its interpreter, such as #!/bin/sh.",
    )
