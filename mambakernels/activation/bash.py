"""Activation scripts sourced in a clean bash, and the variables that they change."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from mambakernels.errors import ActivationError
from mambakernels.system import process

_LINES_QUOTED = 20
# Lists the variables that the shell's programs get. The shell does so itself: macOS takes DYLD_* from `env` and other
# programs of the system, and before 12.3 its `env` cannot end entries with a zero. Exported arrays reach no program.
# Without a fork, which would take as long as all the rest.
_LIST = r"""
__mambakernels_list() {
    builtin trap - DEBUG
    builtin local __mambakernels_name __mambakernels_arrays
    builtin compgen -e >|NAMES || :
    builtin compgen -A arrayvar >|ARRAYS || :
    IFS= builtin read -r -d '' __mambakernels_arrays <ARRAYS || :
    while IFS= builtin read -r __mambakernels_name; do
        case $'\n'$__mambakernels_arrays in
            *$'\n'"$__mambakernels_name"$'\n'*) ;;
            *) builtin printf '%s=%s\0' "$__mambakernels_name" "${!__mambakernels_name-}" ;;
        esac
    done <NAMES
}
"""
# Variables that every bash keeps for itself; exported functions are BASH_FUNC_name%%.
_SHELL_ONLY = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "SHELLOPTS", "BASHOPTS"})
_FUNCTION = "BASH_FUNC_"
# Variables that make bash run other files, or change its behaviour, before the first script.
_STEERING = frozenset({"BASH_ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT", "BASH_XTRACEFD"})


@dataclass(frozen=True)
class Changes:
    """Variables that differ after the scripts: given a new value, or gone."""

    set: Mapping[str, str] = field(default_factory=dict)
    unset: frozenset[str] = frozenset()

    def applied_to(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment as the scripts leave it."""
        return {name: value for name, value in {**environ, **self.set}.items() if name not in self.unset}


@dataclass(frozen=True)
class _Notes:
    """The files that the shell writes to; not pipes, which a process that a script leaves running would keep open."""

    said: Path
    statuses: Path
    names: Path
    arrays: Path
    before: Path
    after: Path

    @classmethod
    def made_in(cls, folder: Path) -> _Notes:
        """Create the files, empty, before a script can change the umask."""
        notes = cls(*(folder / item.name for item in fields(cls)))
        for file in vars(notes).values():
            file.touch()
        return notes

    def finished(self) -> list[str]:
        """Return the exit status of each script that did not end the shell."""
        return self.statuses.read_text().split()

    def quote(self) -> str:
        """Return the last lines that the last script printed, to stdout and stderr."""
        lines = self.said.read_text("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LINES_QUOTED:])


def source(scripts: Sequence[Path], environ: Mapping[str, str], *, timeout: float) -> Changes:
    """Source the scripts in turn in one clean bash started in `environ`, and return the changes.

    As in an interactive shell, a script may end with a failed command. A script that ends the shell (`exit`,
    `set -e`, `exec`, a signal), that bash cannot parse, or that takes longer than `timeout` seconds raises
    `ActivationError` with its name and output; so does a missing bash.
    """
    if not scripts:
        return Changes()
    bash = process.which("bash")
    if bash is None:
        raise ActivationError(
            "The environment has activation scripts, which need `bash`, and that is not on PATH.",
            where=str(scripts[0]),
            next_step="Install bash, or add its folder to PATH.",
        )
    with tempfile.TemporaryDirectory(prefix="mambakernels-shell-") as folder:
        notes = _Notes.made_in(Path(folder))
        text = _driver(scripts, notes)
        _run([bash, "--noprofile", "--norc", "-c", text], environ, scripts, notes, timeout=timeout)
        _check_syntax(bash, scripts, notes)
        return compare(_variables(notes.before), _variables(notes.after))


def _driver(scripts: Sequence[Path], notes: _Notes) -> str:
    """Return the shell's program, of literals only, since scripts share its variables, options and descriptors.

    The scripts are sourced in a function, where `declare` is local, because the engines' `activate` is one.
    """
    said, statuses, names, arrays, before, after = (shlex.quote(str(file)) for file in vars(notes).values())
    lines = [f"exec >>{said} 2>&1", _LIST.replace("NAMES", names).replace("ARRAYS", arrays)]
    lines += [f"__mambakernels_list >|{before}", "__mambakernels_activate() {"]
    for script in scripts:
        lines += [f">|{said}", f". {shlex.quote(str(script))}", f"builtin printf '%s\\n' \"$?\" >>{statuses}"]
    lines += ["}", "__mambakernels_activate", f"__mambakernels_list >|{after}"]
    return "\n".join(lines)


def _run(
    argv: Sequence[str | Path], environ: Mapping[str, str], scripts: Sequence[Path], notes: _Notes, *, timeout: float
) -> None:
    clean = {name: value for name, value in environ.items() if not _steers(name)}
    try:
        ended = process.read_output(argv, env=clean, timeout=timeout)
    except process.TimeoutExpired:
        raise _failure(scripts, notes, f"did not finish within {timeout:g} seconds") from None
    if len(notes.finished()) < len(scripts):
        raise _failure(scripts, notes, f"ended the shell ({_status(ended.returncode)})")
    if not notes.after.stat().st_size:
        raise _failure(scripts, notes, "left a shell that cannot even list its variables")


def _steers(name: str) -> bool:
    return name in _STEERING or name.startswith(_FUNCTION)


def _status(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"status {returncode}"


def _failure(scripts: Sequence[Path], notes: _Notes, how: str) -> ActivationError:
    script = scripts[min(len(notes.finished()), len(scripts) - 1)]
    return _script_error(script, how, notes.quote())


def _script_error(script: Path, how: str, said: str) -> ActivationError:
    advice = "Correct the script, or update or remove its package."
    return ActivationError(
        f"The script {script.name} {how}.",
        where=str(script),
        next_step=f"{advice} Its last lines were:\n{said}" if said else f"{advice} It printed nothing.",
    )


def _check_syntax(bash: Path, scripts: Sequence[Path], notes: _Notes) -> None:
    """Raise for a script that bash could not parse; one whose last command failed has a non-zero status too."""
    for script, status in zip(scripts, notes.finished(), strict=True):
        if status == "0":
            continue
        parsed = process.read_output([bash, "-O", "extglob", "-n", script])  # extglob: a script may have switched it on
        if parsed.returncode:
            said = parsed.stderr.decode("utf-8", errors="replace").strip()
            raise _script_error(script, "is not valid bash", said)


def _variables(dump: Path) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in dump.read_bytes().split(b"\0") if entry)
    return {name: value for name, _, value in pairs if name not in _SHELL_ONLY and not name.startswith(_FUNCTION)}


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """Return what differs between two environments."""
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return Changes(changed, frozenset(before.keys() - after.keys()))
