"""The survey that the checks read, made once: our kernels, everyone's kernelspecs, the environments, the session."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from mambakernels import environments, errors, kernels
from mambakernels.doctor.conda_meta import RecordReader
from mambakernels.doctor.prefixes import Prefix, names_in
from mambakernels.environments import Environment
from mambakernels.kernels import command_lines, folders
from mambakernels.kernels.blas import Processors
from mambakernels.kernels.specs import Json, KernelSpec, is_damaged, kernel_json
from mambakernels.numeric.rules import Finding, Severity
from mambakernels.paths import Root
from mambakernels.system import quoting


@dataclass(frozen=True)
class RegisteredKernel:
    """One of our kernels: its kernelspec, the content of its `kernel.json`, and the prefix it points to."""

    spec: KernelSpec
    document: Json
    prefix: Prefix

    def finding(
        self, rule: str, severity: Severity, text: str, *, why: str, remedy: str, fixable: bool = False
    ) -> Finding:
        """Return a finding about this kernel."""
        spec = self.spec
        return Finding(rule, severity, text, why, remedy, spec.name, spec.environment, spec.path, fixable)

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """The variables it sets; references to the server's environment are not filled in."""
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
        """The part of its `env` that Jupyter refuses, as `env` must be an object of texts; None if there is none."""
        given = self.document.get("env", {})
        if not isinstance(given, dict):
            return f"env is {json.dumps(given)}"
        return next(
            (f"{key} is {json.dumps(value)}" for key, value in given.items() if not isinstance(value, str)), None
        )

    def register_command(
        self,
        *,
        name: str | None = None,
        title: str | None = None,
        threads: int | None = None,
        without: Collection[str] = (),
        empty: Collection[str] = (),
    ) -> str:
        """Return the command that registers it again with the same options, except for those given here.

        A kernel that a project's file declares is changed in that file.
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
        command = command_lines.to_register(changed, self.prefix.argument)
        declared = spec.declared_in if changed != spec and not spec.copied else None
        return quoting.joined(quoting.edit(declared), command) if declared else command

    def rewrite_command(self) -> str:
        """Return the command that writes its kernelspec again, also where a project's sync sees no reason to."""
        if self.spec.declared_in and not self.spec.copied:
            return f"{command_lines.to_unregister(self.spec)} && {self.register_command()}"
        return self.register_command()


@dataclass(frozen=True)
class ListedKernelspec:
    """A kernelspec on Jupyter's search path, written by any program; `name` is Jupyter's name for it."""

    name: str
    path: Path
    display_name: str | None
    ours: bool


@dataclass(frozen=True)
class Survey:
    """All that the checks read.

    `listed` are the kernelspecs of everyone in the order in which Jupyter looks for a name: the first one is found.
    `damaged` are our folders whose `kernel.json` cannot be read.
    """

    root: Root
    kernels: tuple[RegisteredKernel, ...]
    prefixes: tuple[Prefix, ...]
    search: tuple[Path, ...]
    listed: tuple[ListedKernelspec, ...]
    damaged: tuple[Path, ...]
    processors: Processors
    session: Mapping[str, str]

    @cached_property
    def visible(self) -> Mapping[str, ListedKernelspec]:
        """The kernelspec that Jupyter finds for each name."""
        return {item.name: item for item in reversed(self.listed)}

    def kernels_of(self, prefix: Prefix) -> list[RegisteredKernel]:
        """Return our kernels of an environment."""
        return [kernel for kernel in self.kernels if kernel.prefix is prefix]


def gather(
    root: Root, names: Collection[str] = (), *, processors: Processors | None = None, strict: bool = True
) -> Survey:
    """Gather everything, or the kernels and environments of these names; NotFoundError for others, if `strict`."""
    search = tuple(folder / "kernels" for folder in folders.searched())
    found = [folder for place in search for folder in _kernelspecs(place)]
    specs = {spec.path: spec for spec in kernels.list(root=root)}
    reader = RecordReader()
    prefixes = {
        os.path.realpath(made.prefix): Prefix(made.prefix, root, made, reader)
        for made in environments.list_environments(root)
    }
    places = {spec.prefix: os.path.realpath(spec.prefix) for spec in specs.values()}
    for spec in specs.values():
        if places[spec.prefix] not in prefixes:
            prefixes[places[spec.prefix]] = _prefix(spec, reader)
    ours = (
        RegisteredKernel(spec, kernel_json(spec.path) or {}, prefixes[places[spec.prefix]])
        for spec in sorted(specs.values(), key=lambda spec: (spec.name, spec.path))
    )
    survey = Survey(
        root=root,
        kernels=tuple(kernel for kernel in ours if kernel.document),  # else it was removed meanwhile
        prefixes=tuple(prefixes.values()),
        search=search,
        listed=tuple(_listed(folder, specs) for folder in found),
        damaged=tuple(_damaged(root, specs)),
        processors=processors or Processors.here(),
        session=dict(os.environ),
    )
    return _narrowed(survey, names, strict=strict) if names else survey


def _narrowed(survey: Survey, names: Collection[str], *, strict: bool) -> Survey:
    """Keep the kernels of these names, and all kernels of the environments of these names."""
    wanted = {name.lower() for name in names}
    chosen = [kernel for kernel in survey.kernels if wanted & {kernel.spec.name.lower(), kernel.prefix.name.lower()}]
    prefixes = [prefix for prefix in survey.prefixes if prefix.name.lower() in wanted]
    broken = tuple(folder for folder in survey.damaged if folder.name.lower() in wanted)
    named = (*(kernel.spec.name for kernel in chosen), *(prefix.name for prefix in prefixes))
    known = {name.lower() for name in (*named, *(folder.name for folder in broken))}
    if strict and (unknown := sorted(wanted - known)):
        raise errors.NotFoundError(
            f"mambakernels has no kernel or environment {unknown[0]!r}.",
            next_step=f"Kernels: {_in_order(kernel.spec.name for kernel in survey.kernels)}. "
            f"Environments: {_in_order(prefix.name for prefix in survey.prefixes)}.",
        )
    prefixes += [kernel.prefix for kernel in chosen if kernel.prefix not in prefixes]
    return replace(survey, kernels=tuple(chosen), prefixes=tuple(prefixes), damaged=broken)


def _in_order(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none yet"


def _kernelspecs(place: Path) -> Iterable[Path]:
    """Return a folder's kernelspecs; of several whose names differ in case only, Jupyter takes the one read last."""
    return [place / name for name in reversed(names_in(place)) if os.path.isfile(place / name / "kernel.json")]  # noqa: PTH113


def _damaged(root: Root, ours: Collection[Path]) -> Iterator[Path]:
    for data in folders.folders_of_root(root):
        for folder in (data / "kernels" / name for name in names_in(data / "kernels")):
            if folder not in ours and is_damaged(folder):
                yield folder


def _listed(folder: Path, ours: Collection[Path]) -> ListedKernelspec:
    shown = (kernel_json(folder) or {}).get("display_name")
    return ListedKernelspec(folder.name.lower(), folder, shown if isinstance(shown, str) else None, folder in ours)


def _prefix(spec: KernelSpec, reader: RecordReader) -> Prefix:
    root = Root(spec.root)
    return Prefix(spec.prefix, root, _managed(spec.prefix, root), reader)


def _managed(prefix: Path, root: Root) -> Environment | None:
    """Return what our manifest says, without reading the records of environments that others made."""
    if not os.path.isfile(prefix / environments.MANIFEST):  # noqa: PTH113 (Path.is_file raises where access is denied)
        return None
    try:
        return environments.get(prefix, root)
    except errors.MambakernelsError:  # its manifest or its name cannot be used: it is not ours to change
        return None
