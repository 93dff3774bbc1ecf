"""Thread counts of numeric libraries, which read them from variables when they load.

Everywhere in mambakernels (`register`, `kernels.toml`, `bench`, `set_threads`, on the command line and in Python) a
count of threads means the same: None is no request, so each kernel runs as it is registered; 0 leaves the number to
the libraries; any other number is used by all of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""The variables that OpenMP, OpenBLAS, MKL, BLIS, Accelerate and numexpr read, once, when they load."""

READS: Mapping[str, tuple[str, ...]] = {
    "openblas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "mkl": ("MKL_NUM_THREADS", "OMP_NUM_THREADS"),
    "blis": ("BLIS_NUM_THREADS", "OMP_NUM_THREADS"),
    "nvpl": ("NVPL_BLAS_NUM_THREADS", "OMP_NUM_THREADS"),
    "accelerate": ("VECLIB_MAXIMUM_THREADS",),
}
"""The variables each BLAS reads, the first that is set; netlib's has no threads and reads none."""

MOST_THREADS = 4096  # with far more, libraries crash at their first call


def thread_variables(count: int | None) -> dict[str, str]:
    """Return the variables that make every numeric library use `count` threads: none for None and 0."""
    return dict.fromkeys(THREAD_VARIABLES, str(count)) if count else {}


def threads_in_words(threads: int) -> str:
    """Write a number of threads."""
    return f"{threads} thread{'s' * (threads != 1)}"


def is_thread_count(count: object) -> bool:
    """Whether a number of threads can be used: a whole number from 0 to `MOST_THREADS`."""
    return isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MOST_THREADS


def asked_threads(blas: str, variables: Mapping[str, str]) -> int | None:
    """Return how many threads the variables ask a BLAS of that name to use; None if they ask for nothing."""
    values = (variables.get(name, "").split(",")[0].strip() for name in READS.get(blas, ()))
    return next((int(value) for value in values if value.isdigit() and int(value) > 0), None)


def usable_threads(cores: int, quota: float | None) -> int:
    """Return how many threads can run at once on `cores` cores under a CPU quota (cores' worth of time).

    Only whole cores of a quota count, and at least one: at 1.5 cores, a second thread would wait a third of the time.
    """
    return cores if quota is None else min(cores, max(1, int(quota)))


def exceeds_quota(threads: int, quota: float | None) -> bool:
    """Whether a CPU quota lets fewer than `threads` threads run at once."""
    return threads > usable_threads(threads, quota)


def set_threads(count: int | None) -> None:
    """Make every numeric library that loads from now on use `count` threads; None and 0 change nothing.

    Raises
    ------
    ValueError
        `count` is not a whole number from 0 to `MOST_THREADS`.
    RuntimeError
        NumPy is loaded already and another number was set: its BLAS would not see the change.
    """
    if count is not None and not is_thread_count(count):
        raise ValueError(f"threads must be a whole number of at least 0 (0: leave as set), not {count!r}.")
    wanted = thread_variables(count)
    differs = any(os.environ.get(name) != value for name, value in wanted.items())
    if differs and "numpy" in sys.modules:
        raise RuntimeError(
            f"NumPy is already loaded, so its BLAS can no longer change to {count} threads. "
            "Restart the kernel and set the threads before anything imports NumPy."
        )
    os.environ.update(wanted)
