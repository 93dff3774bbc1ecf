"""Engines, which solve and link conda packages: their protocol, and the choice of one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from mambakernels import errors
from mambakernels.paths import Root
from mambakernels.progress import Progress, silent

# Seconds for all sources of micromamba together: `auto` may take five, and the channel needs some of them.
_PATIENCE = 2.5

# The fields of an index, in addition to a package's identity. An archive, which is older, may have other values.
_INDEXED = (
    "build_number",
    "depends",
    "constrains",
    "extra_depends",
    "features",
    "license",
    "license_family",
    "md5",
    "noarch",
    "python_site_packages_path",
    "size",
    "timestamp",
    "track_features",
)

_RECORD_NAME = re.compile(r"[^.].*-[^-]+-[^-]+\.json")
_SPECS_SHOWN = 8  # in a line of progress

EngineName = Literal["auto", "rattler", "micromamba"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Package:
    """One package: its identity in its channel, and the hash of its archive.

    `record` are the fields of the channel's index (`depends`, `license`, `noarch`, …), where they are known.
    """

    name: str
    version: str
    build: str
    subdir: str
    url: str
    sha256: str
    record: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Package:
        """Read a record of an index, a lockfile or `conda-meta`."""
        kept = {key: record[key] for key in _INDEXED if record.get(key) not in (None, "")}
        return cls(
            name=record["name"],
            version=record["version"],
            build=str(record.get("build_string") or record.get("build") or ""),
            subdir=str(record.get("subdir") or "noarch"),
            url=record.get("url") or "",
            sha256=record.get("sha256") or "",
            record=kept,
        )

    @property
    def identity(self) -> Json:
        """All fields but the record, for JSON."""
        return {key: value for key, value in vars(self).items() if key != "record"}

    @property
    def spec(self) -> str:
        """The match spec that no other package satisfies."""
        return f"{self.name}=={self.version}={self.build}"

    def __str__(self) -> str:
        return f"{self.name}={self.version}={self.build}"


@dataclass(frozen=True)
class Request:
    """The match specs to solve, and the channels (URLs) to solve them from, the first with the highest priority.

    `virtual` are the virtual packages to assume (`__glibc`: `2.28`); those of this machine by default.
    """

    specs: tuple[str, ...]
    channels: tuple[str, ...]
    subdir: str
    virtual: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """A program that solves and links conda packages."""

    @property
    def name(self) -> str:
        """`rattler` or `micromamba`."""

    @property
    def version(self) -> str:
        """The engine's own version."""

    def solve(self, request: Request, *, cache: Path, progress: Progress = ...) -> tuple[Package, ...]:
        """Return the packages that satisfy the request; SolveError with the solver's explanation if none do."""

    def create(
        self, request: Request, prefix: Path, *, final: Path, cache: Path, progress: Progress = ...
    ) -> tuple[Package, ...]:
        """Solve and link into `prefix`, with the path `final` written into the files; return the packages linked."""

    def link(
        self, packages: Sequence[Package], prefix: Path, *, final: Path, cache: Path, progress: Progress = ...
    ) -> tuple[Package, ...]:
        """Link exactly these packages, by URL and hash, into `prefix`, with the path `final` written into the files."""

    def close(self) -> None:
        """End the processes that are kept between calls; another call starts them again."""


def choose(
    name: EngineName = "auto",
    root: Root | None = None,
    *,
    fetch: bool = True,
    progress: Progress = silent,
) -> tuple[Engine, str]:
    """Return the engine and one line that says which it is and why; EngineError if there is none.

    `auto` is a micromamba that is found, else one that can be downloaded (unless `fetch` is false), else rattler.
    """
    from mambakernels.bootstrap import install
    from mambakernels.engines import micromamba, rattler

    if name == "rattler":
        return rattler.Rattler(), "embedded rattler, as requested"
    place = root or Root.find()
    if found := micromamba.find(place):
        engine = micromamba.Micromamba(found.path)
        return engine, f"micromamba {engine.version} at {found.path} ({found.where})"
    if name == "auto":
        problem = _download_problem(place, progress) if fetch else "no micromamba was found"
        if problem:
            return rattler.Rattler(), f"embedded rattler, as {problem}"
    ours = install(place, progress=progress)
    return micromamba.Micromamba(ours.path), f"micromamba {ours.version} at {ours.path} (fetched from {ours.source})"


def _download_problem(root: Root, progress: Progress) -> str | None:
    """Install micromamba, unless a moment ago that failed, and return why it failed; a wrong hash is an error."""
    from mambakernels.bootstrap import install
    from mambakernels.bootstrap.sources import MIRROR_VARIABLE
    from mambakernels.system import reachable

    def ask() -> str | None:
        try:
            install(root, patience=_PATIENCE, progress=progress)
        except errors.HashMismatchError:
            raise
        except (errors.DownloadError, errors.EngineError) as error:
            return getattr(error, "answer", "") or error.what.splitlines()[0].rstrip(".")
        return None

    why_not = reachable.remembered(root, f"micromamba {os.environ.get(MIRROR_VARIABLE)}", ask)
    return why_not and f"there is no micromamba, and none can be fetched ({why_not})"


def in_words(specs: Sequence[str]) -> str:
    """Return the first specs, which are the user's, in one line."""
    shown, rest = specs[:_SPECS_SHOWN], len(specs) - _SPECS_SHOWN
    return " ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def conda_meta(prefix: Path) -> list[Json]:
    """Return the records in `conda-meta`, one for each package in a prefix; EngineError names one that is damaged.

    As conda does, files whose names are not `NAME-VERSION-BUILD.json` of their content are ignored.
    """
    found = ((path, read_record(path)) for path in record_files(prefix))
    return [record for path, record in found if _stem(record) == path.stem]


def record_files(prefix: Path) -> list[Path]:
    """Return the files in `conda-meta` whose names may be those of records; macOS adds hidden ones to some disks."""
    paths = (prefix / "conda-meta").glob("*.json")
    return [path for path in paths if _RECORD_NAME.fullmatch(path.name) and path.is_file()]


def read_record(path: Path) -> Json:
    """Return the record in a file; EngineError if it holds none."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, RecursionError, ValueError) as error:
        raise _damaged_record(path, str(error)) from error
    texts = [record.get(key) for key in ("name", "version")] if isinstance(record, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise _damaged_record(path, "it is not an object with a name and a version")
    return dict(record)


def _stem(record: Json) -> str:
    return f"{record['name']}-{record['version']}-{record.get('build_string') or record.get('build')}"


def _damaged_record(path: Path, why: str) -> errors.EngineError:
    name = path.name.rsplit("-", 2)[0]
    return errors.EngineError(
        f"The record of the package {name} is damaged: {why}.",
        where=str(path),
        next_step=f"Install the package again: mambakernels verify ENVIRONMENT --repair, "
        f"or with the program that made the environment: conda install --force-reinstall {name}",
    )


def installed(prefix: Path) -> tuple[Package, ...]:
    """Return the packages in a prefix, from `conda-meta`, in the order of their names."""
    return by_name(map(Package.from_record, conda_meta(prefix)))


def by_name(packages: Iterable[Package]) -> tuple[Package, ...]:
    """Return packages in the order of their names."""
    return tuple(sorted(packages, key=lambda package: package.name))
