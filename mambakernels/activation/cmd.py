"""What calling a list of batch files in a clean cmd.exe changes in the environment. Not run yet: there was no Windows.

What needs none, the text of the driver and the reading of its answer, is tested.
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
    """Call the scripts one after the other in one cmd.exe started in `environ`, and compare before and after.

    A script that ends the shell, or takes longer than `timeout` seconds, raises `ActivationError`; as in an
    interactive shell, one whose last command fails does no harm.
    """
    if not scripts:
        return Changes()
    with tempfile.TemporaryDirectory(prefix="mambakernels-batch-") as name:
        folder = Path(name)
        file = folder / "driver.bat"
        file.write_bytes(driver(scripts, folder).encode("utf-8"))
        # /d: no commands from the registry; /u: what `set` writes is UTF-16
        try:
            process.capture(["cmd.exe", "/d", "/u", "/c", file], env=environ, timeout=timeout)
        except process.TimeoutExpired:
            raise _failure(scripts, folder, f"did not finish within {timeout:g} seconds") from None
        if not (folder / "after").exists():
            raise _failure(scripts, folder, "ended the shell")
        return compare(read_variables(folder / "before"), read_variables(folder / "after"))


def driver(scripts: Sequence[Path], folder: Path) -> str:
    """Return the batch file that calls the scripts, and leaves what it finds in files of the folder."""
    said, done = _quoted(folder / "said"), _quoted(folder / "done")
    lines = ["@chcp 65001 >nul", f"@set >{_quoted(folder / 'before')}"]
    for script in scripts:
        lines += [f"@call {_quoted(script)} >{said} 2>&1", f"@echo done >>{done}"]
    lines.append(f"@set >{_quoted(folder / 'after')}")
    return "\r\n".join([*lines, ""])


def read_variables(file: Path) -> dict[str, str]:
    """Read what `set` wrote: UTF-16, a variable a line; names that begin with `=` are cmd.exe's own."""
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
    advice = "Mend the script, or update or remove the package it belongs to."
    return ActivationError(
        f"The script {script.name} {how}.",
        where=str(script),
        next_step="\n".join([f"{advice} It said last:", *said[-_LINES_QUOTED:]]) if said else advice,
    )
