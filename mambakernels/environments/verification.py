"""Verification of an environment: its files against their hashes in `conda-meta`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mambakernels import engines, errors
from mambakernels.engines import EngineName
from mambakernels.environments import changes
from mambakernels.environments.environment import Environment, NameOrPath, get
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import files


@dataclass(frozen=True)
class Damage:
    """A file that differs from the one in its package."""

    path: str
    package: str
    kind: Literal["missing", "changed"]


@dataclass(frozen=True)
class Verification:
    """The number of files of an environment that were compared, and those that differ."""

    environment: str
    files: int
    damage: tuple[Damage, ...]


@storage_errors
def verify(
    name: NameOrPath,
    *,
    repair: bool = False,
    engine: EngineName = "auto",
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Verification:
    """Compare an environment's files with those its packages brought; `repair` links the damaged packages again.

    A file is compared by its SHA-256; a link must exist; bytecode may have been compiled again.
    """
    place = Root.find(root)
    found = _verified(get(name, place), progress)
    if not (repair and found.damage):
        return found
    changes.repair(name, {item.package for item in found.damage}, root=place, engine=engine, progress=progress)
    return _verified(get(name, place), progress)


def _verified(environment: Environment, progress: Progress) -> Verification:
    expected = list(_expected(environment))
    found: list[Damage] = []
    with ThreadPoolExecutor() as pool:
        for done, damage in enumerate(pool.map(lambda item: _damage(environment.prefix, *item), expected), 1):
            if damage is not None:
                found.append(damage)
            if done % 500 == 0 or done == len(expected):
                progress(Event("verify", environment.name, done, len(expected)))
    return Verification(environment.name, len(expected), (*_lost(environment), *found))


def _lost(environment: Environment) -> Iterator[Damage]:
    """Yield packages that the manifest names and `conda-meta` lacks."""
    for package in environment.packages:
        name = f"conda-meta/{package.name}-{package.version}-{package.build}.json"
        try:
            engines.read_record(environment.prefix / name)
        except errors.EngineError:
            kind: Literal["missing", "changed"] = "changed" if (environment.prefix / name).exists() else "missing"
            yield Damage(name, package.name, kind)


def _expected(environment: Environment) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in sorted(engines.record_files(environment.prefix)):
        try:
            content = engines.read_record(path)
        except errors.EngineError:
            continue  # `_lost` has it
        for entry in content.get("paths_data", {}).get("paths", []):
            yield content["name"], entry


def _damage(prefix: Path, package: str, entry: Mapping[str, Any]) -> Damage | None:
    name = entry["_path"]
    path = prefix / name
    if not os.path.lexists(path):
        return Damage(name, package, "missing")
    expected = entry.get("sha256_in_prefix") or entry.get("sha256")
    if not expected or name.endswith(".pyc") or path.is_symlink():
        return None
    return Damage(name, package, "changed") if files.digest(path) != expected else None
