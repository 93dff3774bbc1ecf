"""Our kernelspecs on disk: read, written and removed in a Jupyter data folder, next to those of others.

Jupyter lists every folder of `kernels/` that holds a `kernel.json`. So ours are made ready in a folder next to it, on
the same file system, and appear and disappear by a rename. A kernelspec without our mark is never touched.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mambakernels.errors import StorageError, from_os_error

MARK = "mambakernels"
LAUNCHERS = ("start.sh", "start.py", "start_windows.py")
_FILE = "kernel.json"
_WORKSHOP = ".mambakernels"

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class KernelMark:
    """Our part of a kernelspec's metadata: how it was registered, and the environment as it was then.

    `spec` is the name of the kernelspec in the environment's packages, `fingerprint` that of the captured activation,
    `program` the environment's program that is started, `stand_in` the Python that takes its place where it is gone.
    `asked_name`, `title`, `variant`, `variables`, `threads` and `declared_in` (a project's file) are the options of the
    registration; all its kernels have names that begin with `base`, and `kernel` is the name of this one. `limit` is
    the thread count that was chosen where none was asked for, for the reason `limited_by`; None if none was.
    """

    environment: str
    prefix: Path
    root: Path
    blas: str | None
    fingerprint: str
    spec: str
    kernel: str
    program: Path
    stand_in: Path
    base: str
    asked_name: str | None
    title: str | None
    variant: str | None
    variables: Mapping[str, str]
    threads: int | None
    declared_in: str | None
    limit: int | None
    limited_by: str | None
    version: str
    schema: Literal[1] = 1

    def as_dict(self) -> Json:
        """Return it as JSON values."""
        found: Json = msgspec.to_builtins(self, enc_hook=str)
        return found


@dataclass(frozen=True, kw_only=True)
class KernelSpec(KernelMark):
    """A kernelspec that we wrote; `working` says whether its environment and its program were there when it was read.

    `copied` marks a copy that a user made: it belongs to the user.
    """

    name: str
    display_name: str
    language: str
    path: Path
    argv: tuple[str, ...]
    working: bool
    copied: bool

    @property
    def jupyter(self) -> Path:
        """The Jupyter data folder it is in."""
        return self.path.parents[1]


class _Metadata(msgspec.Struct):
    mambakernels: KernelMark


class _Document(msgspec.Struct):
    argv: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    display_name: str
    language: str
    metadata: _Metadata


@dataclass(frozen=True)
class JupyterFolder:
    """A Jupyter data folder; `write` and `remove` are to be called while it is `locked()`."""

    path: Path

    @property
    def kernels(self) -> Path:
        """Where Jupyter looks for kernelspecs."""
        return self.path / "kernels"

    @property
    def _workshop(self) -> Path:
        return self.kernels.resolve().parent / _WORKSHOP  # the same file system, if `kernels` is a link elsewhere

    @property
    def _staging(self) -> Path:
        return self._workshop / "staging"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep our other processes from changing this folder, and delete what a killed one left."""
        import filelock

        with self._translated():
            self._workshop.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self._workshop / "lock"):
                self._sweep()
                try:
                    yield
                finally:
                    self._sweep()

    def specs(self) -> list[KernelSpec]:
        """Return our kernelspecs, by name; those of others and unreadable ones are left out."""
        found = (read_kernelspec(folder) for folder in self._folders())
        return [spec for spec in found if spec is not None]

    def display_names(self) -> dict[Path, str]:
        """Return the display name of each readable kernelspec, also of those of others."""
        names = {folder: (kernel_json(folder) or {}).get("display_name") for folder in self._folders()}
        return {folder: name for folder, name in names.items() if isinstance(name, str)}

    def find(self, name: str) -> Path | None:
        """Return the folder of that name; Jupyter ignores case."""
        return next((folder for folder in self._folders() if folder.name.lower() == name.lower()), None)

    def write(self, name: str, document: Json, *, resources: Mapping[str, Path]) -> KernelSpec:
        """Write a kernelspec with copies of files, given by name; Jupyter never lists a part of it."""
        text = json.dumps(document, indent=1)  # ASCII: it must carry bytes that are not UTF-8, as lone surrogates
        staged, target = self._staging / secrets.token_hex(8), self.kernels / name
        staged.mkdir(parents=True)
        for title, file in resources.items():
            shutil.copyfile(file, staged / title)
        (staged / _FILE).write_text(text, encoding="utf-8")
        self.kernels.mkdir(exist_ok=True)
        if target.is_dir():
            _replace_files(staged, target)
        else:
            staged.rename(target)
        self._sweep()
        written = read_kernelspec(target)
        assert written is not None, "what was written carries our mark"
        return written

    def remove(self, spec: KernelSpec) -> None:
        """Take a kernelspec out of sight in one step, then delete its files."""
        self._staging.mkdir(parents=True, exist_ok=True)
        spec.path.rename(self._staging / secrets.token_hex(8))
        self._sweep()

    def _folders(self) -> list[Path]:
        try:
            return sorted(self.kernels.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _sweep(self) -> None:
        if self._staging.is_dir():
            shutil.rmtree(self._staging)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                from_os_error(error).what,
                where=str(error.filename2 or error.filename or self.path),
                next_step="Free some space or change the permissions there, "
                "or choose another Jupyter folder with JUPYTER_DATA_DIR.",
            ) from error


def read_kernelspec(folder: Path) -> KernelSpec | None:
    """Return the kernelspec in a folder, or None if there is none that we wrote and that can be read."""
    if folder.is_symlink():
        return None  # we make folders, not links
    try:
        document = msgspec.convert(kernel_json(folder), _Document, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError:
        return None
    mark = document.metadata.mambakernels
    return KernelSpec(
        **vars(mark),
        name=folder.name,
        display_name=document.display_name,
        language=document.language,
        path=folder,
        argv=document.argv,
        working=can_start(mark.program) and not is_gone(mark.prefix),
        copied=mark.kernel != folder.name,
    )


def is_damaged(folder: Path) -> bool:
    """Whether a folder has a launcher as we write it, but no `kernel.json` that can be read."""
    return (
        not folder.is_symlink() and any(_names_us(folder / name) for name in LAUNCHERS) and kernel_json(folder) is None
    )


def _names_us(file: Path) -> bool:
    try:
        return b"mambakernels.kernels.standin" in file.read_bytes()
    except OSError:
        return False  # not there, or not readable


def can_start(program: Path) -> bool:
    """Whether a program is there to be run, as `start.sh` tests it: a file that is not empty and may be executed."""
    try:
        return program.is_file() and program.stat().st_size > 0 and os.access(program, os.X_OK)
    except OSError:  # no permission to look at it, so none to run it
        return False


def is_gone(prefix: Path) -> bool:
    """Whether nothing is at a prefix; one that cannot be read counts as existing."""
    try:
        prefix.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def kernel_json(folder: Path) -> Json | None:
    """Return the content of a kernelspec's `kernel.json`, written by any program; None if it cannot be read."""
    try:
        document = json.loads((folder / _FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # not a kernelspec, removed since it was listed, or broken, which is up to its writer
    return document if isinstance(document, dict) else None


def _replace_files(staged: Path, target: Path) -> None:
    """Replace the files of a kernelspec one by one, `kernel.json` last: each is whole at any time."""
    fresh = sorted(staged.iterdir(), key=lambda file: file.name == _FILE)
    for file in fresh:
        if not _same(file, target / file.name):
            file.replace(target / file.name)
    ours = {file.name for pattern in ("logo-*", *LAUNCHERS) for file in target.glob(pattern)}
    for stale in ours - {file.name for file in fresh}:
        (target / stale).unlink()


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
