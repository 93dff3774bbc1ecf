"""Checks of the variables of a kernel: thread counts, and settings that do nothing any more or do harm."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from mambakernels.doctor.findings import Finding, Severity, about
from mambakernels.doctor.look import Kernel, Look
from mambakernels.kernels.threads import decide
from mambakernels.numeric.threads import THREAD_VARIABLES

_BLIS_READS = ("BLIS_NUM_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Setting:
    """A variable (or all that begin alike, with `*`), and what is wrong with it where it is set.

    `blas` is the only library that reads it; None if it is wrong wherever it is set.
    """

    name: str
    severity: Severity
    what: str
    why: str
    blas: str | None = None

    def matches(self, variable: str) -> bool:
        """Whether a variable is meant."""
        return variable.startswith(self.name[:-1]) if self.name.endswith("*") else variable == self.name


def _read_by(prefix: str, blas: str, title: str) -> Setting:
    return Setting(
        f"{prefix}*", "note", f"does nothing here: only {title} reads it", f"The kernel does not run on {title}.", blas
    )


SETTINGS = (
    Setting(
        "MKL_DEBUG_CPU_TYPE",
        "warning",
        "does nothing any more: MKL gave it up in version 2020.1",
        "Who relies on it measures something else than they think. MKL_ENABLE_INSTRUCTIONS chooses a code path now.",
    ),
    Setting(
        "KMP_DUPLICATE_LIB_OK",
        "warning",
        "hides that two OpenMP runtimes are loaded",
        "With two of them, programs hang, crash, or compute wrong results without a word.",
    ),
    _read_by("OPENBLAS_", "openblas", "OpenBLAS"),
    _read_by("MKL_", "mkl", "MKL"),
    _read_by("BLIS_", "blis", "BLIS"),
)


def check(look: Look) -> Iterator[Finding]:
    """Say which kernels, and whether this session, set what they should not, or lack what they need."""
    for kernel in look.kernels:
        yield from _one_thread(kernel, look)
        yield from _quota(kernel, look) or _outdated(kernel, look)
        yield from _settings(kernel)
    yield from _session(look)


def _one_thread(kernel: Kernel, look: Look) -> Iterator[Finding]:
    """BLIS: what this session sets is left to count, as it is when a kernel is registered."""
    set_here = {**look.session, **kernel.variables}
    if kernel.spec.blas != "blis" or any(set_here.get(name) for name in _BLIS_READS):
        return
    yield about(
        kernel.spec,
        "blis-threads",
        "warning",
        what="BLIS will use one thread: neither BLIS_NUM_THREADS nor OMP_NUM_THREADS is set in the kernel.",
        why="Unlike the other libraries it takes one core unless it is told otherwise, before it is loaded.",
        remedy=kernel.again(threads=look.machine.threads, without=_BLIS_READS),
        fixable=not (_chosen(kernel) or kernel.spec.copied),
    )


def _quota(kernel: Kernel, look: Look) -> list[Finding]:
    machine = look.machine
    told = _told(kernel.variables) or _told(look.session)
    expected = told or (machine.cores if kernel.spec.blas else 0)
    if machine.quota is None or expected <= machine.threads:
        return []
    uses = f"is told to use {told} threads" if told else f"will use {expected} threads, one per core"
    finding = about(
        kernel.spec,
        "cpu-quota",
        "warning",
        what=f"It {uses}, and the control group allows {machine.quota:g} cores' worth of time.",
        why="Threads beyond the quota wait for each other: often slower than one alone, and never the same twice.",
        remedy=kernel.again(threads=machine.threads, without=THREAD_VARIABLES),
        fixable=not (_chosen(kernel) or kernel.spec.copied),
    )
    return [finding]


def _outdated(kernel: Kernel, look: Look) -> Iterator[Finding]:
    """Compare a limit that nobody asked for with the one that would be chosen now."""
    spec, machine = kernel.spec, look.machine
    now = decide(None, spec.blas, cores=machine.cores, quota=machine.quota, session={}).count
    if spec.limit is not None and spec.limit != now:
        yield about(
            spec,
            "limit-outdated",
            "note",
            what=f"Its libraries are held to {spec.limit} thread{'s' * (spec.limit != 1)} ({spec.limited_by}); "
            f"now it would be {now or machine.cores}.",
            why="It was registered where another number of cores, or another quota, was allowed.",
            remedy=kernel.anew(),
            fixable=not spec.copied,
        )


def _chosen(kernel: Kernel) -> bool:
    """Whether somebody asked for its number of threads: registering it again as it was would not change that."""
    return kernel.spec.threads is not None or bool(kernel.spec.variables.keys() & set(THREAD_VARIABLES))


def _told(variables: Mapping[str, str]) -> int:
    """Return the largest number of threads that variables ask for; 0 if they ask for none."""
    counts = (variables.get(name, "") for name in THREAD_VARIABLES)
    return max((int(count) for count in counts if count.isdecimal()), default=0)


def _settings(kernel: Kernel) -> Iterator[Finding]:
    found = {
        name: setting
        for name, value in kernel.variables.items()
        if value and (setting := _wrong(name, kernel.spec.blas))
        if setting.blas is None or name in kernel.spec.variables
    }
    remedy = _without(kernel, found)
    for name, setting in found.items():
        what = f"{name} {setting.what}."
        yield about(kernel.spec, "setting", setting.severity, what=what, why=setting.why, remedy=remedy)


def _wrong(variable: str, blas: str | None) -> Setting | None:
    """Return what is wrong with setting a variable for a BLAS; thread counts are set for all of them at once."""
    if variable in THREAD_VARIABLES:
        return None
    found = (setting for setting in SETTINGS if setting.matches(variable))
    return next((setting for setting in found if setting.blas is None or (blas and blas != setting.blas)), None)


def _without(kernel: Kernel, wrong: Collection[str]) -> str:
    """Return what takes variables out of a kernel, all at once; one that activation sets can only be emptied."""
    return kernel.again(without=wrong, empty=[name for name in wrong if name not in kernel.spec.variables])


def _session(look: Look) -> Iterator[Finding]:
    """Look at this session, whose variables kernels inherit; what a kernel sets itself counts more."""
    libraries = {kernel.spec.blas for kernel in look.kernels if kernel.spec.blas}
    for name in sorted(look.session):
        setting = _wrong(name, None)
        unread = next((item for item in SETTINGS if item.blas and item.matches(name)), None)
        if setting is None and unread and libraries and unread.blas not in libraries and name not in THREAD_VARIABLES:
            setting = unread
        if setting is not None:
            yield Finding(
                "setting",
                setting.severity,
                None,
                None,
                None,
                f"{name}, set in this session, {setting.what}.",
                setting.why,
                f"unset {shlex.quote(name)}",
            )
