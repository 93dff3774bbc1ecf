"""Engines solve and link conda packages: what they are asked, what they answer, and which one is chosen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from mambakernels import errors
from mambakernels.paths import Root
from mambakernels.progress import Progress, silent

# Seconds until something answers, all sources together: `auto` should take five, and the channel asks as well.
_PATIENCE = 2.5

# What an index says of a package beside its identity; an archive, which is older, may say otherwise.
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

_SHOWN = 8  # specs in a line of progress

EngineName = Literal["auto", "rattler", "micromamba"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Package:
    """One package: what its channel calls it and the hash of its archive.

    `record` is what the channel's index says of it (`depends`, `license`, `noarch`, …), where that is known.
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
            build=record.get("build_string") or record["build"],
            subdir=record["subdir"],
            url=record.get("url") or "",
            sha256=record.get("sha256") or "",
            record=kept,
        )

    @property
    def identity(self) -> Json:
        """All but the record, as JSON holds it."""
        return {key: value for key, value in vars(self).items() if key != "record"}

    @property
    def spec(self) -> str:
        """The match spec that no other package satisfies."""
        return f"{self.name}=={self.version}={self.build}"

    def __str__(self) -> str:
        return f"{self.name}={self.version}={self.build}"


@dataclass(frozen=True)
class Request:
    """What an environment is to hold: match specs, and the channels (URLs) that may serve them, first one first.

    `virtual` are virtual packages (`__glibc`: `2.28`) to take for granted; those of this machine by default.
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
        """Solve and link into `prefix`, with the path `final` written into the files; return what was linked."""

    def link(
        self, packages: Sequence[Package], prefix: Path, *, final: Path, cache: Path, progress: Progress = ...
    ) -> tuple[Package, ...]:
        """Link exactly these packages, by their URLs and hashes, into `prefix` as if it were `final`."""

    def close(self) -> None:
        """End what is kept running between calls; another call starts it again."""


def choose(
    name: EngineName = "auto",
    root: Root | None = None,
    *,
    executable: Path | None = None,
    fetch: bool = True,
    progress: Progress = silent,
) -> tuple[Engine, str]:
    """Return the engine and one line that says which it is and why; EngineError if it cannot be had.

    `auto` is a micromamba that is found, else one that can be fetched (unless `fetch` is false), else rattler.
    """
    from mambakernels.engines import micromamba, rattler

    place = root or Root.find()
    if name == "rattler":
        return rattler.Rattler(), "embedded rattler, as asked"
    found = micromamba.find(executable, root=place)
    if found is not None:
        engine = micromamba.Micromamba(found.path)
        return engine, f"micromamba {engine.version} at {found.path} ({found.where})"
    if name == "micromamba":
        return _fetched(place, progress)
    return _fetched_or_embedded(place, progress) if fetch else _embedded("no micromamba was found")


def _fetched(root: Root, progress: Progress) -> tuple[Engine, str]:
    from mambakernels.bootstrap import install
    from mambakernels.engines import micromamba

    ours = install(root, progress=progress)
    return micromamba.Micromamba(ours.path), f"micromamba {ours.version} at {ours.path} (fetched from {ours.source})"


def _fetched_or_embedded(root: Root, progress: Progress) -> tuple[Engine, str]:
    """Fetch micromamba, unless that was tried in vain a moment ago; one that is wrong is never passed over."""
    from mambakernels.bootstrap import install
    from mambakernels.bootstrap.sources import MIRROR_VARIABLE
    from mambakernels.system import reachable

    def ask() -> str | None:
        try:
            install(root, patience=_PATIENCE, progress=progress)
        except errors.HashMismatchError:
            raise
        except errors.DownloadError as error:
            return error.answer or error.what.splitlines()[0].rstrip(".")
        except errors.EngineError as error:
            return error.what.splitlines()[0].rstrip(".")
        return None

    problem = reachable.remembered(root, f"micromamba {os.environ.get(MIRROR_VARIABLE)}", ask)
    return (
        _embedded(f"there is no micromamba, and none can be fetched ({problem})")
        if problem
        else _fetched(root, progress)
    )


def _embedded(reason: str) -> tuple[Engine, str]:
    from mambakernels.engines import rattler

    return rattler.Rattler(), f"embedded rattler, as {reason}"


def in_words(specs: Sequence[str]) -> str:
    """Say in a line what is asked for: the first specs are the user's own."""
    shown, rest = specs[:_SHOWN], len(specs) - _SHOWN
    return " ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def conda_meta(prefix: Path) -> list[Json]:
    """Return what `conda-meta` says of each package in a prefix."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in (prefix / "conda-meta").glob("*.json")]


def installed(prefix: Path) -> tuple[Package, ...]:
    """Return the packages that `conda-meta` says are in a prefix, by name."""
    return by_name(map(Package.from_record, conda_meta(prefix)))


def by_name(packages: Iterable[Package]) -> tuple[Package, ...]:
    """Return packages in the order of their names."""
    return tuple(sorted(packages, key=lambda package: package.name))
