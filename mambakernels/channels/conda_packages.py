"""Conda packages from staged folders, and channels from folders of packages: all that uses rattler-build."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

# A fixed time stamp: the same content always gives the same bytes.
_TIMESTAMP = datetime(2020, 1, 1, tzinfo=timezone.utc)
# 1 of 9: the packages stay on this machine, and 9 takes ten times as long.
_COMPRESSION = 1
_SCRATCH = ".build-"


@dataclass(frozen=True)
class Recipe:
    """The metadata of a package, whose files are a folder laid out like a prefix."""

    name: str
    version: str
    subdir: str
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    license: str | None = None
    license_files: tuple[Path, ...] = field(default=(), compare=False)
    summary: str | None = None
    homepage: str | None = None
    build_prefix: str = ""
    build_suffix: str = ""
    build_number: int = 0
    noarch: Literal["python", "generic"] | None = None


@contextmanager
def scratch(channel: Path) -> Iterator[Path]:
    """Yield an empty folder in a channel's folder for one build, and remove it at the end.

    It has a new name each time: the processes of a build that was killed may write to theirs for a moment longer.
    """
    remove_scratch(channel)
    channel.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=channel))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def has_scratch(channel: Path) -> bool:
    """Whether a build is going on in a channel's folder, or one that was killed has left something."""
    return any(channel.glob(f"{_SCRATCH}*"))


def remove_scratch(channel: Path) -> None:
    """Remove what builds that were killed have left in a channel's folder; none may be going on."""
    for left in channel.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


def build_string(recipe: Recipe, files: Path) -> str:
    """Return `<prefix>h<hash>_<number><suffix>`, where the hash covers every byte and the metadata.

    So a file name never gets new content, which package caches rely on.
    """
    digest = hashlib.sha256()
    facts = {key: value for key, value in asdict(recipe).items() if key != "license_files"}
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for path in _walk(files):
        relative = path.relative_to(files).as_posix()
        digest.update(f"\0{relative}\0{_kind(path)}\0".encode())
        digest.update(str(path.readlink()).encode() if path.is_symlink() else _content_hash(path))
    return f"{recipe.build_prefix}h{digest.hexdigest()[:8]}_{recipe.build_number}{recipe.build_suffix}"


def assemble(recipe: Recipe, files: Path, folder: Path) -> Path:
    """Write the package of the staged `files` into `folder` and return its path."""
    import rattler_build

    folder.mkdir(parents=True, exist_ok=True)
    output = rattler_build.assemble_package(
        recipe.name,
        recipe.version,
        recipe.subdir,
        build_string(recipe, files),
        folder,
        # collect_files() of rattler-build leaves hidden files out, and with files_dir empty packages fail
        files=[_entry(path, files) for path in _walk(files)],
        depends=list(recipe.depends),
        constrains=list(recipe.constrains),
        license=recipe.license,
        license_files=[str(path) for path in recipe.license_files],
        summary=recipe.summary,
        homepage=recipe.homepage,
        build_number=recipe.build_number,
        noarch=recipe.noarch,
        compression_level=_COMPRESSION,
        timestamp=_TIMESTAMP,
        detect_prefix=False,  # it looks for its own scratch folder; what we stage names no prefix at all
    )
    return Path(output.path)


def seed_index(channel: Path, scratch: Path, *, subdir: str) -> None:
    """Copy the packages and index of `channel` to `scratch`, so that only additions need indexing."""
    for part in {subdir, "noarch"}:
        (scratch / part).mkdir(parents=True)
        for package in (channel / part).glob("*.conda"):
            _link(package, scratch / part / package.name)
        if (channel / part / "repodata.json").exists():
            shutil.copy2(channel / part / "repodata.json", scratch / part)


def unpack(package: Path, folder: Path) -> None:
    """Unpack a package file into a folder."""
    from rattler.package_streaming import extract

    extract(package, folder)


def write_index(channel: Path) -> None:
    """Index a channel folder as plain `repodata.json`, without reading indexed packages again.

    That is safe because a package's file name never gets new content (`build_string`).
    """
    from rattler.index import index_fs

    asyncio.run(index_fs(channel, write_zst=False, write_shards=False))


def publish(scratch: Path, channel: Path, *, members: Iterable[str], subdir: str) -> None:
    """Publish `scratch` (on the same file system) as `channel`, with exactly `members` in its index.

    Readers see the old index or the new one; a package is in place before an index names it.
    """
    kept = set(members)
    for package in (scratch / subdir).glob("*.conda"):
        if package.name not in kept:
            package.unlink()
    write_index(scratch)
    for part in {subdir, "noarch"}:
        (channel / part).mkdir(parents=True, exist_ok=True)
        for package in (scratch / part).glob("*.conda"):
            package.replace(channel / part / package.name)
        (scratch / part / "repodata.json").replace(channel / part / "repodata.json")


def records(channel: Path, subdir: str) -> dict[str, dict[str, Any]]:
    """Return the records in a channel's index by package file; none if there is no index."""
    try:
        text = (channel / subdir / "repodata.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    packages: dict[str, dict[str, Any]] = json.loads(text).get("packages.conda", {})
    return packages


def _walk(files: Path) -> Iterator[Path]:
    """Yield all files and links, in an order that does not depend on the file system."""
    for folder, folders, names in os.walk(files):
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names + linked))


def _entry(path: Path, root: Path) -> Any:
    import rattler_build

    return rattler_build.FileEntry.from_paths(path, path.relative_to(root))


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "link"
    return "executable" if path.stat().st_mode & stat.S_IXUSR else "file"


def _content_hash(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.sha256(stream.read()).digest()


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
