"""Mending what was found: only what is safe, each remedy once for all the findings that it mends, and ours alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mambakernels import environments, errors, kernels
from mambakernels.doctor.findings import Finding
from mambakernels.doctor.look import Look
from mambakernels.doctor.prefixes import Prefix
from mambakernels.engines import EngineName
from mambakernels.kernels import KernelSpec
from mambakernels.progress import Event, Progress


@dataclass(frozen=True)
class Mended:
    """A remedy that was tried: what it was, what it was for, and the error it met, if any."""

    done: str
    findings: tuple[Finding, ...]
    error: errors.MambakernelsError | None = None


@dataclass(frozen=True)
class _Patient:
    """What a remedy is applied to: an environment, and those of its kernels that something was found about."""

    prefix: Prefix
    specs: tuple[KernelSpec, ...]
    engine: EngineName
    progress: Progress


def mend(findings: Iterable[Finding], look: Look, *, engine: EngineName, progress: Progress) -> list[Mended]:
    """Apply the remedies of what is fixable, one after another, and say what became of each."""
    groups: dict[tuple[int, Path], list[Finding]] = {}
    for finding in findings:
        if finding.fixable:
            groups.setdefault((_ORDER.index(_REMEDIES[finding.check]), _prefix(finding, look).path), []).append(finding)
    tried: list[Mended] = []
    for number, ((order, _), group) in enumerate(sorted(groups.items(), key=lambda item: item[0])):
        prefix = _prefix(group[0], look)
        progress(Event("mending", prefix.name, number, len(groups)))
        paths = {finding.path for finding in group}
        specs = tuple(kernel.spec for kernel in look.kernels if kernel.spec.path in paths)
        tried.append(_try(_ORDER[order], group, _Patient(prefix, specs, engine, progress)))
    return tried


def _try(remedy: _Remedy, group: list[Finding], patient: _Patient) -> Mended:
    names = ", ".join(spec.name for spec in patient.specs) or patient.prefix.name
    try:
        remedy.apply(patient)
    except errors.MambakernelsError as error:
        return Mended(f"{remedy.words} {names}", tuple(group), error)
    except OSError as error:
        return Mended(f"{remedy.words} {names}", tuple(group), errors.from_os_error(error))
    return Mended(f"{remedy.words} {names}", tuple(group))


def _prefix(finding: Finding, look: Look) -> Prefix:
    """Return the environment that a finding is about: of its kernel, or the one at its path."""
    found = (kernel.prefix for kernel in look.kernels if kernel.spec.path == finding.path)
    return next(found, None) or next(prefix for prefix in look.prefixes if prefix.path == finding.path)


@dataclass(frozen=True)
class _Remedy:
    words: str
    apply: Callable[[_Patient], object]


def _repair(patient: _Patient) -> None:
    prefix, progress = patient.prefix, patient.progress
    environments.verify(prefix.path, repair=True, engine=patient.engine, root=prefix.root, progress=progress)


def _install(patient: _Patient) -> None:
    prefix = patient.prefix
    environments.install_specs(
        prefix.path, ["ipykernel"], root=prefix.root, engine=patient.engine, progress=patient.progress
    )
    with environments.held(prefix.path, prefix.root) as environment:
        kernels.refresh(environment)


def _refresh(patient: _Patient) -> None:
    with environments.held(patient.prefix.path, patient.prefix.root, progress=patient.progress) as environment:
        kernels.refresh(environment, only=patient.specs)


_REPAIR = _Remedy("linked anew:", _repair)
_INSTALL = _Remedy("installed ipykernel in", _install)
_REFRESH = _Remedy("registered again:", _refresh)
_ORDER = (_REPAIR, _INSTALL, _REFRESH)  # what is registered again should be whole by then
_REMEDIES: Mapping[str, _Remedy] = {
    "program-gone": _REPAIR,
    "ipykernel-broken": _REPAIR,
    "ipykernel-missing": _INSTALL,
    "activation": _REFRESH,
    "blis-threads": _REFRESH,
    "cpu-quota": _REFRESH,
    "drift": _REFRESH,
    "launcher-gone": _REFRESH,
    "limit-outdated": _REFRESH,
    "older": _REFRESH,
    "stand-in-gone": _REFRESH,
    "user-site": _REFRESH,
}
