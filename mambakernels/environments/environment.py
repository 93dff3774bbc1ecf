"""An environment on disk: its location, its manifest, and its recovery after a process was killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from mambakernels import engines, errors
from mambakernels.engines import Engine, Package
from mambakernels.environments.virtual import is_virtual, name_of_folder, name_of_virtual, packages_of
from mambakernels.paths import DiskUsage, PathLike, Root, disk_usage, same_place, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.system import decoding, quoting
from mambakernels.system.files import remove_tree
from mambakernels.system.locks import locked

MANIFEST = ".mambakernels.json"
_SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OLD = re.compile(r"\.(.+)\.[0-9a-f]{8}\.old")
_FOREIGN = "another program"

NameOrPath = PathLike


@dataclass(frozen=True)
class Environment:
    """A prefix, the packages in it, and what its manifest says.

    An environment of another program (`managed` is false) has no specs or channels, and is never changed.
    `declared_in` is the project's file that it was made for, if any.
    """

    name: str
    prefix: Path
    root: Root
    specs: tuple[str, ...]
    channels: tuple[str, ...]
    engine: str
    packages: tuple[Package, ...]
    created: str
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    cloned_from: str | None = None
    declared_in: str | None = None
    managed: bool = True

    def package(self, name: str) -> Package | None:
        """Return the installed package of that name, or None."""
        return next((package for package in self.packages if package.name == name), None)

    def disk_usage(self) -> DiskUsage:
        """Return the bytes of its files, and those that removing it frees; this reads the whole folder."""
        return disk_usage(self.prefix)

    @property
    def place(self) -> Location:
        """Its name, prefix and root."""
        return Location(self.name, self.prefix, self.root)

    @property
    def python(self) -> Path:
        """The path of the environment's Python, which exists only if the environment has one."""
        return self.prefix / self.place.python

    @property
    def blas(self) -> str | None:
        """The BLAS that the environment was made with (`mkl`, `openblas`, …), from libblas' build string."""
        libblas = self.package("libblas")
        return blas_of_build(libblas.build) if libblas else None


def blas_of_build(build: str) -> str:
    """Return the BLAS in libblas' build string: its last word.

    conda-forge has two builds of Accelerate: `accelerate`, and `newaccelerate` for macOS 15.5 and later.
    """
    return build.rpartition("_")[2].removeprefix("new")


@dataclass(frozen=True)
class Location:
    """The prefix that an environment has or will have, and the root whose package cache and locks serve it."""

    name: str
    prefix: Path
    root: Root

    @classmethod
    def named(cls, name: str, root: Root) -> Location:
        """Return the location of a name under a root; InvalidRequestError if it cannot be a name."""
        check_environment_name(name)
        return cls(name, root.environments / name, root)

    @classmethod
    def at(cls, prefix: str | os.PathLike[str], root: Root) -> Location:
        """Return the location at a path, inside the root or elsewhere; its name is the folder's, or is made from it."""
        path = Path(os.path.normpath(Path(prefix).expanduser().absolute()))
        if is_virtual(path):
            return cls(name_of_virtual(path), path, root)
        return cls(path.name if _NAME.fullmatch(path.name) else name_of_folder(path), path, root)

    @classmethod
    def of(cls, name_or_path: NameOrPath, root: Root) -> Location:
        """Return the location of a name, or of a path: a text with a separator in it."""
        text = os.fspath(name_or_path)
        return cls.at(text, root) if is_path(name_or_path) else cls.named(text, root)

    @property
    def argument(self) -> str:
        """The word that names it on the command line: its name under the root, else its path."""
        return self.name if self._is_named else quoting.quote(str(self.prefix))

    @property
    def python(self) -> str:
        """The path of Python relative to any prefix."""
        return "python.exe" if os.name == "nt" else "bin/python"

    @property
    def lock(self) -> str:
        """The name of the lock to hold while changing the environment."""
        if self._is_named:
            return f"env-{self.name}"
        return f"prefix-{hashlib.sha256(os.fsencode(os.path.realpath(self.prefix))).hexdigest()[:16]}"

    @property
    def _is_named(self) -> bool:
        return same_place(self.prefix, self.root.environments / self.name)


def is_path(name_or_path: NameOrPath) -> bool:
    """Whether this is a path and not a name: it has a separator in it, is a path object, or is a `.venv` here."""
    if not isinstance(name_or_path, str) or "/" in name_or_path or os.sep in name_or_path:
        return True
    folder = Path(name_or_path)
    return name_or_path.startswith(".") and (is_virtual(folder) or (folder / "conda-meta").is_dir())


def check_environment_name(name: str) -> None:
    """Raise InvalidRequestError unless a name is a plain folder name that every shell and Jupyter accept."""
    if not name:
        raise errors.InvalidRequestError(
            "The environment needs a name.", next_step="Give one, such as np-mkl, or a file that has one."
        )
    if not _NAME.fullmatch(name):
        raise errors.InvalidRequestError(
            f"{name[:80]!r} cannot be an environment's name.",
            next_step="Use 1 to 64 letters, digits, '-', '_' and '.', the first a letter or digit: np-mkl.",
        )


@storage_errors
def list_environments(root: PathLike | None = None) -> list[Environment]:
    """Return the environments under the root, by name.

    A folder without a manifest was not made here and is left out. So is one with a damaged manifest, which `get`
    explains.
    """
    root = Root.find(root)
    if not root.environments.is_dir():
        return []
    for place in _interrupted(root):
        with locked(root, place.lock):
            recover(place)
    folders = sorted(folder for folder in root.environments.iterdir() if not folder.name.startswith("."))
    found = (_read_if_whole(Location(folder.name, folder, root)) for folder in folders)
    return [environment for environment in found if environment is not None]


@storage_errors
def get(name: NameOrPath, root: PathLike | None = None) -> Environment:
    """Return the environment of that name, or at that path, where any program may have made it; else NotFoundError."""
    place = Location.of(name, Root.find(root))
    if not place.prefix.exists() and remains(place):
        with locked(place.root, place.lock):
            recover(place)
    environment = read_environment(place) or _foreign(place)
    if environment is None or not (environment.managed or is_path(name)):
        raise _not_found(place, name)
    return environment


@contextmanager
def held(name_or_path: NameOrPath, root: Root, *, progress: Progress = silent) -> Iterator[Environment]:
    """Yield an environment under its lock: no other process changes, registers or removes it meanwhile."""
    place = get(name_or_path, root).place
    with locked(root, place.lock, progress=progress):
        recover(place)
        yield get(name_or_path, root)


def owned(environment: Environment) -> Environment:
    """Return the environment if mambakernels made it; InvalidRequestError if another program did."""
    if not environment.managed:
        raise errors.InvalidRequestError(
            f"The environment {environment.name!r} was not made by mambakernels, which never changes it.",
            where=str(environment.prefix),
            next_step="Change it with the program that made it. You can still register it as a kernel.",
        )
    return environment


def write_manifest(prefix: Path, environment: Environment, engine: Engine) -> None:
    """Write an environment's manifest into the folder where it is being made."""
    content = {
        "schema": _SCHEMA,
        **{key: value for key, value in vars(environment).items() if key not in {"prefix", "root", "managed"}},
        "variables": dict(environment.variables),
        "engine": f"{engine.name} {engine.version}",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "packages": [package.identity for package in environment.packages],
    }
    (prefix / MANIFEST).write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_environment(place: Location) -> Environment | None:
    """Return the environment with a manifest at a location; None without one, EngineError if it is damaged."""
    try:
        content = json.loads((place.prefix / MANIFEST).read_bytes())
        if content["schema"] != _SCHEMA:
            raise _damaged(place.prefix)
        return decoding.decode({**content, **vars(place)}, Environment)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(place.prefix) from error


def remains(place: Location) -> list[Path]:
    """Return the earlier state of an environment, left by a change that was killed between its two renames."""
    return _hidden(place, r"\.[0-9a-f]{8}\.old")


def recover(place: Location) -> None:
    """Put the earlier state back after a killed change, and delete its staged folders; the lock is held."""
    old = remains(place)
    if old and not place.prefix.exists():
        old.pop().rename(place.prefix)
    for left in (*old, *_hidden(place, r"\.[0-9a-f]{8}")):
        remove_tree(left, ignore_errors=True)


def _interrupted(root: Root) -> list[Location]:
    names = [match[1] for path in root.environments.glob(".*.old") if (match := _OLD.fullmatch(path.name))]
    return [Location(name, root.environments / name, root) for name in names if not (root.environments / name).exists()]


def _hidden(place: Location, suffix: str) -> list[Path]:
    pattern = re.compile(rf"\.{re.escape(place.name)}{suffix}")
    folder = place.prefix.parent
    return [path for path in folder.iterdir() if pattern.fullmatch(path.name)] if folder.is_dir() else []


def _foreign(place: Location) -> Environment | None:
    """Return the environment of another program: any folder with `conda-meta` in it, or a virtual environment."""
    if is_virtual(place.prefix):
        found = packages_of(place.prefix)
        return Environment(place.name, place.prefix, place.root, (), (), "venv", found, "", managed=False)
    if not (place.prefix / "conda-meta").is_dir():
        return None
    packages = engines.installed(place.prefix)
    return Environment(place.name, place.prefix, place.root, (), (), _FOREIGN, packages, "", managed=False)


def _not_found(place: Location, name_or_path: NameOrPath) -> errors.NotFoundError:
    if is_path(name_or_path):
        return errors.NotFoundError(
            "This is not an environment: it has neither a `conda-meta` folder nor a `pyvenv.cfg`.",
            where=str(place.prefix),
            next_step="Name an environment or its path. Environments made by mambakernels: mambakernels list",
        )
    names = ", ".join(item.name for item in list_environments(place.root)) or "none yet"
    return errors.NotFoundError(
        f"There is no environment {os.fspath(name_or_path)!r}.",
        where=str(place.prefix.parent),
        next_step=f"Environments: {names}. To make it: mambakernels create {place.name} python numpy",
    )


def _read_if_whole(place: Location) -> Environment | None:
    try:
        return read_environment(place)
    except errors.EngineError:
        return None


def _damaged(prefix: Path) -> errors.EngineError:
    return errors.EngineError(
        "The environment's manifest is damaged, or was written by another version of mambakernels.",
        where=str(prefix / MANIFEST),
        next_step=f"Delete the folder and make it again: {prefix}",
    )
