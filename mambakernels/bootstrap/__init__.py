"""A verified micromamba in the root: found, downloaded once, checked, removed. An unverified one is never installed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mambakernels import errors, paths
from mambakernels.bootstrap import sources
from mambakernels.bootstrap.installed import Destination, Installed
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.system import files
from mambakernels.system.locks import locked

_GET_IT_AGAIN = "Get it again: mambakernels bootstrap"


def find(root: Root, *, subdir: str | None = None) -> Path | None:
    """Return the micromamba in the root, or None; this reads no file."""
    path = Destination.of(root, subdir).executable
    return path if path.is_file() else None


@storage_errors
def install(
    root: PathLike | None = None,
    *,
    version: str | None = None,
    source: PathLike | None = None,
    subdir: str | None = None,
    sha256: str | None = None,
    output: PathLike | None = None,
    patience: float = 60.0,
    progress: Progress = silent,
) -> Installed:
    """Return the micromamba of the root; download, verify and install it first if it is not there.

    `version`: None is the installed one, else the pinned one; `latest`. `source`: a file, folder or address.
    `subdir`: for which machine. `sha256`: of the executable, or of the archive it comes in. `output`: another folder.
    `patience`: seconds until something answers, all sources together. Raises HashMismatchError (no other source is
    asked), DownloadError (names every source, its answer, the ways out), EngineError (it does not run),
    InvalidRequestError or NotFoundError.
    """
    root = Root.find(root)
    release = sources.release(version, subdir or paths.machine_subdir())
    digest = _checked(sha256)
    place = Destination.of(root, release.subdir, output)

    def present() -> Installed | None:
        there = place.whole() if source is None else None  # a source that is named is always read
        if there and (version is None or release.version == there.version) and digest in {None, there.sha256}:
            return there
        return None

    if found := present():
        return found
    from mambakernels.bootstrap.search import Search  # imports requests

    search = Search(release, place, version is not None, digest, source, patience, progress)
    with locked(root, "micromamba", progress=progress):
        return present() or search.run()  # another process may have installed it meanwhile


@storage_errors
def check(root: PathLike | None = None, *, subdir: str | None = None) -> Installed:
    """Verify the one in the root against its record, offline; NotFoundError, HashMismatchError or EngineError."""
    from mambakernels.bootstrap.search import version_of

    root = Root.find(root)
    place = Destination.of(root, subdir)
    where = str(place.executable)
    if not place.executable.is_file():
        raise errors.NotFoundError(
            "mambakernels has not installed a micromamba here.", where=where, next_step="Get it: mambakernels bootstrap"
        )
    record = place.record()
    if record is None:
        raise errors.EngineError(
            "Nothing is recorded about this micromamba, so it cannot be verified.",
            where=where,
            next_step=_GET_IT_AGAIN,
        )
    found = files.digest(place.executable)
    if found != record.sha256:
        raise errors.HashMismatchError(
            f"This micromamba was changed after it was installed: its SHA-256 is {found}, recorded is {record.sha256}.",
            where=where,
            next_step=_GET_IT_AGAIN,
        )
    version_of(place.executable, record.subdir, where=where)
    return record


@storage_errors
def remove(root: PathLike | None = None, *, subdir: str | None = None) -> bool:
    """Remove the micromamba of the root and say whether there was one; one without a record is not ours and stays."""
    root = Root.find(root)
    place = Destination.of(root, subdir)
    if not place.folder.is_dir():
        return False
    with locked(root, "micromamba"):
        ours = place.record_path.is_file() and place.executable.is_file()
        if ours:
            place.executable.unlink()
        place.record_path.unlink(missing_ok=True)
        shutil.rmtree(place.staging, ignore_errors=True)
        return ours


def _checked(given: str | None) -> str | None:
    text = given.strip().lower().removeprefix("sha256:") if given else None
    if text is not None and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise errors.InvalidRequestError("A SHA-256 has 64 hexadecimal digits.", where=given)
    return text
