"""What the checks look at, gathered once: our kernels, everyone's kernelspecs, the environments, the machine."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from mambakernels import environments, errors, kernels
from mambakernels.doctor.prefixes import Prefix, names_in
from mambakernels.doctor.records import Reader
from mambakernels.environments import Environment
from mambakernels.kernels import commands, damaged, folders
from mambakernels.kernels.specs import MARK, Json, KernelSpec, load
from mambakernels.kernels.threads import available, within
from mambakernels.numeric.machine import cpu_quota
from mambakernels.paths import Root


@dataclass(frozen=True)
class Machine:
    """The cores that this process may use, and how many cores' worth of time its control groups allow, if limited."""

    cores: int
    quota: float | None

    @classmethod
    def here(cls) -> Machine:
        """Describe the machine this process runs on."""
        return cls(available(), cpu_quota())

    @property
    def threads(self) -> int:
        """How many threads can run at once."""
        return within(self.cores, self.quota)


@dataclass(frozen=True)
class Kernel:
    """One of our kernels: its kernelspec, what is written in it, and the prefix it points to."""

    spec: KernelSpec
    document: Json
    prefix: Prefix

    @property
    def mark(self) -> Mapping[str, Any]:
        """What we wrote into it for ourselves."""
        found: Mapping[str, Any] = (self.document.get("metadata") or {}).get(MARK) or {}
        return found

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """What it sets; a value that takes something from the server's environment is not filled in."""
        given = self.document.get("env")
        return {name: str(value).replace("$$", "$") for name, value in given.items()} if isinstance(given, dict) else {}

    @property
    def module(self) -> str | None:
        """The Python module that it runs (`-m`); None if it runs no module."""
        words = self.spec.argv
        return next((word for before, word in pairwise(words) if before == "-m"), None)

    @property
    def is_python(self) -> bool:
        """Whether it is a Python kernel."""
        return self.spec.language.lower() == "python" and self.module is not None

    @property
    def malformed(self) -> str | None:
        """What Jupyter does not take in its `env`, which has to be an object of texts; None if there is nothing."""
        given = self.document.get("env", {})
        if not isinstance(given, dict):
            return f"env is {json.dumps(given)}"
        return next(
            (f"{key} is {json.dumps(value)}" for key, value in given.items() if not isinstance(value, str)), None
        )

    def again(
        self,
        *,
        name: str | None = None,
        title: str | None = None,
        threads: int | None = None,
        without: Collection[str] = (),
        empty: Collection[str] = (),
    ) -> str:
        """Return the command that registers it again as it was asked for, but for what is given here.

        What a project's file asks for is changed there.
        """
        spec = self.spec
        kept = {key: value for key, value in spec.variables.items() if key not in without}
        changed = replace(
            spec,
            asked_name=name or spec.asked_name,
            title=title or spec.title,
            threads=spec.threads if threads is None else threads,
            variables=kept | dict.fromkeys(empty, ""),
        )
        command = commands.again(changed, self.prefix.called)
        declared = spec.declared_in if changed != spec and not spec.copied else None
        return f'"${{EDITOR:-vi}}" {shlex.quote(declared)} && {command}' if declared else command

    def anew(self) -> str:
        """Return the command that writes it again, also where a project's file sees no reason to."""
        if self.spec.declared_in and not self.spec.copied:
            return f"{commands.unregister(self.spec)} && {self.again()}"
        return self.again()


@dataclass(frozen=True)
class Listed:
    """A kernelspec on Jupyter's search path, whoever wrote it; `name` is what Jupyter calls it."""

    name: str
    path: Path
    display_name: str | None
    ours: bool


@dataclass(frozen=True)
class Look:
    """All that the checks are told.

    `listed` are the kernelspecs of everybody in the order in which Jupyter looks for a name: the first one is found.
    `damaged` are folders of ours whose `kernel.json` cannot be read.
    """

    root: Root
    kernels: tuple[Kernel, ...]
    prefixes: tuple[Prefix, ...]
    search: tuple[Path, ...]
    listed: tuple[Listed, ...]
    damaged: tuple[Path, ...]
    machine: Machine
    session: Mapping[str, str]

    @cached_property
    def visible(self) -> Mapping[str, Listed]:
        """The kernelspec that Jupyter finds for each name."""
        return {item.name: item for item in reversed(self.listed)}

    def kernels_of(self, prefix: Prefix) -> list[Kernel]:
        """Return our kernels of an environment."""
        return [kernel for kernel in self.kernels if kernel.prefix is prefix]


def gather(root: Root, names: Collection[str] = (), *, machine: Machine | None = None, strict: bool = True) -> Look:
    """Look at everything, or at kernels and environments of these names; NotFoundError for others, if `strict`."""
    search = tuple(folder / "kernels" for folder in folders.searched())
    found = [folder for place in search for folder in _kernelspecs(place)]
    specs = {spec.path: spec for spec in kernels.list(root=root)}
    reader = Reader()
    prefixes = {made.prefix: Prefix(made.prefix, root, made, reader) for made in environments.list_environments(root)}
    for spec in specs.values():
        if spec.prefix not in prefixes:
            prefixes[spec.prefix] = _prefix(spec, reader)
    ours = (
        Kernel(spec, load(spec.path) or {}, prefixes[spec.prefix])
        for spec in sorted(specs.values(), key=lambda spec: (spec.name, spec.path))
    )
    look = Look(
        root=root,
        kernels=tuple(kernel for kernel in ours if kernel.document),  # else it is gone since
        prefixes=tuple(prefixes.values()),
        search=search,
        listed=tuple(_listed(folder, specs) for folder in found),
        damaged=tuple(_damaged(root, specs)),
        machine=machine or Machine.here(),
        session=dict(os.environ),
    )
    return _narrowed(look, names, strict=strict) if names else look


def _narrowed(look: Look, names: Collection[str], *, strict: bool) -> Look:
    """Return a look at those kernels that are called so, and at all kernels of environments that are called so."""
    called = {name.lower() for name in names}
    chosen = [kernel for kernel in look.kernels if called & {kernel.spec.name.lower(), kernel.prefix.name.lower()}]
    prefixes = [prefix for prefix in look.prefixes if prefix.name.lower() in called]
    broken = tuple(folder for folder in look.damaged if folder.name.lower() in called)
    named = (*(kernel.spec.name for kernel in chosen), *(prefix.name for prefix in prefixes))
    known = {name.lower() for name in (*named, *(folder.name for folder in broken))}
    if strict and (unknown := sorted(called - known)):
        raise errors.NotFoundError(
            f"There is no kernel or environment {unknown[0]!r} of mambakernels.",
            next_step=f"Kernels: {', '.join(kernel.spec.name for kernel in look.kernels) or 'none yet'}.",
        )
    prefixes += [kernel.prefix for kernel in chosen if kernel.prefix not in prefixes]
    return replace(look, kernels=tuple(chosen), prefixes=tuple(prefixes), damaged=broken)


def _kernelspecs(place: Path) -> Iterable[Path]:
    """Return a folder's kernelspecs; of several whose names differ in case only, Jupyter takes the one read last."""
    return [place / name for name in reversed(names_in(place)) if os.path.isfile(place / name / "kernel.json")]  # noqa: PTH113


def _damaged(root: Root, ours: Collection[Path]) -> Iterator[Path]:
    for data in folders.known(root):
        for folder in (data / "kernels" / name for name in names_in(data / "kernels")):
            if folder not in ours and damaged.is_damaged(folder):
                yield folder


def _listed(folder: Path, ours: Collection[Path]) -> Listed:
    shown = (load(folder) or {}).get("display_name")
    return Listed(folder.name.lower(), folder, shown if isinstance(shown, str) else None, folder in ours)


def _prefix(spec: KernelSpec, reader: Reader) -> Prefix:
    root = Root(spec.root)
    return Prefix(spec.prefix, root, _managed(spec.prefix, root), reader)


def _managed(prefix: Path, root: Root) -> Environment | None:
    """Return what our manifest says; without reading the records of environments that others made."""
    if not os.path.isfile(prefix / environments.MANIFEST):  # noqa: PTH113 (Path.is_file raises where one may not look)
        return None
    try:
        return environments.get(prefix, root)
    except errors.MambakernelsError:  # its manifest or its name cannot be used: it is not ours to change
        return None
