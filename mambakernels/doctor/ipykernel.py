"""Checks that the parts of a Python kernel are there: its module, and the files of every package it needs."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PathDistribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mambakernels.doctor.prefixes import Prefix, shortened
from mambakernels.doctor.survey import RegisteredKernel, Survey
from mambakernels.numeric.rules import Finding

_PACKAGE = "ipykernel"
_LAUNCHERS = frozenset({"ipykernel_launcher", "ipykernel"})
_Part = tuple[Iterable[str], Iterable[str]]  # the missing parts of a package, and the packages it needs
_NOT_FOLLOWED = frozenset({"python", "pip"})  # big, and a kernel starts without pip


def check_ipykernel(survey: Survey) -> Iterator[Finding]:
    """Yield environments whose Python kernels cannot start, as far as files show it; nothing is run."""
    for prefix in survey.prefixes:
        kernels = [kernel for kernel in survey.kernels_of(prefix) if kernel.is_python and kernel.spec.working]
        for module in sorted({str(kernel.module) for kernel in kernels}):
            yield from _lacking(prefix, module, [kernel for kernel in kernels if kernel.module == module])


def _lacking(prefix: Prefix, module: str, kernels: list[RegisteredKernel]) -> Iterator[Finding]:
    missing = missing_parts(prefix) if module in _LAUNCHERS else []
    if not missing and not _has_module(prefix, module, kernels):
        missing = [f"the module {module}"]
    if missing:
        yield _finding(prefix, module, missing, kernels[0])


def _finding(prefix: Prefix, module: str, missing: list[str], kernel: RegisteredKernel) -> Finding:
    """Return the finding; packages in the manifest are repaired, others installed."""
    package = _PACKAGE if module in _LAUNCHERS else module.partition(".")[0]
    made = prefix.environment
    repairable = made is not None and (package in prefix.builds or made.package(package) is not None)
    is_known = repairable or package == _PACKAGE or package in prefix.builds
    return prefix.finding(
        "ipykernel-broken" if repairable else "ipykernel-missing",
        "error",
        f"Its Python kernel cannot start; missing: {shortened(missing, 3)}.",
        why="Another program deleted files or removed packages."
        if is_known
        else "No known package has the module: kernel.json was changed by hand, or a package installed it that way.",
        remedy=_remedy(prefix, package, repairable=repairable) if is_known else kernel.rewrite_command(),
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


def _has_module(prefix: Prefix, module: str, kernels: list[RegisteredKernel]) -> bool:
    """Whether the environment's Python would find a module; assumed where only running it can show that."""
    if prefix.is_open or prefix.site is None:
        return True
    added = (kernel.variables.get("PYTHONPATH", "").split(os.pathsep) for kernel in kernels)
    folders = [*prefix.folders, *(Path(entry) for entries in added for entry in entries if entry)]
    inside = module.replace(".", "/")
    return any((folder / f"{inside}{suffix}").exists() for folder in folders for suffix in (".py", "")) or any(
        any(folder.glob(f"{inside}.*.so")) for folder in folders
    )


def missing_parts(prefix: Prefix) -> list[str]:
    """Return the missing packages and files that ipykernel needs."""
    if _PACKAGE in prefix.builds:
        return list(_missing(lambda name: _conda_part(prefix, name)))
    if _PACKAGE in prefix.distributions:
        return list(_missing(lambda name: _pip_part(prefix, name)))
    return []  # found by its module alone, if at all


def _missing(part: Callable[[str], _Part]) -> Iterator[str]:
    """Yield the missing parts of ipykernel and of the packages it needs; `part` is called once for each."""
    waiting, reached = [_PACKAGE], {*_NOT_FOLLOWED}
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            missing, needed = part(name)
            yield from missing
            waiting += needed


def _conda_part(prefix: Prefix, name: str) -> _Part:
    record = prefix.record(name)
    if record is not None:
        return _missing_files(prefix.path, record.files), record.depends
    is_there = name.startswith("__") or canonicalize_name(name) in prefix.distributions  # virtual, or replaced by pip
    return [] if is_there else [f"the package {name}"], ()


def _pip_part(prefix: Prefix, name: str) -> _Part:
    metadata = prefix.distributions.get(name)
    if metadata is None:
        return [f"the package {name}"], ()
    distribution = PathDistribution(metadata)
    rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    files = [row[0] for row in rows if row and row[0].endswith((".py", ".so")) and "/tests/" not in row[0]]
    return _missing_files(metadata.parent, files), _required(distribution.requires or [], prefix)


def _missing_files(folder: Path, files: Iterable[str]) -> Iterator[str]:
    base = os.fspath(folder)
    return (file for file in files if not os.path.exists(f"{base}/{file}"))  # noqa: PTH110 (thousands of files)


def _required(lines: Iterable[str], prefix: Prefix) -> Iterator[str]:
    """Yield the packages of `Requires-Dist` without extras, on this platform and the environment's Python."""
    here = {"python_version": prefix.python, "python_full_version": f"{prefix.python}.0", "extra": ""}
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # pip accepted it when it was installed
        if requirement.marker is None or requirement.marker.evaluate(here):
            yield canonicalize_name(requirement.name)
