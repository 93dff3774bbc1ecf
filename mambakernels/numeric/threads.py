"""How many threads the numeric libraries use: set before the first of them loads, or not at all."""

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
"""What OpenMP, OpenBLAS, MKL, BLIS, Accelerate and numexpr read, once, when they load."""

READS: Mapping[str, tuple[str, ...]] = {
    "openblas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "mkl": ("MKL_NUM_THREADS", "OMP_NUM_THREADS"),
    "blis": ("BLIS_NUM_THREADS", "OMP_NUM_THREADS"),
    "nvpl": ("NVPL_BLAS_NUM_THREADS", "OMP_NUM_THREADS"),
    "accelerate": ("VECLIB_MAXIMUM_THREADS",),
}
"""Which of them each BLAS reads, the first that is set; netlib's has no threads and reads none."""


def asked_threads(blas: str, variables: Mapping[str, str]) -> int | None:
    """Return how many threads the variables ask a BLAS of that name to use; None if they ask for nothing."""
    values = (variables.get(name, "").split(",")[0].strip() for name in READS.get(blas, ()))
    return next((int(value) for value in values if value.isdigit() and int(value) > 0), None)


def set_threads(count: int) -> None:
    """Let every numeric library that loads from now on use `count` threads; 0 leaves all as it is.

    Raises
    ------
    ValueError
        `count` is not a whole number of at least 0.
    RuntimeError
        NumPy is loaded already and another number was set: its BLAS would not see the change.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ValueError(f"threads must be a whole number of at least 0 (0: leave as set), not {count!r}.")
    wanted = dict.fromkeys(THREAD_VARIABLES, str(count)) if count else {}
    differs = any(os.environ.get(name) != value for name, value in wanted.items())
    if differs and "numpy" in sys.modules:
        raise RuntimeError(
            f"NumPy is already loaded, so its BLAS can no longer be told to use {count} threads. "
            "Restart the kernel and set the threads before anything imports NumPy."
        )
    os.environ.update(wanted)
