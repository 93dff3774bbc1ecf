"""Activation scripts called in a clean cmd.exe, and the variables that they change.

Both engines set variables and PATH first, then `CALL` the scripts of `activate.d` in the order of their names, from a
batch file: micromamba in `CmdExeActivator::script` (libmamba's `activation.cpp`, read in July 2026), conda in
`_conda_activate.bat` (read in August 2026). They differ after a script that fails: conda skips the scripts that follow,
micromamba goes on, and so does this module. `capture` has the order of PATH. Names of variables are upper case, as
Windows compares them without case.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mambakernels.activation.bash import Changes, compare
from mambakernels.errors import ActivationError
from mambakernels.system import process

_LINES_QUOTED = 20
_ATTEMPTS = 2
_END = "mambakernels-end"  # the last line of a list of variables; theirs have a `=`
# Variables that cmd.exe keeps for itself.
_SHELL_ONLY = frozenset({"PROMPT", "ERRORLEVEL"})


def source(scripts: Sequence[Path], environ: Mapping[str, str], *, timeout: float) -> Changes:
    """Call the scripts in turn in one cmd.exe started in `environ`, and return the changes.

    A script that ends the shell, or takes longer than `timeout` seconds, raises `ActivationError`. As in an
    interactive shell, a script may end with a failed command.
    """
    if not scripts:
        return Changes()
    for _attempt in range(_ATTEMPTS):
        changes = _changes(scripts, environ, timeout=timeout)
        if changes is not None:
            return changes
    raise ActivationError(
        f"cmd.exe did not list all variables, {_ATTEMPTS} times.",
        where=_cmd(),
        next_step="Try again. If it happens each time, run `set` in a new cmd.exe, which must list all variables.",
    )


def _changes(scripts: Sequence[Path], environ: Mapping[str, str], *, timeout: float) -> Changes | None:
    """Return what the scripts change; None if a list of variables has no end.

    A list is cut short where the cmd.exe that writes it does not start or ends early. It would otherwise look like the
    work of scripts: variables that they removed, or that they set to the values of the session.
    """
    with tempfile.TemporaryDirectory(prefix="mambakernels-batch-") as name:
        folder = Path(name)
        file = folder / "driver.bat"
        file.write_bytes(driver(scripts, folder).encode("utf-8"))
        try:
            ended = process.read_output([file], env=environ, timeout=timeout)
        except process.TimeoutExpired:
            raise _failure(scripts, folder, f"did not finish within {timeout:g} seconds") from None
        if (folder / "missing").exists():
            raise _failure(scripts, folder, "cannot be found by cmd.exe: its path has signs that mean something there")
        if not (folder / "after").exists():
            raise _failure(scripts, folder, f"ended the shell (status {ended.returncode})")
        before, after = read_variables(folder / "before"), read_variables(folder / "after")
    return None if before is None or after is None else compare(before, after)


def driver(scripts: Sequence[Path], folder: Path) -> str:
    """Return the batch file that calls the scripts and writes the variables to files in the folder."""
    said, done, missing = (_quoted(folder / name) for name in ("said", "done", "missing"))
    list_variables = f'@"{_cmd()}" /d /u /c "set&echo {_END}"'  # /u: in UTF-16, which scripts must not write
    lines = ["@chcp 65001 >nul", f"{list_variables} >{_quoted(folder / 'before')}"]
    for script in scripts:
        lines += [
            # `call` reads a path twice, and goes on if there is no such file
            f'@call set "MAMBAKERNELS_SCRIPT={_in_batch(script)}"',
            f'@if not exist "%MAMBAKERNELS_SCRIPT%" (echo.>{missing} & exit /b)',
            "@set MAMBAKERNELS_SCRIPT=",
            f"@call {_quoted(script)} >{said} 2>&1",
            f"@echo done >>{done}",
        ]
    lines.append(f"{list_variables} >{_quoted(folder / 'after')}")
    return "\r\n".join([*lines, ""])


def read_variables(file: Path) -> dict[str, str] | None:
    """Read a list of variables in UTF-16, without cmd.exe's own, which begin with `=`; None if it is cut short."""
    lines = file.read_bytes().decode("utf-16-le", errors="replace").split("\r\n")
    if [line.rstrip() for line in lines[-2:]] != [_END, ""]:  # `echo` writes the space before `>`, too
        return None
    pairs = (line.partition("=") for line in lines if not line.startswith("="))
    return {name.upper(): value for name, equals, value in pairs if equals and name.upper() not in _SHELL_ONLY}


def _cmd() -> str:
    return os.environ.get("COMSPEC", "cmd.exe")  # not found on a PATH that a script has changed


def _quoted(path: Path) -> str:
    return f'"{_in_batch(path)}"'


def _in_batch(path: Path) -> str:
    return str(path).replace("%", "%%")


def _failure(scripts: Sequence[Path], folder: Path, how: str) -> ActivationError:
    done = folder / "done"
    finished = len(done.read_text("utf-8", errors="replace").split()) if done.exists() else 0
    script = scripts[min(finished, len(scripts) - 1)]
    said_file = folder / "said"
    said = said_file.read_text("utf-8", errors="replace").splitlines() if said_file.exists() else []
    advice = "Correct the script, or update or remove its package."
    return ActivationError(
        f"The script {script.name} {how}.",
        where=str(script),
        next_step="\n".join([f"{advice} Its last lines were:", *said[-_LINES_QUOTED:]]) if said else advice,
    )
