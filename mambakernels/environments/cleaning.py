"""Cleaning up: the package cache, and what processes that were killed left; nothing that anything uses."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from mambakernels import verdicts
from mambakernels.environments.environment import Place, recover
from mambakernels.locks import locked, nobody_using_packages
from mambakernels.paths import Root, size_on_disk
from mambakernels.progress import Progress, silent

_STAGED = re.compile(r"\.(.+)\.[0-9a-f]{8}(\.old)?")


@dataclass(frozen=True)
class Cleaned:
    """A folder that was, or would be, deleted, and the bytes that frees."""

    path: Path
    size: int


def clean(root: Root, *, dry_run: bool = False, progress: Progress = silent) -> list[Cleaned]:
    """Delete the package cache and leftovers, waiting for whoever is using them; environments keep working.

    What could be reached a moment ago is forgotten as well.
    """
    found = [Cleaned(path, size_on_disk(path)) for path in _leftovers(root)]
    if dry_run:
        return found
    verdicts.forget(root)
    with nobody_using_packages(root, progress=progress):
        for item in found:
            _delete(item.path, root)
    return found


def _leftovers(root: Root) -> list[Path]:
    hidden = [path for path in root.environments.glob(".*") if _STAGED.fullmatch(path.name)]
    return [path for path in (*hidden, root.trash, root.packages) if path.is_dir()]


def _delete(path: Path, root: Root) -> None:
    """Delete a folder; one that belongs to an environment only if nobody is at work on that."""
    match = _STAGED.fullmatch(path.name) if path.parent == root.environments else None
    if match is None:
        shutil.rmtree(path)
        return
    place = Place(match[1], root.environments / match[1], root)
    with locked(root, place.lock):
        recover(place)
