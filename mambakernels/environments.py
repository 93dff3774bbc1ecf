"""Environments: specs, manifests, create, list, remove: each atomic and locked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mambakernels.paths import Root


@dataclass(frozen=True)
class Package:
    """One package of an environment, as its channel calls it."""

    name: str
    version: str
    build: str
    subdir: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Environment:
    """A prefix that an engine made, with what its manifest says of it."""

    name: str
    prefix: Path
    root: Root
    specs: tuple[str, ...]
    channels: tuple[str, ...]
    engine: str
    packages: tuple[Package, ...]
    created: str

    def package(self, name: str) -> Package | None:
        """Return the installed package of that name, or None."""
        return next((package for package in self.packages if package.name == name), None)

    @property
    def python(self) -> Path:
        """The environment's own Python (which need not exist: not every environment has one)."""
        return self.prefix / "bin" / "python"

    @property
    def blas(self) -> str | None:
        """Which BLAS the environment was made with (`mkl`, `openblas`, …), from libblas' build string."""
        libblas = self.package("libblas")
        return libblas.build.rpartition("_")[2] if libblas else None
