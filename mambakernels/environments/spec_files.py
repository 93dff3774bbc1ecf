"""Files with the request for an environment: `environment.yml`, list of specs, `@EXPLICIT` file or lockfile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from mambakernels import errors, paths
from mambakernels.engines import explicit, lockfile
from mambakernels.engines.match_spec import name_of
from mambakernels.environments.spec import EnvironmentSpec, of_packages
from mambakernels.system import decoding, yaml

_MISFITS = {
    "": "An environment file needs a list of match specs under `dependencies`.",
    "name": "An environment file's `name` must be a string.",
    "channels": "An environment file's `channels` must be a list of names.",
    "variables": "An environment file's `variables` must be names with values.",
    "dependencies": "An environment file needs a list of match specs under `dependencies`, with at most a `pip:` list "
    "in it.",
}
_KINDS_OF_FILE = (
    "An environment file's name ends in .yml or .yaml, a lockfile's in .lock, that of a list of specs in anything else."
)


class _PipPart(msgspec.Struct, forbid_unknown_fields=True):
    pip: tuple[str, ...]


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    """What an `environment.yml` may hold; `prefix` is conda's note of where it was exported from."""

    dependencies: tuple[str | _PipPart, ...]
    name: str | int | float | None = None
    channels: tuple[str, ...] | str | None = None
    variables: Mapping[str, str | int | float | bool] | None = None
    prefix: Any = None


def read(path: Path) -> EnvironmentSpec:
    """Read a file by the kind that its name says; InvalidRequestError for anything unknown in it."""
    reader = _READERS.get(path.suffix.lower(), _read_lines)
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise errors.NotFoundError("There is no such file.", where=str(path), next_step=_KINDS_OF_FILE) from error
    except IsADirectoryError as error:
        raise errors.InvalidRequestError(
            "This is a folder, not a file.", where=str(path), next_step=_KINDS_OF_FILE
        ) from error
    except UnicodeDecodeError as error:
        raise errors.InvalidRequestError(f"This is not text: {error}.", where=str(path)) from error


def _read_lines(path: Path) -> EnvironmentSpec:
    """Read match specs, one a line; after `@EXPLICIT`, addresses of packages."""
    stripped = [line.split(" #")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    numbered = {number: line for number, line in enumerate(stripped, 1) if line and not line.startswith("#")}
    lines = list(numbered.values())
    if not lines:
        raise errors.InvalidRequestError("There is no match spec in this file.", where=str(path))
    if "@EXPLICIT" in lines:
        found = [explicit.parse(line, path) for line in lines[lines.index("@EXPLICIT") + 1 :]]
        return of_packages(path.stem, found)
    for number, line in numbered.items():
        _check_line(line, f"{path}, line {number}")
    return EnvironmentSpec(path.stem, tuple(lines))


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


def _read_lock(path: Path) -> EnvironmentSpec:
    locked = lockfile.read(path)
    if paths.subdir() not in locked.packages:
        raise errors.InvalidRequestError(
            f"This lockfile has no packages for {paths.subdir()}, "
            f"only for {', '.join(locked.packages) or 'no platform'}.",
            where=str(path),
            next_step=f"Lock for it as well: mambakernels lock … --subdir {paths.subdir()}",
        )
    spec = of_packages(path.stem, locked.packages[paths.subdir()], locked.channels)
    return replace(spec, pip=locked.pip.get(paths.subdir(), ()))


def _read_yaml(path: Path) -> EnvironmentSpec:
    text = path.read_text(encoding="utf-8")
    try:
        content = decoding.decode(yaml.load(text), _Content)
    except decoding.MisfitError as error:
        if error.known:
            raise errors.InvalidRequestError(_MISFITS[error.key], where=str(path)) from error
        raise errors.InvalidRequestError(
            f"An environment file cannot have the key {error.key!r}.",
            where=str(path),
            next_step=decoding.suggest(error.key, _Content.__struct_fields__),
        ) from error
    except ValueError as error:
        raise errors.InvalidRequestError(f"This is not YAML: {error}.", where=str(path)) from error
    if not content.dependencies:
        raise errors.InvalidRequestError(_MISFITS[""], where=str(path))
    channels = (content.channels,) if isinstance(content.channels, str) else content.channels or ()
    parts = [part for part in content.dependencies if isinstance(part, _PipPart)]
    return EnvironmentSpec(
        name=str(content.name or path.stem),
        specs=tuple(spec for spec in content.dependencies if isinstance(spec, str)),
        channels=tuple(name for name in channels if name != "nodefaults") or ("auto",),
        pip=tuple(requirement for part in parts for requirement in part.pip),
        variables={name: str(value) for name, value in (content.variables or {}).items()},
        folder=path.absolute().parent,
    )


_READERS: Mapping[str, Callable[[Path], EnvironmentSpec]] = {
    ".yml": _read_yaml,
    ".yaml": _read_yaml,
    ".lock": _read_lock,
}
