"""Our kernelspecs on disk: read, written and removed in a Jupyter data folder, next to those of others.

Jupyter lists every folder of `kernels/` that holds a `kernel.json`. So ours are made ready in a folder beside it, on
the same file system, and appear and disappear by a rename. What does not carry our mark is never touched.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mambakernels.errors import StorageError, from_os_error

MARK = "mambakernels"
SCHEMA = 1
_FILE = "kernel.json"
_WORKSHOP = ".mambakernels"

Json = dict[str, Any]


@dataclass(frozen=True)
class KernelSpec:
    """A kernelspec that we wrote; `working` says whether its environment and its program were there when it was read.

    `spec` is the name of the kernelspec that the environment ships, `fingerprint` that of the captured activation,
    `program` what is started in the end. `base`, `title`, `variables`, `threads` and `variant` are the name, display
    name, variables, thread count and variant that its registration asked for, `declared_in` is the project's file that
    did, if it was one; `asked_name` is None if the name was derived from the environment's. `limit` is the thread count
    that was chosen where none was asked for, for the reason `limited_by`; None if none was. `copied` tells a copy that
    somebody made of one of ours: it is theirs.
    """

    name: str
    display_name: str
    language: str
    path: Path
    environment: str
    prefix: Path
    root: Path
    blas: str | None
    argv: tuple[str, ...]
    program: Path
    spec: str
    fingerprint: str
    working: bool
    base: str = ""
    title: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    declared_in: str | None = None
    variant: str | None = None
    threads: int | None = None
    limit: int | None = None
    limited_by: str | None = None
    asked_name: str | None = None
    copied: bool = False

    @property
    def jupyter(self) -> Path:
        """The Jupyter data folder it is in."""
        return self.path.parents[1]


@dataclass(frozen=True)
class JupyterFolder:
    """A Jupyter data folder; what changes it wants to be done while it is `locked()`."""

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
        """Keep other processes of ours from changing this folder, and clear away what a killed one left."""
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
        """Return our kernelspecs, by name; those of others and broken ones are passed over."""
        found = (read(folder) for folder in self._folders())
        return [spec for spec in found if spec is not None]

    def display_names(self) -> dict[Path, str]:
        """Return the display name of each kernelspec that can be read, whoever wrote it."""
        names = {folder: (load(folder) or {}).get("display_name") for folder in self._folders()}
        return {folder: name for folder, name in names.items() if isinstance(name, str)}

    def find(self, name: str) -> Path | None:
        """Return what is in the place of that name; Jupyter ignores case."""
        return next((folder for folder in self._folders() if folder.name.lower() == name.lower()), None)

    def write(self, name: str, document: Json, *, resources: Mapping[str, Path]) -> KernelSpec:
        """Put a kernelspec in place, with copies of the files by their names; at no moment is a part of it listed."""
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
        written = read(target)
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
                next_step="Make room or get permission there, or choose another Jupyter folder with JUPYTER_DATA_DIR.",
            ) from error


def read(folder: Path) -> KernelSpec | None:
    """Return the kernelspec in a folder, or None if there is none that we wrote and that can be read."""
    if folder.is_symlink():
        return None  # ours are folders of their own
    match load(folder):
        case {
            "argv": [str(), *_] as argv,
            "display_name": str(display_name),
            "language": str(language),
            "metadata": {"mambakernels": {"schema": int(), "environment": str(name), "prefix": str(prefix), **mark}},
        }:
            program = Path(_text(mark, "program") or argv[0])
            variables = mark.get("variables")
            return KernelSpec(
                name=folder.name,
                display_name=display_name,
                language=language,
                path=folder,
                environment=name,
                prefix=Path(prefix),
                root=Path(str(mark.get("root", ""))),
                blas=_text(mark, "blas"),
                argv=tuple(map(str, argv)),
                program=program,
                spec=str(mark.get("spec", "")),
                fingerprint=str(mark.get("fingerprint", "")),
                working=can_start(program) and not is_gone(Path(prefix)),
                base=str(mark.get("base", folder.name)),
                title=_text(mark, "title"),
                variables=variables if isinstance(variables, dict) else {},
                declared_in=_text(mark, "declared_in"),
                variant=_text(mark, "variant"),
                copied=(_text(mark, "kernel") or folder.name) != folder.name,
                threads=_count(mark, "threads"),
                limit=_count(mark, "limit"),
                limited_by=_text(mark, "limited_by"),
                asked_name=_text(mark, "name") if "name" in mark else str(mark.get("base", folder.name)),
            )
        case _:
            return None


def _text(mark: Mapping[Any, Any], key: str) -> str | None:
    found = mark.get(key)
    return found if isinstance(found, str) else None


def _count(mark: Mapping[Any, Any], key: str) -> int | None:
    found = mark.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def can_start(program: Path) -> bool:
    """Whether a program is there to be run, as `start.sh` tests it: a file that is not empty and may be executed."""
    try:
        return program.is_file() and program.stat().st_size > 0 and os.access(program, os.X_OK)
    except OSError:  # what may not be looked at cannot be run
        return False


def is_gone(prefix: Path) -> bool:
    """Whether nothing is at a prefix; what may not be looked at counts as being there."""
    try:
        prefix.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def load(folder: Path) -> Json | None:
    """Return what `kernel.json` says in a kernelspec's folder, whoever wrote it; None if it cannot be read."""
    try:
        document = json.loads((folder / _FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # not a kernelspec, gone since it was listed, or broken: whoever wrote it has to see to it
    return document if isinstance(document, dict) else None


def _replace_files(staged: Path, target: Path) -> None:
    """Replace the files of a kernelspec one by one, `kernel.json` last: each is whole at any time."""
    fresh = sorted(staged.iterdir(), key=lambda file: file.name == _FILE)
    for file in fresh:
        if not _same(file, target / file.name):
            file.replace(target / file.name)
    ours = {file.name for pattern in ("logo-*", "start.*") for file in target.glob(pattern)}
    for stale in ours - {file.name for file in fresh}:
        (target / stale).unlink()


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
