"""Repairs: the remedies that are safe, each applied once for all the findings that it resolves, to ours only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from mambakernels import environments, errors, kernels
from mambakernels.doctor.prefixes import Prefix
from mambakernels.doctor.survey import Survey
from mambakernels.engines import EngineName
from mambakernels.kernels import KernelSpec, lifecycle
from mambakernels.numeric.rules import Finding
from mambakernels.paths import storage_errors
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

    def object_of(finding: Finding) -> tuple[int, Path]:
        return _order(finding), _prefix(finding, survey).path

    fixable = sorted((finding for finding in findings if finding.fixable), key=object_of)
    groups = [tuple(group) for _, group in groupby(fixable, key=object_of)]
    repairs: list[Repair] = []
    for number, group in enumerate(groups):
        prefix, paths = _prefix(group[0], survey), {finding.path for finding in group}
        progress(Event("repairing", prefix.name, number, len(groups)))
        specs = tuple(kernel.spec for kernel in survey.kernels if kernel.spec.path in paths)
        words, remedy, _ = _REMEDIES[_order(group[0])]
        done = f"{words} {', '.join(spec.name for spec in specs) or prefix.name}"
        try:
            storage_errors(remedy)(_Patient(prefix, specs, engine, progress))
        except errors.MambakernelsError as error:
            repairs.append(Repair(done, group, error))
        else:
            repairs.append(Repair(done, group))
    return repairs


def _order(finding: Finding) -> int:
    return next(number for number, (_, _, rules) in enumerate(_REMEDIES) if finding.rule in rules)


def _prefix(finding: Finding, survey: Survey) -> Prefix:
    """Return the environment that a finding is about: its kernel's, or the one at its path."""
    found = (kernel.prefix for kernel in survey.kernels if kernel.spec.path == finding.path)
    return next(found, None) or next(prefix for prefix in survey.prefixes if prefix.path == finding.path)


def _relink(patient: _Patient) -> None:
    prefix, progress = patient.prefix, patient.progress
    environments.verify(prefix.path, repair=True, engine=patient.engine, root=prefix.root, progress=progress)


def _install(patient: _Patient) -> None:
    prefix, progress = patient.prefix, patient.progress
    lifecycle.install(prefix.path, ["ipykernel"], engine=patient.engine, root=prefix.root, progress=progress)


def _register(patient: _Patient) -> None:
    with environments.held(patient.prefix.path, patient.prefix.root, progress=patient.progress) as environment:
        kernels.refresh(environment, only=patient.specs)


_REMEDIES: tuple[tuple[str, Callable[[_Patient], None], frozenset[str]], ...] = (
    ("linked again:", _relink, frozenset({"program-gone", "ipykernel-broken"})),
    ("installed ipykernel in", _install, frozenset({"ipykernel-missing"})),
    (
        "registered again:",
        _register,
        frozenset({
            "activation", "blis-threads", "cpu-quota", "drift", "launcher-gone", "limit-outdated", "stand-in-gone",
            "user-site",
        }),
    ),
)  # fmt: skip
"""Each remedy in words, and the rules it is for; an environment is registered again once it is whole."""
