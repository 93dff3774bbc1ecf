"""Cleanup of the package cache and of the leftovers of killed processes; files in use stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mambakernels.environments.environment import Location, recover
from mambakernels.paths import PathLike, Root, disk_usage, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.system import reachable
from mambakernels.system.files import remove_tree
from mambakernels.system.locks import locked, nobody_using_packages

_STAGED = re.compile(r"\.(.+)\.[0-9a-f]{8}(\.old)?")


@dataclass(frozen=True)
class Cleaned:
    """A folder that was deleted, or after a dry run would be, and the number of bytes that frees."""

    path: Path
    size: int


@storage_errors
def clean(root: PathLike | None = None, *, dry_run: bool = False, progress: Progress = silent) -> list[Cleaned]:
    """Delete the package cache and the leftovers of killed processes, and return them; environments keep working.

    Waits for processes that use these folders. Also forgets which sources could be reached a moment ago.
    """
    root = Root.find(root)
    found = [Cleaned(path, disk_usage(path).own) for path in _leftovers(root)]
    if dry_run:
        return found
    reachable.forget(root)
    for item in found:
        with _unused(item.path, root, progress):
            remove_tree(item.path, ignore_errors=True)
    return found


def _leftovers(root: Root) -> list[Path]:
    hidden = [path for path in root.environments.glob(".*") if _STAGED.fullmatch(path.name)]
    kept = [path for path in (root.trash, root.packages) if path.is_dir() and any(path.iterdir())]
    return [*(path for path in hidden if path.is_dir()), *kept]


@contextmanager
def _unused(path: Path, root: Root, progress: Progress) -> Iterator[None]:
    """Wait until no process uses a folder; first, an environment whose change was killed is recovered."""
    if path == root.packages:
        with nobody_using_packages(root, progress=progress):
            yield
    elif path == root.trash:
        with locked(root, "trash", progress=progress):
            yield
    else:
        name = path.name[1:].removesuffix(".old").rpartition(".")[0]
        place = Location(name, root.environments / name, root)
        with locked(root, place.lock, progress=progress):
            recover(place)
            yield
