"""Repairs: the remedies that are safe, each applied once for all the findings that it resolves, to ours only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mambakernels import environments, errors, kernels
from mambakernels.doctor.prefixes import Prefix
from mambakernels.doctor.survey import Survey
from mambakernels.engines import EngineName
from mambakernels.kernels import KernelSpec, lifecycle
from mambakernels.numeric.rules import Finding
from mambakernels.progress import Event, Progress


@dataclass(frozen=True)
class Repair:
    """A remedy that was tried, in words, the findings it was for, and the error it met, if any."""

    done: str
    findings: tuple[Finding, ...]
    error: errors.MambakernelsError | None = None


@dataclass(frozen=True)
class _Patient:
    """The object of a remedy: an environment, and those of its kernels that have findings."""

    prefix: Prefix
    specs: tuple[KernelSpec, ...]
    engine: EngineName
    progress: Progress


def apply_repairs(
    findings: Iterable[Finding], survey: Survey, *, engine: EngineName, progress: Progress
) -> list[Repair]:
    """Apply the remedies of fixable findings, one after another, and return how each ended."""
    groups: dict[tuple[int, Path], list[Finding]] = {}
    for finding in findings:
        if finding.fixable:
            groups.setdefault((_ORDER.index(_REMEDIES[finding.rule]), _prefix(finding, survey).path), []).append(
                finding
            )
    tried: list[Repair] = []
    for number, ((order, _), group) in enumerate(sorted(groups.items(), key=lambda item: item[0])):
        prefix = _prefix(group[0], survey)
        progress(Event("repairing", prefix.name, number, len(groups)))
        paths = {finding.path for finding in group}
        specs = tuple(kernel.spec for kernel in survey.kernels if kernel.spec.path in paths)
        tried.append(_try(_ORDER[order], group, _Patient(prefix, specs, engine, progress)))
    return tried


def _try(remedy: _Remedy, group: list[Finding], patient: _Patient) -> Repair:
    names = ", ".join(spec.name for spec in patient.specs) or patient.prefix.name
    try:
        remedy.apply(patient)
    except errors.MambakernelsError as error:
        return Repair(f"{remedy.words} {names}", tuple(group), error)
    except OSError as error:
        return Repair(f"{remedy.words} {names}", tuple(group), errors.from_os_error(error))
    return Repair(f"{remedy.words} {names}", tuple(group))


def _prefix(finding: Finding, survey: Survey) -> Prefix:
    """Return the environment that a finding is about: its kernel's, or the one at its path."""
    found = (kernel.prefix for kernel in survey.kernels if kernel.spec.path == finding.path)
    return next(found, None) or next(prefix for prefix in survey.prefixes if prefix.path == finding.path)


@dataclass(frozen=True)
class _Remedy:
    words: str
    apply: Callable[[_Patient], object]


def _relink(patient: _Patient) -> None:
    prefix, progress = patient.prefix, patient.progress
    environments.verify(prefix.path, repair=True, engine=patient.engine, root=prefix.root, progress=progress)


def _install(patient: _Patient) -> None:
    prefix = patient.prefix
    lifecycle.install(prefix.path, ["ipykernel"], root=prefix.root, engine=patient.engine, progress=patient.progress)


def _refresh(patient: _Patient) -> None:
    with environments.held(patient.prefix.path, patient.prefix.root, progress=patient.progress) as environment:
        kernels.refresh(environment, only=patient.specs)


_RELINK = _Remedy("linked again:", _relink)
_INSTALL = _Remedy("installed ipykernel in", _install)
_REFRESH = _Remedy("registered again:", _refresh)
_ORDER = (_RELINK, _INSTALL, _REFRESH)  # an environment is registered again once it is whole
_REMEDIES: Mapping[str, _Remedy] = {
    "program-gone": _RELINK,
    "ipykernel-broken": _RELINK,
    "ipykernel-missing": _INSTALL,
    "activation": _REFRESH,
    "blis-threads": _REFRESH,
    "cpu-quota": _REFRESH,
    "drift": _REFRESH,
    "launcher-gone": _REFRESH,
    "limit-outdated": _REFRESH,
    "stand-in-gone": _REFRESH,
    "user-site": _REFRESH,
}
