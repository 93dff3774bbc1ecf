"""Activation scripts called in a clean cmd.exe, and the variables that they change. Not run on Windows yet.

The tests cover the text of the driver and the reading of its answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mambakernels.activation.bash import Changes, compare
from mambakernels.errors import ActivationError
from mambakernels.system import process

_LINES_QUOTED = 20
# Variables that cmd.exe keeps for itself.
_SHELL_ONLY = frozenset({"PROMPT", "ERRORLEVEL"})


def source(scripts: Sequence[Path], environ: Mapping[str, str], *, timeout: float) -> Changes:
    """Call the scripts in turn in one cmd.exe started in `environ`, and return the changes.

    A script that ends the shell, or takes longer than `timeout` seconds, raises `ActivationError`. As in an
    interactive shell, a script may end with a failed command.
    """
    if not scripts:
        return Changes()
    with tempfile.TemporaryDirectory(prefix="mambakernels-batch-") as name:
        folder = Path(name)
        file = folder / "driver.bat"
        file.write_bytes(driver(scripts, folder).encode("utf-8"))
        # /d: no commands from the registry; /u: what `set` writes is UTF-16
        try:
            process.read_output(["cmd.exe", "/d", "/u", "/c", file], env=environ, timeout=timeout)
        except process.TimeoutExpired:
            raise _failure(scripts, folder, f"did not finish within {timeout:g} seconds") from None
        if not (folder / "after").exists():
            raise _failure(scripts, folder, "ended the shell")
        return compare(read_variables(folder / "before"), read_variables(folder / "after"))


def driver(scripts: Sequence[Path], folder: Path) -> str:
    """Return the batch file that calls the scripts and writes the variables to files in the folder."""
    said, done = _quoted(folder / "said"), _quoted(folder / "done")
    lines = ["@chcp 65001 >nul", f"@set >{_quoted(folder / 'before')}"]
    for script in scripts:
        lines += [f"@call {_quoted(script)} >{said} 2>&1", f"@echo done >>{done}"]
    lines.append(f"@set >{_quoted(folder / 'after')}")
    return "\r\n".join([*lines, ""])


def read_variables(file: Path) -> dict[str, str]:
    """Read the output of `set`: UTF-16, a variable a line, without cmd.exe's own, which begin with `=`."""
    pairs = (line.partition("=") for line in file.read_text("utf-16-le").splitlines() if not line.startswith("="))
    return {name: value for name, equals, value in pairs if equals and name not in _SHELL_ONLY}


def _quoted(path: Path) -> str:
    return '"{}"'.format(str(path).replace("%", "%%"))


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
