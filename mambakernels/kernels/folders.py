"""Jupyter data folders with kernelspecs: those on Jupyter's path, and others that registrations have used."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mambakernels import paths
from mambakernels.errors import InvalidRequestError
from mambakernels.paths import PathLike, Root
from mambakernels.system.files import write_atomically

USER, SYS_PREFIX = "user", "sys-prefix"


def data_folder(where: PathLike = USER) -> Path:
    """Return the data folder of `user`, of `sys-prefix` (this Python's), or of a path."""
    if where == USER:
        return paths.jupyter_data().absolute()
    if where == SYS_PREFIX:
        return of_prefix(sys.prefix)
    return folder_at(where)


def of_prefix(prefix: PathLike) -> Path:
    """Return the data folder of an installation prefix, as `jupyter kernelspec install --prefix` does."""
    return folder_at(prefix) / "share" / "jupyter"


def folder_at(folder: PathLike) -> Path:
    """Return the folder at a path; InvalidRequestError for an empty one, which would be the working directory."""
    if not os.fspath(folder):
        raise InvalidRequestError(
            "The name of the Jupyter folder is empty.", next_step="Name a folder, user or sys-prefix."
        )
    return Path(folder).expanduser().absolute()


def searched() -> list[Path]:
    """Return the data folders on Jupyter's path, in its order."""
    from jupyter_core.paths import jupyter_path

    # The last is IPython's old folder, which Jupyter still searches.
    ipython = Path(os.environ.get("IPYTHONDIR") or "~/.ipython").expanduser()
    return list(dict.fromkeys([*(Path(folder).absolute() for folder in jupyter_path()), ipython.absolute()]))


def folders_of_root(root: Root) -> list[Path]:
    """Return all data folders that may hold kernelspecs of a root's environments."""
    return list(dict.fromkeys([data_folder(), *searched(), *_recorded(root)]))


def record(root: Root, data_dir: Path) -> None:
    """Remember a data folder, so that its kernelspecs are found when Jupyter's path changes."""
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    if not (root.jupyter_folders / name).exists():
        write_atomically(root.jupyter_folders / name, os.fsencode(data_dir))


def _recorded(root: Root) -> Iterator[Path]:
    if root.jupyter_folders.is_dir():
        for file in sorted(root.jupyter_folders.iterdir()):
            if not file.name.startswith("."):
                yield Path(os.fsdecode(file.read_bytes()))
