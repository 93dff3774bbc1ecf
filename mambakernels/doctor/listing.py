"""Checks of where kernelspecs are: hidden by others, where Jupyter does not look, or looking like another."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mambakernels.doctor.findings import Finding, Severity
from mambakernels.doctor.look import Kernel, Listed, Look

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
    path = kernel.spec.path
    return _finding(
        kernel,
        "name-rejected",
        "error",
        what=f"Jupyter does not accept the name of its folder: {kernel.spec.name!r}.",
        why="It is in no list, and cannot be started: a name has ASCII letters, digits, '-', '_' and '.' only.",
        remedy=shlex.join(["mv", str(path), str(path.with_name(_valid(kernel)))]),
    )


def _valid(kernel: Kernel) -> str:
    return kernel.spec.base or re.sub(r"[^a-z0-9._-]+", "-", kernel.spec.name.lower())


def _not_searched(kernel: Kernel) -> Finding:
    data = kernel.spec.jupyter
    return _finding(
        kernel,
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
    yield _finding(
        kernel,
        "hidden",
        "note" if same else "warning",
        what=f"Another kernel of the same name hides it: {found.path}.",
        why="It is registered twice, alike." if same else "Who asks for this kernel gets the other one.",
        remedy=kernel.prefix.command("register", "--kernel", f"{kernel.spec.name.lower()}-2"),
    )


def _hiding(kernel: Kernel, look: Look) -> Iterator[Finding]:
    name = kernel.spec.name.lower()
    if look.visible.get(name, kernel.spec).path != kernel.spec.path:
        return
    for other in look.listed:
        if other.name == name and not other.ours and other.path.resolve() != kernel.spec.path.resolve():
            yield _finding(
                kernel,
                "hiding",
                "note",
                what=f"It hides another kernel of the same name: {other.path}.",
                why="Who asks for the other one gets this one.",
                remedy=f"mambakernels unregister {kernel.spec.name}"
                f" && {kernel.prefix.command('register', '--kernel', f'{name}-2')}",
            )


def _alike(look: Look) -> Iterator[Finding]:
    shown: dict[str, list[Listed]] = defaultdict(list)
    for item in look.visible.values():
        if item.display_name is not None:
            shown[item.display_name].append(item)
    ours = {kernel.spec.path: kernel for kernel in look.kernels}
    for display_name, items in shown.items():
        if len(items) == 1:
            continue
        chosen = [ours[item.path] for item in items if item.path in ours]
        # Where one of them is ours, that one can be given another name; the first keeps the one it has.
        theirs = len(chosen) < len(items)
        for kernel in chosen if theirs else chosen[1:]:
            yield _same_name(kernel, display_name, [item.path for item in items if item.path != kernel.spec.path])


def _same_name(kernel: Kernel, display_name: str, others: list[Path]) -> Finding:
    return _finding(
        kernel,
        "display-name",
        "warning",
        what=f"Another kernel is shown under the same name, {display_name!r}: {', '.join(map(str, others))}.",
        why="Nobody can tell them apart in a launcher.",
        remedy=kernel.again(title=f"{display_name} ({kernel.spec.name})"),
    )


def _finding(kernel: Kernel, check: str, severity: Severity, *, what: str, why: str, remedy: str) -> Finding:
    spec = kernel.spec
    return Finding(check, severity, spec.name, spec.environment, spec.path, what, why, remedy)
