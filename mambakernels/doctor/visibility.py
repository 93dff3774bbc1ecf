"""Checks of the visibility of kernels: hidden by others, outside Jupyter's path, or shown like another."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from mambakernels.doctor.survey import ListedKernelspec, RegisteredKernel, Survey
from mambakernels.kernels import command_lines
from mambakernels.numeric.rules import Finding
from mambakernels.system import quoting

_ACCEPTED = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)  # the names of kernels that Jupyter accepts


def check_visibility(survey: Survey) -> Iterator[Finding]:
    """Yield kernels that Jupyter cannot find by their name, and those that are shown under another's display name."""
    searched = {folder.resolve() for folder in survey.search}
    for kernel in survey.kernels:
        if not _ACCEPTED.fullmatch(kernel.spec.name):
            yield _rejected(kernel)
        elif kernel.spec.path.parent.resolve() not in searched:
            yield _not_searched(kernel)
        else:
            yield from _hidden(kernel, survey)
            yield from _hiding(kernel, survey)
    yield from _alike(survey)


def _rejected(kernel: RegisteredKernel) -> Finding:
    original = replace(kernel, spec=replace(kernel.spec, copied=False))
    return kernel.finding(
        "name-rejected",
        "error",
        f"Jupyter does not accept the name of its folder: {kernel.spec.name!r}.",
        why="Nothing can start it: only ASCII letters, digits, '-', '_' and '.' are allowed.",
        remedy=quoting.joined(command_lines.to_unregister(kernel.spec), original.register_command()),
    )


def _not_searched(kernel: RegisteredKernel) -> Finding:
    data = kernel.spec.jupyter
    return kernel.finding(
        "not-searched",
        "warning",
        f"Its folder is not on Jupyter's path in this session: {data}.",
        why="No launcher shows the kernel, and no notebook finds it by its name.",
        remedy=quoting.prepend("JUPYTER_PATH", str(data)),
    )


def _hidden(kernel: RegisteredKernel, survey: Survey) -> Iterator[Finding]:
    found = survey.visible.get(kernel.spec.name.lower())
    if found is None or found.path.resolve() == kernel.spec.path.resolve():
        return
    twin = next((item for item in survey.kernels if item.spec.path == found.path), None)
    same = twin is not None and (twin.prefix is kernel.prefix, twin.variables) == (True, kernel.variables)
    yield kernel.finding(
        "hidden",
        "note" if same else "warning",
        f"Another kernelspec of this name comes first in Jupyter's path, so this one never starts: {found.path}.",
        why="Both are the same." if same else "Anyone who starts this kernel gets the other one.",
        remedy=command_lines.to_unregister(kernel.spec) if same else _renamed(kernel, survey),
    )


def _hiding(kernel: RegisteredKernel, survey: Survey) -> Iterator[Finding]:
    name = kernel.spec.name.lower()
    if survey.visible.get(name, kernel.spec).path != kernel.spec.path:
        return
    for other in survey.listed:
        if other.name == name and not other.ours and other.path.resolve() != kernel.spec.path.resolve():
            yield kernel.finding(
                "hiding",
                "note",
                f"It comes first in Jupyter's path, so another kernelspec of this name never starts: {other.path}.",
                why="Anyone who starts the other kernel gets this one.",
                remedy=_renamed(kernel, survey),
            )


def _renamed(kernel: RegisteredKernel, survey: Survey) -> str:
    """Return the command that registers a kernel under a free name."""
    name = kernel.spec.base.lower()
    free = next(f"{name}-{number}" for number in count(2) if f"{name}-{number}" not in survey.visible)
    return f"{command_lines.to_unregister(kernel.spec)} && {kernel.register_command(name=free)}"


def _alike(survey: Survey) -> Iterator[Finding]:
    shown: dict[str, list[ListedKernelspec]] = defaultdict(list)
    for item in survey.visible.values():
        if item.display_name is not None:
            shown[item.display_name].append(item)
    ours = {kernel.spec.path: kernel for kernel in survey.kernels}
    for display_name, items in shown.items():
        if len(items) == 1:
            continue
        chosen = sorted((ours[item.path] for item in items if item.path in ours), key=lambda one: one.spec.copied)
        # Ours are to be renamed; if all are ours, the first keeps its name.
        theirs = len(chosen) < len(items)
        for kernel in chosen if theirs else chosen[1:]:
            yield _same_name(kernel, display_name, [item.path for item in items if item.path != kernel.spec.path])


def _same_name(kernel: RegisteredKernel, display_name: str, others: list[Path]) -> Finding:
    title = command_lines.literal_title(f"{display_name} ({kernel.spec.name})")
    edit = quoting.edit(str(kernel.spec.path / "kernel.json"))  # a copy is its maker's
    return kernel.finding(
        "display-name",
        "warning",
        f"Another kernel has the same display name, {display_name!r}: {', '.join(map(str, others))}.",
        why="A launcher shows both under one name.",
        remedy=edit if kernel.spec.copied else kernel.register_command(title=title),
    )
