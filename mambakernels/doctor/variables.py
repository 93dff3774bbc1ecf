"""Checks of a kernel's variables: thread counts, and settings that do harm or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from mambakernels.doctor.survey import RegisteredKernel, Survey
from mambakernels.kernels.blas import TITLES, choose_threads
from mambakernels.numeric.rules import QUOTA_WHY, SETTINGS, Finding, Setting, over_quota
from mambakernels.numeric.threads import READS, THREAD_VARIABLES, exceeds_quota
from mambakernels.system import quoting

_READ_BY = {"OPENBLAS_": "openblas", "MKL_": "mkl", "BLIS_": "blis"}  # all variables that begin so


def check_variables(survey: Survey) -> Iterator[Finding]:
    """Yield kernels, and this session, that set variables they should not set, or lack variables they need."""
    for kernel in survey.kernels:
        yield from _one_thread(kernel, survey)
        yield from _quota(kernel, survey) or _outdated(kernel, survey)
        yield from _settings(kernel)
    yield from _session(survey)


def _one_thread(kernel: RegisteredKernel, survey: Survey) -> Iterator[Finding]:
    """Check the threads of BLIS; variables of this session count, as they do at registration."""
    set_here = {**survey.session, **kernel.variables}
    if kernel.spec.blas != "blis" or any(set_here.get(name) for name in READS["blis"]):
        return
    yield kernel.finding(
        "blis-threads",
        "warning",
        "BLIS will use one thread: the kernel sets neither BLIS_NUM_THREADS nor OMP_NUM_THREADS.",
        why="Unlike the other libraries, BLIS uses one core unless a variable is set before it is loaded.",
        remedy=kernel.register_command(threads=survey.processors.threads, without=READS["blis"]),
        fixable=not (_chosen(kernel) or kernel.spec.copied),
    )


def _quota(kernel: RegisteredKernel, survey: Survey) -> list[Finding]:
    processors = survey.processors
    asked = _asked(kernel.variables) or _asked(survey.session)
    expected = asked or (processors.cores if kernel.spec.blas else 0)
    if processors.quota is None or not exceeds_quota(expected, processors.quota):
        return []
    uses = f"is set to use {asked} threads" if asked else f"will use {expected} threads, one per core"
    finding = kernel.finding(
        "cpu-quota",
        "warning",
        f"It {uses}. {over_quota(expected, processors.quota)}",
        why=QUOTA_WHY,
        remedy=kernel.register_command(threads=processors.threads, without=THREAD_VARIABLES),
        fixable=not (_chosen(kernel) or kernel.spec.copied),
    )
    return [finding]


def _outdated(kernel: RegisteredKernel, survey: Survey) -> Iterator[Finding]:
    """Compare a limit that mambakernels chose with the one that it would choose now."""
    spec, processors = kernel.spec, survey.processors
    now = choose_threads(None, spec.blas, processors=processors, session={}).count
    if spec.limit is not None and spec.limit != now:
        yield kernel.finding(
            "limit-outdated",
            "note",
            f"Its libraries are limited to {spec.limit} thread{'s' * (spec.limit != 1)} ({spec.limited_by}); "
            f"now it would be {now or processors.cores}.",
            why="The number of cores or the CPU quota has changed since it was registered.",
            remedy=kernel.rewrite_command(),
            fixable=not spec.copied,
        )


def _chosen(kernel: RegisteredKernel) -> bool:
    """Whether the user chose its number of threads, so that registering it again would not change that."""
    return kernel.spec.threads is not None or bool(kernel.spec.variables.keys() & set(THREAD_VARIABLES))


def _asked(variables: Mapping[str, str]) -> int:
    """Return the largest number of threads that variables ask for; 0 if they ask for none."""
    counts = (variables.get(name, "") for name in THREAD_VARIABLES)
    return max((int(count) for count in counts if count.isdecimal()), default=0)


def _settings(kernel: RegisteredKernel) -> Iterator[Finding]:
    found = {name: setting for name, value in kernel.variables.items() if value and (setting := SETTINGS.get(name))}
    found |= {
        name: _unread(name)
        for name in kernel.spec.variables
        if kernel.variables.get(name) and _reader(name) not in (None, kernel.spec.blas or _reader(name))
    }
    remedy = _without(kernel, found)
    for name, setting in found.items():
        yield kernel.finding("setting", setting.severity, f"{name} {setting.text}.", why=setting.why, remedy=remedy)


def _reader(variable: str) -> str | None:
    """Return the only BLAS that reads a variable; None for thread counts, which are set for all, and for others."""
    if variable in THREAD_VARIABLES or variable in SETTINGS:
        return None
    return next((blas for prefix, blas in _READ_BY.items() if variable.startswith(prefix)), None)


def _unread(variable: str) -> Setting:
    title = TITLES[_reader(variable) or ""]
    return Setting("note", f"does nothing here: only {title} reads it", f"The kernel does not run on {title}.")


def _without(kernel: RegisteredKernel, wrong: Collection[str]) -> str:
    """Return the command that removes variables from a kernel; one that activation sets can only be emptied."""
    return kernel.register_command(without=wrong, empty=[name for name in wrong if name not in kernel.spec.variables])


def _session(survey: Survey) -> Iterator[Finding]:
    """Check this session's variables, which kernels inherit unless they set them."""
    libraries = {kernel.spec.blas for kernel in survey.kernels if kernel.spec.blas}
    for name in sorted(survey.session):
        setting = SETTINGS.get(name)
        if setting is None and libraries and _reader(name) not in (None, *libraries):
            setting = _unread(name)
        if setting is not None:
            text = f"{name}, set in this session, {setting.text}."
            yield Finding("setting", setting.severity, text, setting.why, quoting.unset(name))
