"""Get a verified micromamba into the root: found, fetched once, checked, removed. Never an unverified one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mambakernels import errors, paths
from mambakernels.bootstrap import obtaining, releases
from mambakernels.bootstrap.installed import Installed, Spot
from mambakernels.bootstrap.obtaining import Asked
from mambakernels.paths import Root
from mambakernels.progress import Progress, silent
from mambakernels.system import files
from mambakernels.system.locks import locked

PINNED = releases.PINNED
URL_VARIABLE = releases.MIRROR_VARIABLE
__all__ = ["PINNED", "URL_VARIABLE", "Installed", "check", "ensure", "find", "remove"]


def find(root: Root, *, subdir: str | None = None) -> Path | None:
    """Return the micromamba in the root, or None; it costs one look and reads nothing."""
    path = Spot.of(root, subdir).executable
    return path if path.is_file() else None


def ensure(
    root: Root,
    *,
    version: str | None = None,
    source: str | os.PathLike[str] | None = None,
    subdir: str | None = None,
    sha256: str | None = None,
    output: str | os.PathLike[str] | None = None,
    patience: float = 60.0,
    progress: Progress = silent,
) -> Installed:
    """Return the micromamba of the root, and fetch, verify and place it first if it is not there.

    `version`: None is whatever is there, else `PINNED`; `latest`. `source`: file, folder or address (`--from`).
    `subdir`: for which machine. `sha256`: of the executable, or of the archive it comes in. `output`: another folder.
    `patience`: seconds until something answers, all sources together (5 for `auto`). Raises HashMismatchError (always
    fatal), DownloadError (names every source, its answer, the ways out), EngineError (it does not run),
    InvalidRequestError or NotFoundError.
    """
    wanted = releases.release(version, subdir or paths.machine_subdir())
    asked = Asked(wanted, version is not None, _hash(sha256), source, patience, progress)
    spot = Spot.of(root, wanted.subdir, output)
    if there := asked.already(spot):
        return there
    with locked(root, "micromamba", progress=progress):
        return asked.already(spot) or obtaining.obtain(asked, spot)  # another process may just have made it


def check(root: Root, *, subdir: str | None = None) -> Installed:
    """Verify the one in the root against its record, offline; NotFoundError, HashMismatchError or EngineError."""
    spot = Spot.of(root, subdir)
    if not spot.executable.is_file():
        raise errors.NotFoundError(
            "There is no micromamba of ours.", where=str(spot.executable), next_step="Get it: mambakernels bootstrap"
        )
    record = spot.record()
    if record is None:
        raise errors.EngineError(
            "Nothing is recorded about this micromamba, so it cannot be verified.",
            where=str(spot.executable),
            next_step="Get it again: mambakernels bootstrap",
        )
    found = files.digest(spot.executable)
    if found != record.sha256:
        raise errors.HashMismatchError(
            f"This micromamba was changed: its SHA-256 is {found}, and it was installed with {record.sha256}.",
            where=str(spot.executable),
            next_step="Get it again: mambakernels bootstrap",
        )
    obtaining.version_of(spot.executable, record.subdir)
    return record


def remove(root: Root, *, subdir: str | None = None) -> bool:
    """Remove ours, and what interrupted downloads left; say whether there was one. One without a record is not ours."""
    spot = Spot.of(root, subdir)
    if not spot.folder.is_dir():
        return False
    with locked(root, "micromamba"):
        ours = spot.record_path.is_file() and spot.executable.is_file()
        for path in (*([spot.executable] if ours else []), spot.record_path, *spot.leftovers()):
            path.unlink(missing_ok=True)
        return ours


def _hash(given: str | None) -> str | None:
    text = given.strip().lower().removeprefix("sha256:") if given else None
    if text is not None and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise errors.InvalidRequestError("A SHA-256 has 64 hexadecimal digits.", where=given)
    return text
