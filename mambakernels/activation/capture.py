r"""Activation of an environment, captured once as changes of variables.

The order is that of the engines: conda's variables and PATH, `etc/conda/env_vars.d`, the variables of
`conda-meta/state`, then `etc/conda/activate.d`. Names of variables keep their case, as with conda, but on Windows,
which compares them without case, they are upper case, as with micromamba. Not captured are the prompt, functions and
options of a shell, `condabin`, which belongs to the engine, and `__CONDA_SHLVL_*`, which only deactivation uses.

The folders of PATH on Windows and their order are those of `get_path_dirs` in micromamba (libmamba's
`util/environment.cpp`, read in July 2026), and of `_get_path_dirs` in conda (`activate.py`, read in August 2026) but
for one: where a `Library\{ucrt64,clang64,mingw64,clangarm64}\bin` exists, conda alone puts the first of them second.
Both end with the same changes: conda sets variables and PATH, then calls the scripts, in one cmd.exe.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mambakernels.activation import bash, cmd
from mambakernels.activation.bash import Changes
from mambakernels.environments.virtual import is_virtual, settings
from mambakernels.errors import ActivationError
from mambakernels.paths import same_place

_PATIENCE = 60.0  # seconds for one run of all scripts
_UNSET = "***unset***"  # written to conda-meta/state by `conda env config vars unset`
_BOOKKEEPING = re.compile(
    r"CONDA_(PREFIX|STACKED)(_\d+)?|CONDA_(SHLVL|DEFAULT_ENV|PROMPT_MODIFIER)|__CONDA_SHLVL_\d+_.*", re.DOTALL
)
_SAVED = re.compile(r"__CONDA_SHLVL_(\d+)_(.+)", re.DOTALL)


@dataclass(frozen=True)
class Platform:
    """The layout of environments on an operating system: folders for PATH, and activation scripts.

    `session` has the variables of any session, whatever the user's settings; `named` gives a variable's name its one
    spelling.
    """

    path: tuple[str, ...]
    script_suffix: str
    source: Callable[..., Changes]
    session: frozenset[str]
    named: Callable[[str], str]


_PLATFORMS = {
    "posix": Platform(
        path=("bin",),
        script_suffix=".sh",
        source=bash.source,
        session=frozenset({"HOME", "USER", "LOGNAME", "PATH"}),
        named=str,
    ),
    "nt": Platform(
        path=("", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin"),
        script_suffix=".bat",
        source=cmd.source,
        session=frozenset(
            {
                "ALLUSERSPROFILE", "APPDATA", "COMMONPROGRAMFILES", "COMMONPROGRAMFILES(X86)", "COMMONPROGRAMW6432",
                "COMPUTERNAME", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "NUMBER_OF_PROCESSORS", "OS",
                "PATH", "PATHEXT", "PROCESSOR_ARCHITECTURE", "PROCESSOR_IDENTIFIER", "PROCESSOR_LEVEL",
                "PROCESSOR_REVISION", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "PROGRAMW6432", "PUBLIC",
                "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERDOMAIN", "USERNAME", "USERPROFILE", "WINDIR",
            }
        ),
        named=str.upper,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Activation:
    """The changes that activating an environment makes in a session.

    PATH is not in `set`: it is `path_prepend`, the session's entries, `path_append`. `unset` names variables of the
    session that the scripts remove. `fingerprint` is the SHA-256 of everything that activation depends on.
    """

    set: Mapping[str, str]
    path_prepend: tuple[str, ...]
    path_append: tuple[str, ...]
    unset: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class _Inputs:
    """The files of a prefix that its activation depends on, with their content, in the order of their use."""

    prefix: Path
    path: tuple[str, ...]
    packages: Mapping[Path, bytes]
    state: Mapping[Path, bytes]
    scripts: Mapping[Path, bytes]

    @classmethod
    def read(cls, prefix: Path) -> _Inputs:
        """Read the files; `ActivationError` if there is no such prefix or a file cannot be read."""
        platform = _platform()
        prefix = prefix.absolute()
        if not prefix.is_dir():
            raise ActivationError("There is no environment to activate.", where=str(prefix))
        if os.pathsep in str(prefix):
            raise ActivationError(f"A folder with '{os.pathsep}' in its path cannot be put on PATH.", where=str(prefix))
        settings = prefix / "etc" / "conda"
        state = prefix / "conda-meta" / "state"
        return cls(
            prefix=prefix,
            path=tuple(str(prefix / folder) for folder in _path_folders(prefix, platform)),
            packages=_contents(_entries(settings / "env_vars.d")),
            state=_contents([state] if state.exists() else []),
            scripts=_contents(_entries(settings / "activate.d", suffix=platform.script_suffix)),
        )

    def fingerprint(self) -> str:
        """Return the SHA-256 of the prefix and of every file with its name."""
        digest = hashlib.sha256()
        parts = [os.fsencode(self.prefix)]
        for file, content in [*self.packages.items(), *self.state.items(), *self.scripts.items()]:
            parts += [os.fsencode(file.relative_to(self.prefix)), content]
        for part in parts:
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()

    def variables(self) -> dict[str, str]:
        """Return the variables that files set: those of packages, overridden by those of the environment."""
        found: dict[str, str] = {}
        for file, content in self.packages.items():
            found |= _decode_variables(_decode_object(content, file), file)
        for file, content in self.state.items():
            found |= _decode_variables(_decode_object(content, file).get("env_vars", {}), file)
        return {_platform().named(name): value for name, value in found.items() if value != _UNSET}


def capture(
    prefix: Path, *, root: Path | None = None, environ: Mapping[str, str] | None = None, timeout: float = _PATIENCE
) -> Activation:
    """Activate the environment in a session, as its engine would, and return the changes.

    The session is `environ`, by default that of this process; an environment that is active in it is deactivated
    first. `root` is the root prefix, whose own environment is called `base`; `timeout`, in seconds, is for one run of
    all scripts. Raises `ActivationError`, also if variables alone cannot express the changes.
    """
    inputs = _Inputs.read(prefix)
    own = {**_conda_variables(inputs.prefix, root), **inputs.variables()}
    given = {_platform().named(name): value for name, value in (os.environ if environ is None else environ).items()}
    session = _session_outside(given, timeout=timeout) if inputs.scripts else {}
    old_path = _split(session.get("PATH") or os.defpath)
    start = {**session, **own, "PATH": _join([*inputs.path, *old_path])}
    changes = _run_scripts(list(inputs.scripts), start, own=own, timeout=timeout)
    after = changes.applied_to(start)
    around = _around(_split(after.get("PATH", "")), old_path)
    if around is None:
        raise _lost_path(list(inputs.scripts), start, old_path, timeout=timeout)
    return Activation(
        set={name: after[name] for name in sorted(after.keys() & (own.keys() | changes.set.keys()) - {"PATH"})},
        path_prepend=around[0],
        path_append=around[1],
        unset=tuple(sorted(changes.unset & session.keys())),
        fingerprint=inputs.fingerprint(),
    )


def activated(prefix: Path, *, root: Path | None = None) -> dict[str, str]:
    """Return this session's variables with this environment, and no other, active in it.

    As the result is for this session only, unlike that of `capture`, scripts may change PATH in any way. Raises
    `ActivationError`.
    """
    inputs = _Inputs.read(prefix)
    session = _session_outside(os.environ, timeout=_PATIENCE)
    path = _join([*inputs.path, *_split(session.get("PATH") or os.defpath)])
    start = {**session, **_conda_variables(inputs.prefix, root), **inputs.variables(), "PATH": path}
    return _platform().source(list(inputs.scripts), start, timeout=_PATIENCE).applied_to(start)


def fingerprint(prefix: Path) -> str:
    """Return the SHA-256 of everything that activating the prefix depends on, without running anything."""
    return _Inputs.read(prefix).fingerprint()


def _platform() -> Platform:
    try:
        return _PLATFORMS[os.name]
    except KeyError:
        raise ActivationError(f"Activation cannot be captured on this platform yet ('{os.name}').") from None


def _path_folders(prefix: Path, platform: Platform) -> tuple[str, ...]:
    return ("Scripts",) if os.name == "nt" and is_virtual(prefix) else platform.path


def _entries(folder: Path, *, suffix: str = "") -> list[Path]:
    """List a folder's files as the engines do: sorted, without hidden ones."""
    if not folder.is_dir():
        return []
    entries = (entry for entry in folder.iterdir() if entry.name.endswith(suffix) and not entry.name.startswith("."))
    return sorted(entry for entry in entries if not entry.is_dir())


def _contents(files: Iterable[Path]) -> dict[Path, bytes]:
    return {file: _content(file) for file in files}


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        what = f"A file of the environment cannot be read: {error.strerror}."
        raise ActivationError(what, where=str(file)) from error


def _decode_object(content: bytes, file: Path) -> dict[str, Any]:
    try:
        decoded = json.loads(content)
    except ValueError as error:
        raise _malformed(file, f"it is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise _malformed(file, "it is not a JSON object")
    return decoded


def _decode_variables(decoded: Any, file: Path) -> dict[str, str]:
    if not isinstance(decoded, dict):
        raise _malformed(file, "'env_vars' is not a JSON object")
    return {_variable_name(name, file): _variable_value(name, value, file) for name, value in decoded.items()}


def _variable_name(name: str, file: Path) -> str:
    if not name or "=" in name or not _can_be_passed(name):
        raise _malformed(file, f"{name!r} cannot be the name of a variable")
    if _platform().named(name) == "PATH":
        raise _malformed(file, "it sets PATH outright, which would hide every other program")
    return name


def _variable_value(name: str, value: Any, file: Path) -> str:
    """Return text or a number as text; on other kinds of values, the engines do not agree."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _malformed(file, f"the value of {name} is not a string")
    if not _can_be_passed(str(value)):
        raise _malformed(file, f"the value of {name} cannot be passed to a program")
    return str(value)


def _can_be_passed(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _malformed(file: Path, why: str) -> ActivationError:
    return ActivationError(
        f"Variables of the environment cannot be read from {file.name}: {why}.",
        where=str(file),
        next_step="Correct the file, or update or remove its package.",
    )


def _conda_variables(prefix: Path, root: Path | None) -> dict[str, str]:
    if is_virtual(prefix):
        prompt = settings(prefix).get("prompt") or prefix.name
        return {"VIRTUAL_ENV": str(prefix), "VIRTUAL_ENV_PROMPT": prompt}
    name = _default_env(prefix, root)
    return {
        "CONDA_PREFIX": str(prefix),
        "CONDA_SHLVL": "1",
        "CONDA_DEFAULT_ENV": name,
        "CONDA_PROMPT_MODIFIER": f"({name}) ",
    }


def _default_env(prefix: Path, root: Path | None) -> str:
    if same_place(prefix, root) or _is_installation(prefix):
        return "base"
    return prefix.name if prefix.parent.name == "envs" else str(prefix)


def _is_installation(prefix: Path) -> bool:
    """Whether a prefix is that of conda or mamba itself: it holds their commands, or all environments and packages."""
    folders = ("condabin",), ("envs", "pkgs")
    return prefix.parent.name != "envs" and any(all((prefix / name).is_dir() for name in names) for names in folders)


def _session_outside(environ: Mapping[str, str], *, timeout: float) -> dict[str, str]:
    """Return the session's variables as they are after deactivating its environments."""
    active = [Path(prefix) for prefix in _active_prefixes(environ)]
    left = _platform().source(_deactivation_scripts(active), environ, timeout=timeout).applied_to(environ)
    saved = sorted((int(match[1]), match[2], left[match[0]]) for match in map(_SAVED.fullmatch, left) if match)
    gone = {name for prefix in active if prefix.is_dir() for name in _Inputs.read(prefix).variables()}
    gone |= {name.upper() for name in gone}  # as mamba sets them
    kept = {name: value for name, value in left.items() if name not in gone and not _BOOKKEEPING.fullmatch(name)}
    kept |= {name: value for _level, name, value in reversed(saved)}
    theirs = {str(prefix / folder) for prefix in active for folder in _platform().path}
    if "PATH" in kept:
        kept["PATH"] = _join(entry for entry in _split(kept["PATH"]) if entry not in theirs)
    return kept


def _active_prefixes(environ: Mapping[str, str]) -> list[str]:
    """Return the active prefix and those below it, the last activated first."""
    level = environ.get("CONDA_SHLVL", "")
    names = ["CONDA_PREFIX"]
    for below in range(int(level) - 1 if level.isdigit() else 0, 0, -1):
        if f"CONDA_STACKED_{below + 1}" not in environ:
            break
        names.append(f"CONDA_PREFIX_{below}")
    return [environ[name] for name in names if environ.get(name)]


def _deactivation_scripts(prefixes: Iterable[Path]) -> list[Path]:
    suffix = _platform().script_suffix
    folders = (prefix / "etc" / "conda" / "deactivate.d" for prefix in prefixes)
    return [script for folder in folders for script in reversed(_entries(folder, suffix=suffix))]


def _run_scripts(
    scripts: Sequence[Path], start: Mapping[str, str], *, own: Mapping[str, str], timeout: float
) -> Changes:
    """Run the scripts in the session, and return also variables that they set to the value of the session.

    The server that starts the kernel may lack such a variable. A second run, without the session's variables, finds
    all names that the scripts set.
    """
    changes = _platform().source(scripts, start, timeout=timeout)
    bare = {name: value for name, value in start.items() if name in own or name in _platform().session}
    try:
        anyway = _platform().source(scripts, bare, timeout=timeout)
    except ActivationError as error:
        raise ActivationError(
            f"{error.what} It does so only without the other variables of this session, which a kernel may not have.",
            where=error.where,
            next_step=error.next_step,
        ) from error
    same = {name: start[name] for name in anyway.set if name in start and name not in changes.unset}
    return Changes({**same, **changes.set}, changes.unset)


def _split(path: str) -> tuple[str, ...]:
    return tuple(path.split(os.pathsep))


def _join(entries: Iterable[str]) -> str:
    return os.pathsep.join(entries)


def _around(path: Sequence[str], old: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the entries before and after the old ones; None if the old ones are not there as a whole, in order."""
    for start in range(len(path) - len(old), -1, -1):
        if tuple(path[start : start + len(old)]) == tuple(old):
            return tuple(path[:start]), tuple(path[start + len(old) :])
    return None


def _lost_path(
    scripts: Sequence[Path], start: Mapping[str, str], old_path: Sequence[str], *, timeout: float
) -> ActivationError:
    """Return the error with the script that changed PATH in a way that a kernelspec cannot express."""
    for count in range(1, len(scripts)):
        path = _platform().source(scripts[:count], start, timeout=timeout).applied_to(start).get("PATH", "")
        if _around(_split(path), old_path) is None:
            scripts = scripts[:count]
            break
    return ActivationError(
        f"The activation script {scripts[-1].name} rewrites PATH instead of adding to it.",
        where=str(scripts[-1]),
        next_step="A kernelspec can add folders before and after the PATH of the Jupyter server, and nothing else. "
        "Correct the script, or update or remove its package.",
    )
