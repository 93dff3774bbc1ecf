"""The one file about BLAS on the way from environments to runs: titles, threads, CPU quotas, the loaded one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mambakernels.errors import InvalidRequestError
from mambakernels.numeric.machine import cpu_quota
from mambakernels.numeric.threads import (
    MOST_THREADS,
    THREAD_VARIABLES,
    is_thread_count,
    thread_variables,
    threads_in_words,
    usable_threads,
)

TITLES: Mapping[str, str] = {
    "accelerate": "Accelerate",
    "blis": "BLIS",
    "mkl": "MKL",
    "netlib": "netlib",
    "nvpl": "NVPL",
    "openblas": "OpenBLAS",
}
"""How each BLAS is written in a display name, by the last word of libblas' build string."""

_BLIS = "BLIS_NUM_THREADS"
_GENERAL = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Processors:
    """The cores that this process may use, and how many cores' worth of time its control groups allow, if limited."""

    cores: int
    quota: float | None

    @classmethod
    def here(cls) -> Processors:
        """Describe the machine this process runs on."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(cores, cpu_quota())

    @property
    def threads(self) -> int:
        """The number of threads that can run at once."""
        return usable_threads(self.cores, self.quota)


@dataclass(frozen=True)
class ThreadChoice:
    """The thread count of a kernel (None: as the libraries choose), the variables that set it, and the reason.

    `asked` distinguishes a count that was asked for from a limit that mambakernels chose.
    """

    count: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    why: str | None = None
    asked: bool = False


def choose_threads(
    asked: int | None, blas: str | None, *, processors: Processors, session: Mapping[str, str]
) -> ThreadChoice:
    """Choose how many threads a kernel uses: `asked` (see `numeric.threads`), or for None what is sensible here.

    Libraries count the machine's processors and ignore a control group's quota, so a quota below them becomes a limit;
    BLIS uses one thread unless a variable sets another number. Variables that the session sets are left as they are.
    Raises InvalidRequestError for a count that cannot be used.
    """
    if asked is not None:
        if not is_thread_count(asked):
            raise InvalidRequestError(
                f"A kernel cannot use {asked} threads.",
                next_step=f"Ask for up to {MOST_THREADS} threads; 0 leaves the number to the libraries.",
            )
        return ThreadChoice(asked or None, thread_variables(asked), asked=True)
    if _GENERAL in session:
        return ThreadChoice()  # every library follows it, unless its own variable is set
    cores, count = processors.cores, processors.threads
    if count < cores:
        why = f"the CPU quota is {processors.quota:g} of {cores} cores"
        return _unless_set(THREAD_VARIABLES, count, session, why)
    if blas == "blis":
        return _unless_set((_BLIS,), count, session, "BLIS uses one thread by default")
    return ThreadChoice()


def with_thread_count(variables: Mapping[str, str], count: int) -> dict[str, str]:
    """Return a kernel's variables with another number of threads; 0 takes those of threads out."""
    return {name: value for name, value in variables.items() if name not in THREAD_VARIABLES} | thread_variables(count)


def label(kernel: str, threads: int | None) -> str:
    """Name a kernel, and its threads if a number was asked for."""
    if threads is None:
        return kernel
    return f"{kernel} ({threads_in_words(threads)})" if threads else f"{kernel} (threads as the library chooses)"


def loaded_blas(libraries: Sequence[str]) -> str | None:
    """Return the name of the one BLAS among the libraries that a process has loaded; None if it is not just one."""
    if not libraries:
        return None
    from mambakernels.numeric.libraries import only_blas  # with ctypes, for processes that loaded any

    return only_blas(libraries)


def _unless_set(names: tuple[str, ...], count: int, session: Mapping[str, str], why: str) -> ThreadChoice:
    variables = {name: str(count) for name in names if name not in session}
    return ThreadChoice(count, variables, why) if variables else ThreadChoice()
