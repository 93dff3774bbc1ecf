"""Checks that what a Python kernel is made of is there: its module, and the files of every package it needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mambakernels.doctor.findings import Finding
from mambakernels.doctor.look import Kernel, Look
from mambakernels.doctor.prefixes import Prefix, normalised

_PACKAGE = "ipykernel"
_LAUNCHERS = frozenset({"ipykernel_launcher", "ipykernel"})
_NOT_FOLLOWED = frozenset({"python", "pip"})  # big, and a kernel starts without pip
_SHOWN = 3


def check(look: Look) -> Iterator[Finding]:
    """Say which environments cannot start their Python kernels, as far as files tell; nothing is run."""
    for prefix in look.prefixes:
        kernels = [kernel for kernel in look.kernels_of(prefix) if kernel.is_python and kernel.spec.working]
        for module in sorted({str(kernel.module) for kernel in kernels}):
            yield from _lacking(prefix, module, [kernel for kernel in kernels if kernel.module == module])


def _lacking(prefix: Prefix, module: str, kernels: list[Kernel]) -> Iterator[Finding]:
    missing: list[str] = []
    if module in _LAUNCHERS:
        missing = missing_parts(prefix)
    if not missing and not _has_module(prefix, module, kernels):
        missing = [f"the module {module}"]
    if missing:
        yield _finding(prefix, module, missing, kernels[0])


def _finding(prefix: Prefix, module: str, missing: list[str], kernel: Kernel) -> Finding:
    """Say what is missing: files of packages that the manifest has are linked anew, others are installed."""
    package = _PACKAGE if module in _LAUNCHERS else module.partition(".")[0]
    made = prefix.environment
    repairable = made is not None and (package in prefix.builds or made.package(package) is not None)
    is_known = repairable or package == _PACKAGE or package in prefix.builds
    shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
    return Finding(
        "ipykernel-broken" if repairable else "ipykernel-missing",
        "error",
        None,
        prefix.name,
        prefix.path,
        f"Its Python kernel cannot start; missing: {shown}.",
        "Files were deleted, or packages taken out, with another program."
        if is_known
        else "No package is known that has the module: its kernel.json was changed by hand, or came so with a package.",
        _remedy(prefix, package, repairable=repairable) if is_known else kernel.anew(),
        fixable=made is not None and (repairable or package == _PACKAGE),
    )


def _remedy(prefix: Prefix, package: str, *, repairable: bool) -> str:
    if repairable:
        return prefix.command("verify", "--repair")
    if prefix.environment is not None:
        return prefix.command("install", package)
    if package in prefix.builds:
        return prefix.conda("install", "--force-reinstall", package)
    return prefix.command("exec", "--", "python", "-m", "pip", "install", "--force-reinstall", package)


def _has_module(prefix: Prefix, module: str, kernels: list[Kernel]) -> bool:
    """Whether the environment's Python would find a module; taken for granted where only running it can tell."""
    if prefix.is_open or prefix.site is None:
        return True
    added = (kernel.variables.get("PYTHONPATH", "").split(os.pathsep) for kernel in kernels)
    folders = [*prefix.folders, *(Path(entry) for entries in added for entry in entries if entry)]
    inside = module.replace(".", "/")
    return any((folder / f"{inside}{suffix}").exists() for folder in folders for suffix in (".py", "")) or any(
        any(folder.glob(f"{inside}.*.so")) for folder in folders
    )


def missing_parts(prefix: Prefix) -> list[str]:
    """Return the packages and files that ipykernel needs and that are not there."""
    if _PACKAGE in prefix.builds:
        return list(_missing_of_conda(prefix))
    if _PACKAGE in prefix.distributions:
        return list(_missing_of_pip(prefix))
    return []  # found by its module alone, if at all


def _missing_of_conda(prefix: Prefix) -> Iterator[str]:
    waiting, reached = [_PACKAGE], {*_NOT_FOLLOWED}
    while waiting:
        name = waiting.pop()
        if name in reached or name.startswith("__"):
            continue
        reached.add(name)
        record = prefix.record(name)
        if record is None:
            if normalised(name) not in prefix.distributions:  # else pip put another in its place
                yield f"the package {name}"
            continue
        waiting += record.depends
        yield from _missing_files(prefix.path, record.files)


def _missing_of_pip(prefix: Prefix) -> Iterator[str]:
    waiting, reached = [_PACKAGE], set[str]()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        metadata = prefix.distributions.get(name)
        if metadata is None:
            yield f"the package {name}"
            continue
        waiting += _required(metadata, prefix)
        yield from _missing_files(metadata.parent, _recorded(metadata))


def _missing_files(folder: Path, files: Iterable[str]) -> Iterator[str]:
    base = os.fspath(folder)
    return (file for file in files if not os.path.exists(f"{base}/{file}"))  # noqa: PTH110 (thousands of files)


def _required(metadata: Path, prefix: Prefix) -> list[str]:
    """Return the packages that one needs, extras left out, on this platform and the environment's Python."""
    from packaging.requirements import InvalidRequirement, Requirement

    here = {"python_version": prefix.python, "python_full_version": f"{prefix.python}.0", "extra": ""}
    found: list[str] = []
    for line in _lines(metadata / "METADATA"):
        if line.startswith("Requires-Dist:"):
            try:
                requirement = Requirement(line.partition(":")[2].strip())
            except InvalidRequirement:
                continue  # pip took it, in its time
            if requirement.marker is None or requirement.marker.evaluate(here):
                found.append(normalised(requirement.name))
    return found


def _recorded(metadata: Path) -> Iterator[str]:
    files = (line.rpartition(",")[0].rpartition(",")[0].strip('"') for line in _lines(metadata / "RECORD"))
    return (file for file in files if file.endswith((".py", ".so")) and "/tests/" not in file)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
