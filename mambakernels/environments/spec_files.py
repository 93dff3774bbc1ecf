"""Files with the request for an environment: `environment.yml`, list of specs, `@EXPLICIT` file or lockfile."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mambakernels import errors, paths
from mambakernels.engines import Package, explicit, lockfile
from mambakernels.engines.match_spec import name_of
from mambakernels.environments import environment_files
from mambakernels.environments.spec import EnvironmentSpec, of_packages
from mambakernels.system import files

_KINDS_OF_FILE = (
    "A file can be an environment.yml (with `dependencies:`), a list of match specs, one a line, an @EXPLICIT list of "
    "addresses, or a lockfile of mambakernels, pixi, conda-lock or micromamba."
)
_Kind = Literal["environment", "explicit", "list", "lock"]
_BY_ENDING: Mapping[str, _Kind] = {".yml": "environment", ".yaml": "environment", ".lock": "lock"}
_TOP_LEVEL_KEY = re.compile(r"^([\w-]+)[ \t]*:(?=\s)", re.MULTILINE)
_EXPLICIT = re.compile(r"^[ \t]*@EXPLICIT\b", re.MULTILINE)
_ENCODING = "It is not UTF-8, and was read as Windows-1252."


def read(path: Path, *, environment: str | None = None, subdir: str | None = None) -> EnvironmentSpec:
    """Read a file by the kind that its content has, else its name; InvalidRequestError, with the line, if it cannot.

    `environment` is which of several in a lockfile, `subdir` the platform that an environment file's selectors are for.
    """
    text, notes = _text(path)
    kind = _kind(text, path.suffix.lower())
    if kind != "lock" and environment is not None:
        raise errors.InvalidRequestError(
            "Only a lockfile can have several environments.", where=str(path), next_step="Leave out --environment."
        )
    if kind == "environment":
        spec = environment_files.read(text, path, subdir=subdir or paths.subdir())
    elif kind == "lock":
        spec = _read_lock(text, path, environment)
    else:
        spec = _read_explicit(text, path) if kind == "explicit" else _read_list(text, path)
    return replace(spec, notes=(*notes, *spec.notes))


def _text(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return a file's text, and what there is to say of its encoding."""
    notes: tuple[str, ...] = ()
    try:
        text = files.read_text(path)
    except FileNotFoundError as error:
        raise errors.NotFoundError("There is no such file.", where=str(path), next_step=_KINDS_OF_FILE) from error
    except IsADirectoryError as error:
        raise errors.InvalidRequestError(
            "This is a folder, not a file.", where=str(path), next_step=_KINDS_OF_FILE
        ) from error
    except UnicodeDecodeError:
        text, notes = path.read_bytes().decode("cp1252", errors="replace"), (f"{path}: {_ENCODING}",)
    if "\0" in text:
        raise errors.InvalidRequestError("This is not a text file.", where=str(path), next_step=_KINDS_OF_FILE)
    return text, notes


def _kind(text: str, ending: str) -> _Kind:
    """Return what a content is; a file's name only decides where the content leaves it open."""
    if _EXPLICIT.search(text):
        return "explicit"
    if lockfile.kind_of(text):
        return "lock"
    if "dependencies" in _TOP_LEVEL_KEY.findall(text):
        return "environment"
    return _BY_ENDING.get(ending, "list")


def _numbered(text: str) -> Mapping[int, str]:
    """Return the lines that say something by their numbers, without comments."""
    stripped = (re.split(r"\s#", line, maxsplit=1)[0].strip() for line in text.split("\n"))
    return {number: line for number, line in enumerate(stripped, 1) if line and not line.startswith("#")}


def _read_explicit(text: str, path: Path) -> EnvironmentSpec:
    lines = _numbered(text)
    start = next(number for number, line in lines.items() if line.startswith("@EXPLICIT"))
    found = [_linkable(line, f"{path}, line {number}") for number, line in lines.items() if number > start]
    if not found:
        raise errors.InvalidRequestError("There is no package after @EXPLICIT.", where=str(path))
    once = {package.url: package for package in found}
    return of_packages(path.stem, list(once.values()))


def _linkable(line: str, where: str) -> Package:
    package = explicit.parse(line, where)
    if package.subdir not in {paths.subdir(), "noarch"}:
        raise errors.InvalidRequestError(
            f"This package is for {package.subdir}, and this machine is {paths.subdir()}: {line}",
            where=where,
            next_step="Use a list of addresses for this platform, or an environment.yml, which is solved for each.",
        )
    return package


def _read_list(text: str, path: Path) -> EnvironmentSpec:
    """Read match specs, one a line."""
    lines = _numbered(text)
    if not lines:
        raise errors.InvalidRequestError(
            "There is no match spec in this file.", where=str(path), next_step=_KINDS_OF_FILE
        )
    for number, line in lines.items():
        _check_line(line, f"{path}, line {number}")
    return EnvironmentSpec(path.stem, tuple(lines.values()))


def _check_line(line: str, where: str) -> None:
    if line.startswith("-"):
        raise errors.InvalidRequestError(
            f"This line is not a match spec: {line}",
            where=where,
            next_step="Requirements of pip, and files of them (`-r`), belong under `pip:` in the `dependencies` of an "
            "environment.yml.",
        )
    try:
        name_of(line)
    except errors.InvalidRequestError as error:
        error.where = where
        error.next_step = f"The file is read as a list of match specs, one a line. {_KINDS_OF_FILE}"
        raise


def _read_lock(text: str, path: Path, environment: str | None) -> EnvironmentSpec:
    locked = lockfile.read(path, text=text, environment=environment)
    if paths.subdir() not in locked.packages:
        raise errors.InvalidRequestError(
            f"This lockfile has no packages for {paths.subdir()}, "
            f"only for {', '.join(locked.packages) or 'no platform'}.",
            where=str(path),
            next_step=f"Lock for it as well: mambakernels lock … --subdir {paths.subdir()}",
        )
    spec = of_packages(path.stem, locked.packages[paths.subdir()], locked.channels)
    return replace(spec, pip=locked.pip.get(paths.subdir(), ()), folder=path.absolute().parent, notes=locked.notes)
