"""Cleanup of the package cache and of the leftovers of killed processes; files in use stay."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mambakernels import bootstrap
from mambakernels.bootstrap.installed import Destination
from mambakernels.environments.environment import Location, recover
from mambakernels.paths import PathLike, Root, disk_usage, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.system import reachable
from mambakernels.system.files import remove_tree
from mambakernels.system.locks import locked, nobody_using_packages

_WITHOUT_ENVIRONMENTS = ("workers", "jupyter-folders", "demo.json")  # what is known of environments that are gone
_STAGED = re.compile(r"\.(.+)\.[0-9a-f]{8}(\.old)?")


@dataclass(frozen=True)
class Cleaned:
    """A folder that was deleted, or after a dry run would be, and the number of bytes that frees."""

    path: Path
    size: int


@storage_errors
def clean_root(
    root: PathLike | None = None,
    *,
    everything: bool = False,
    dry_run: bool = False,
    unused: Iterable[Path] = (),
    progress: Progress = silent,
) -> list[Cleaned]:
    """Delete the package cache and the leftovers of killed processes, and return them; environments keep working.

    With `everything`, also what is made or downloaded again when it is needed: the `wheels` channel and micromamba.
    Only environments are left, with their kernels and locks; without any, nothing is. `unused` are further folders of
    the root to delete. Waits for processes that use these folders. Also forgets which sources could be reached a
    moment ago.
    """
    root = Root.find(root)
    found = [Cleaned(path, disk_usage(path).own) for path in (*_leftovers(root), *unused)]
    found += [Cleaned(path, disk_usage(path).own) for path in (_remakable(root) if everything else ())]
    if dry_run:
        return found
    reachable.forget(root)
    for item in found:
        with _unused(item.path, root, progress):
            _delete(item.path, root)
    for path in (root.trash, root.numeric, root.path) if everything else ():
        with contextlib.suppress(OSError):  # environments are left, or files of others
            path.rmdir()
    return found


def _leftovers(root: Root) -> list[Path]:
    hidden = [path for path in root.environments.glob(".*") if _STAGED.fullmatch(path.name)]
    kept = [path for path in (root.trash, root.packages) if path.is_dir() and any(path.iterdir())]
    return [*(path for path in hidden if path.is_dir()), *kept]


def _remakable(root: Root) -> list[Path]:
    """Return what nothing needs to keep: of a root without environments, all of ours; its locks last."""
    kept = [root.channels, *([root.path / "bin"] if Destination.of(root).record_path.is_file() else [])]
    if not any(path for path in root.environments.glob("*") if not path.name.startswith(".")):
        kept += [root.path / name for name in _WITHOUT_ENVIRONMENTS] + [root.environments, root.locks]
    return [path for path in kept if path.exists()]


def _delete(path: Path, root: Root) -> None:
    if path == root.path / "bin":
        bootstrap.remove(root)  # another program's micromamba stays
        with contextlib.suppress(OSError):
            path.rmdir()
    elif path == root.environments:
        with contextlib.suppress(OSError):  # one has just been made
            path.rmdir()
    elif path.is_dir():
        remove_tree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _unused(path: Path, root: Root, progress: Progress) -> Iterator[None]:
    """Wait until no process uses a folder; first, an environment whose change was killed is recovered."""
    if path in {root.packages, root.channels}:
        with nobody_using_packages(root, progress=progress):
            yield
    elif path == root.trash:
        with locked(root, "trash", progress=progress):
            yield
    elif path.parent in {root.path, root.numeric}:
        yield
    else:
        name = path.name[1:].removesuffix(".old").rpartition(".")[0]
        place = Location(name, root.environments / name, root)
        with locked(root, place.lock, progress=progress):
            recover(place)
            yield
