"""Engines solve and link conda packages: what they are asked, what they answer, and which one is chosen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from mambakernels import errors
from mambakernels.progress import Progress

# Below this many files, more processes take longer to start than they save.
_WORTH_PROCESSES = 200

EngineName = Literal["auto", "rattler", "micromamba"]


@dataclass(frozen=True)
class Package:
    """One package: what its channel calls it and the hash of its archive."""

    name: str
    version: str
    build: str
    subdir: str
    url: str
    sha256: str

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Package:
        """Read a record of an index, a lockfile or `conda-meta`."""
        return cls(
            name=record["name"],
            version=record["version"],
            build=record.get("build_string") or record["build"],
            subdir=record["subdir"],
            url=record["url"],
            sha256=record.get("sha256") or "",
        )

    def __str__(self) -> str:
        return f"{self.name}={self.version}={self.build}"


@dataclass(frozen=True)
class Request:
    """What an environment is to hold: match specs, and the channels (URLs) that may serve them, first one first."""

    specs: tuple[str, ...]
    channels: tuple[str, ...]
    subdir: str


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


def choose(name: EngineName = "auto", *, executable: Path | None = None) -> tuple[Engine, str]:
    """Return the engine and one line that says which it is and why; EngineError if it cannot be had."""
    from mambakernels.engines import micromamba, rattler

    if name == "rattler":
        return rattler.Rattler(), "embedded rattler, as asked"
    found = micromamba.find(executable)
    if name == "micromamba":
        if found is None:
            raise errors.EngineError(
                "No micromamba was found: not in MAMBA_EXE, not on PATH.",
                next_step="Install it and set MAMBA_EXE to it, or use the embedded engine: --engine rattler.",
            )
        return micromamba.Micromamba(found.path), f"micromamba at {found.path} ({found.where})"
    if found is None:
        return rattler.Rattler(), "embedded rattler, as no micromamba was found"
    return micromamba.Micromamba(found.path), f"micromamba at {found.path} ({found.where})"


def installed(prefix: Path) -> tuple[Package, ...]:
    """Return the packages that `conda-meta` says are in a prefix, by name."""
    found = [
        Package.from_record(json.loads(path.read_text(encoding="utf-8")))
        for path in (prefix / "conda-meta").glob("*.json")
    ]
    return tuple(sorted(found, key=lambda package: package.name))


def compile_missing(prefix: Path, files: Iterable[str], *, final: Path) -> None:
    """Compile files (relative paths) of a prefix that will be at `final`, with its own Python.

    A few files for the very version we run are compiled right here: starting another Python takes longer.
    """
    sources = [prefix / name for name in files]
    our_version = "python{}.{}".format(*sys.version_info)
    if len(sources) < _WORTH_PROCESSES and (prefix / "lib" / our_version).is_dir():
        import compileall

        for source in sources:
            compileall.compile_file(source, quiet=2, stripdir=str(prefix), prependdir=str(final))
        return
    from mambakernels import process

    listing = prefix / "conda-meta" / "to-compile.txt"
    listing.write_text("".join(f"{source}\n" for source in sources), encoding="utf-8")
    try:
        command = [str(prefix / "bin" / "python"), "-I", "-m", "compileall", "-qq", "-j", "0"]
        process.stream([*command, "-i", listing, "-s", prefix, "-p", final], own_session=False)
    finally:
        listing.unlink()
