"""Environments with their kernels, as the panel lists them, and a cheap look at whether they have changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import mambakernels
from mambakernels.environments import MANIFEST, Environment
from mambakernels.kernels import KernelSpec, folders
from mambakernels.kernels.blas import TITLES
from mambakernels.numeric.rules import Finding
from mambakernels.paths import Root

Stamps = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ListedEnvironment:
    """One environment with its kernels; `environment` is None if it is not one of the root's, or gone."""

    name: str
    prefix: Path
    environment: Environment | None = None
    kernels: tuple[KernelSpec, ...] = ()

    @property
    def argument(self) -> str:
        """What names it in a call: its name, or its path where it is elsewhere."""
        return self.name if self.environment else str(self.prefix)

    @property
    def blas(self) -> str:
        """The title of its BLAS, or nothing."""
        name = self.environment.blas if self.environment else next((kernel.blas for kernel in self.kernels), None)
        return TITLES.get(name or "", name or "")

    @property
    def state(self) -> str:
        """Whether its kernels can start, in words."""
        if not self.kernels:
            return "no kernel"
        if all(kernel.working for kernel in self.kernels):
            return "ready"
        return "cannot start" if self.prefix.exists() else "is gone"


@dataclass(frozen=True)
class Overview:
    """The environments of a root and those with our kernels, by prefix."""

    entries: Mapping[str, ListedEnvironment]

    @cached_property
    def kernels(self) -> dict[Path, KernelSpec]:
        """All kernels, by their folder."""
        return {kernel.path: kernel for entry in self.entries.values() for kernel in entry.kernels}

    def key_of(self, finding: Finding) -> str:
        """Return the key of the environment that a finding is about; nothing if it is about none of these."""
        if finding.path is None:
            return ""
        kernel = self.kernels.get(finding.path)
        key = _key(finding.path if kernel is None else kernel.prefix)
        return key if key in self.entries else ""

    def by_key(self, findings: Iterable[Finding]) -> dict[str, list[Finding]]:
        """Return findings by the key of their environment; those about the session have an empty one."""
        found: dict[str, list[Finding]] = {}
        for finding in findings:
            found.setdefault(self.key_of(finding), []).append(finding)
        return found

    def changes_since(self, before: Overview) -> list[str]:
        """Return what is different, in words; a kernel that comes or goes with its environment is not mentioned."""
        return [*self._environments_since(before), *self._kernels_since(before)]

    def _environments_since(self, before: Overview) -> Iterator[str]:
        for key in [*before.entries, *(key for key in self.entries if key not in before.entries)]:
            then, now = before.entries.get(key), self.entries.get(key)
            if now is None:
                yield f"{before.entries[key].name} was removed"
            elif then is None:
                yield f"{now.name} was added"
            elif then.environment != now.environment:
                yield f"{now.name} was changed"

    def _kernels_since(self, before: Overview) -> Iterator[str]:
        old, new = before.kernels, self.kernels
        for path in [*old, *(path for path in new if path not in old)]:
            then, now = old.get(path), new.get(path)
            spec = now or then
            if then == now or spec is None:
                continue
            key = _key(spec.prefix)
            if key in before.entries and key in self.entries:
                word = "registered" if then is None else "removed" if now is None else "changed"
                yield f"the kernel {spec.name} was {word}"


def look(root: Root) -> Overview:
    """Read the environments of a root and all our kernels."""
    found = {
        _key(made.prefix): ListedEnvironment(made.name, made.prefix, made) for made in mambakernels.list(root=root)
    }
    for kernel in mambakernels.kernels.list(root=root):
        entry = found.get(_key(kernel.prefix)) or ListedEnvironment(kernel.environment, kernel.prefix)
        found[_key(kernel.prefix)] = replace(entry, kernels=(*entry.kernels, kernel))
    return Overview(dict(sorted(found.items(), key=lambda item: (item[1].name, item[0]))))


def stamps(root: Root) -> Stamps:
    """Return the times at which environments and kernels were last written: equal as long as nothing has changed."""
    places = [(root.environments, MANIFEST)]
    places += [(folder / "kernels", "kernel.json") for folder in folders.folders_of_root(root)]
    return tuple(stamp for folder, file in places for stamp in _stamps(folder, file))


def _stamps(folder: Path, file: str) -> Iterator[tuple[str, int]]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 (as below)
    except OSError:  # not there, or not readable
        return
    for path in (f"{folder}/{name}/{file}" for name in names if not name.startswith(".")):
        try:
            yield path, os.stat(path).st_mtime_ns  # noqa: PTH116 (a Path for each takes longer than all the rest)
        except OSError:
            yield path, 0


def _key(prefix: Path) -> str:
    return os.path.realpath(prefix)
