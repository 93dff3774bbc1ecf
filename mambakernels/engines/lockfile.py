"""Lockfiles in the format of rattler and pixi: exact packages per subdir, written and read in a worker."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mambakernels import errors
from mambakernels.engines import Package
from mambakernels.progress import Progress
from mambakernels.system import files, process

# pixi's name for the only environment of a project.
_ENVIRONMENT = "default"


@dataclass(frozen=True)
class Lockfile:
    """The content of a lockfile: channels, and for each subdir the conda packages and pip's requirements."""

    channels: tuple[str, ...]
    packages: Mapping[str, tuple[Package, ...]]
    pip: Mapping[str, tuple[str, ...]]


def write(path: Path, content: Lockfile) -> None:
    """Write a lockfile; the packages need their records."""
    files.write_atomically(path, text(content))


def text(content: Lockfile) -> str:
    """Return a lockfile as text; the packages need their records."""
    packages = {
        subdir: [{**package.record, **package.identity} for package in found]
        for subdir, found in content.packages.items()
    }
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
        path = Path(folder) / "lock"
        message = {"do": "write", "path": str(path), "channels": content.channels, "packages": packages}
        process.Worker(__name__).call(message)
        return path.read_text(encoding="utf-8")


def read(path: Path) -> Lockfile:
    """Read a lockfile; InvalidRequestError if it is not one, or has a package that only other tools can install."""
    if not path.is_file():
        raise errors.NotFoundError(
            "There is no such lockfile.", where=str(path), next_step="Make one: mambakernels lock NAME -o FILE.lock"
        )
    answer = process.Worker(__name__).call({"do": "read", "path": str(path.absolute())})
    return Lockfile(
        channels=tuple(answer["channels"]),
        packages={subdir: tuple(map(Package.from_record, records)) for subdir, records in answer["packages"].items()},
        pip={subdir: tuple(requirements) for subdir, requirements in answer["pip"].items()},
    )


# ------------------------------------------------------------------------------------------------- in the child


def work(message: process.Json, progress: Progress) -> process.Json:
    """Read or write, as a message of the parent says."""
    del progress
    path = Path(message["path"])
    return _read(path) if message["do"] == "read" else _write(path, message["channels"], message["packages"])


def _write(path: Path, channels: Sequence[str], packages: Mapping[str, Sequence[process.Json]]) -> process.Json:
    import rattler

    from mambakernels.engines.rattler import from_json

    platforms = {subdir: rattler.LockPlatform(subdir) for subdir in packages}
    lock = rattler.LockFile(list(platforms.values()))
    lock.set_channels(_ENVIRONMENT, [rattler.LockChannel(url) for url in channels])
    for subdir, records in packages.items():
        for record in records:
            lock.add_conda_package(_ENVIRONMENT, platforms[subdir], from_json(record))
    lock.to_path(path)
    return {}


def _read(path: Path) -> process.Json:
    import rattler

    try:
        lock = rattler.LockFile.from_path(path)
    except Exception as error:  # rattler raises no specific class here
        raise errors.InvalidRequestError(f"This lockfile cannot be read: {error}.", where=str(path)) from error
    environment = lock.environment(_ENVIRONMENT) or next((item for _, item in lock.environments()), None)
    if environment is None:
        raise errors.InvalidRequestError("This lockfile has no environment.", where=str(path))
    found: dict[str, list[Any]] = {}
    pip: dict[str, list[str]] = {}
    for platform in environment.platforms():
        for package in environment.packages(platform) or []:
            _sort_in(package, found.setdefault(str(platform), []), pip.setdefault(str(platform), []), path)
    channels = [str(channel) for channel in environment.channels()]
    return {"channels": channels, "packages": found, "pip": pip}


def _sort_in(package: Any, conda: list[Any], pip: list[str], path: Path) -> None:
    import rattler

    if isinstance(package, rattler.CondaLockedBinaryPackage):
        conda.append(json.loads(package.repo_data_record().to_json()))
    elif isinstance(package, rattler.PypiLockedPackage):
        pip.append(f"{package.name} @ {package.location}")
    else:
        raise errors.InvalidRequestError(
            f"The package {package.name} in this lockfile must be built from source, which mambakernels cannot do.",
            where=str(path),
        )
