"""Checks of where kernelspecs are: hidden by others, where Jupyter does not look, or looking like another."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from mambakernels.doctor.findings import Finding, about
from mambakernels.doctor.look import Kernel, Listed, Look
from mambakernels.kernels import commands

_ACCEPTED = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)  # what Jupyter takes for a kernel's name


def check(look: Look) -> Iterator[Finding]:
    """Say which kernels cannot be found by their name, and which cannot be told from others by what is shown."""
    searched = {folder.resolve() for folder in look.search}
    for kernel in look.kernels:
        if not _ACCEPTED.fullmatch(kernel.spec.name):
            yield _rejected(kernel)
        elif kernel.spec.path.parent.resolve() not in searched:
            yield _not_searched(kernel)
        else:
            yield from _hidden(kernel, look)
            yield from _hiding(kernel, look)
    yield from _alike(look)


def _rejected(kernel: Kernel) -> Finding:
    own = replace(kernel, spec=replace(kernel.spec, copied=False))
    return about(
        kernel.spec,
        "name-rejected",
        "error",
        what=f"Jupyter does not accept the name of its folder: {kernel.spec.name!r}.",
        why="Nothing can start it: a name has ASCII letters, digits, '-', '_' and '.' only.",
        remedy=f"{commands.unregister(kernel.spec)} && {own.again()}",
    )


def _not_searched(kernel: Kernel) -> Finding:
    data = kernel.spec.jupyter
    return about(
        kernel.spec,
        "not-searched",
        "warning",
        what=f"Jupyter does not look there, as it is started from here: {data}.",
        why="No launcher shows the kernel, and no notebook finds it by its name.",
        remedy=f'export JUPYTER_PATH={shlex.quote(str(data))}"${{JUPYTER_PATH:+:$JUPYTER_PATH}}"',
    )


def _hidden(kernel: Kernel, look: Look) -> Iterator[Finding]:
    found = look.visible.get(kernel.spec.name.lower())
    if found is None or found.path.resolve() == kernel.spec.path.resolve():
        return
    twin = next((item for item in look.kernels if item.spec.path == found.path), None)
    same = twin is not None and (twin.prefix.path, twin.variables) == (kernel.prefix.path, kernel.variables)
    yield about(
        kernel.spec,
        "hidden",
        "note" if same else "warning",
        what=f"Another kernel of the same name hides it: {found.path}.",
        why="It is registered twice, alike." if same else "Who asks for this kernel gets the other one.",
        remedy=commands.unregister(kernel.spec) if same else _renamed(kernel, look),
    )


def _hiding(kernel: Kernel, look: Look) -> Iterator[Finding]:
    name = kernel.spec.name.lower()
    if look.visible.get(name, kernel.spec).path != kernel.spec.path:
        return
    for other in look.listed:
        if other.name == name and not other.ours and other.path.resolve() != kernel.spec.path.resolve():
            yield about(
                kernel.spec,
                "hiding",
                "note",
                what=f"It hides another kernel of the same name: {other.path}.",
                why="Who asks for the other one gets this one.",
                remedy=_renamed(kernel, look),
            )


def _renamed(kernel: Kernel, look: Look) -> str:
    """Return what gives a kernel a name that is free."""
    name = kernel.spec.base.lower()
    free = next(f"{name}-{number}" for number in count(2) if f"{name}-{number}" not in look.visible)
    return f"{commands.unregister(kernel.spec)} && {kernel.again(name=free)}"


def _alike(look: Look) -> Iterator[Finding]:
    shown: dict[str, list[Listed]] = defaultdict(list)
    for item in look.visible.values():
        if item.display_name is not None:
            shown[item.display_name].append(item)
    ours = {kernel.spec.path: kernel for kernel in look.kernels}
    for display_name, items in shown.items():
        if len(items) == 1:
            continue
        chosen = sorted((ours[item.path] for item in items if item.path in ours), key=lambda one: one.spec.copied)
        # Where one of them is ours, that one can be given another name; the first keeps the one it has.
        theirs = len(chosen) < len(items)
        for kernel in chosen if theirs else chosen[1:]:
            yield _same_name(kernel, display_name, [item.path for item in items if item.path != kernel.spec.path])


def _same_name(kernel: Kernel, display_name: str, others: list[Path]) -> Finding:
    return about(
        kernel.spec,
        "display-name",
        "warning",
        what=f"Another kernel is shown under the same name, {display_name!r}: {', '.join(map(str, others))}.",
        why="Nobody can tell them apart in a launcher.",
        remedy=_edit(kernel)
        if kernel.spec.copied
        else kernel.again(title=commands.literal(f"{display_name} ({kernel.spec.name})")),
    )


def _edit(kernel: Kernel) -> str:
    """Return what lets the maker of a copy change it."""
    return f'"${{EDITOR:-vi}}" {shlex.quote(str(kernel.spec.path / "kernel.json"))}'
