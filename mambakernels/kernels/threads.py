"""How many threads a kernel's numeric libraries may use: as asked, or no more than a container's quota allows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from mambakernels.errors import InvalidRequestError
from mambakernels.numeric.machine import cpu_quota
from mambakernels.numeric.threads import THREAD_VARIABLES

_BLIS = "BLIS_NUM_THREADS"
_GENERAL = "OMP_NUM_THREADS"
_MOST = 4096  # with far more, libraries crash at their first call


@dataclass(frozen=True)
class Threads:
    """A decision: the thread count (None: as the libraries choose), the variables that say it, and why.

    `asked` tells a count that somebody asked for from a limit that was found to be sensible.
    """

    count: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    why: str | None = None
    asked: bool = False


def available() -> int:
    """Return how many processors this process may run on; a quota is another matter."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable() -> int:
    """Return how many threads this process may use at once: its processors, or less if a container's quota says so."""
    return within(available(), cpu_quota())


def decide(
    asked: int | None, blas: str | None, *, cores: int, quota: float | None, session: Mapping[str, str]
) -> Threads:
    """Say how many threads a kernel uses: `asked`, where 0 leaves it to the libraries, or what is sensible here.

    Libraries count the machine's processors, not a control group's quota, so that is what is set where there is one;
    BLIS uses one thread unless told. What the session sets is left as it is. InvalidRequestError for a count that
    cannot be.
    """
    if asked is not None:
        if not 0 <= asked <= _MOST:
            raise InvalidRequestError(
                f"A kernel cannot use {asked} threads.",
                next_step=f"Up to {_MOST}; 0 leaves the number to the libraries.",
            )
        variables = dict.fromkeys(THREAD_VARIABLES, str(asked)) if asked else {}
        return Threads(asked or None, variables, asked=True)
    count = within(cores, quota)
    if _GENERAL in session:
        return Threads()  # every library heeds it, unless a variable of its own is set
    if quota is not None and count < cores:
        return _unless_set(THREAD_VARIABLES, count, session, f"the CPU quota is {quota:g} of {cores} cores")
    if blas == "blis":
        return _unless_set((_BLIS,), count, session, "BLIS uses one thread unless told")
    return Threads()


def _unless_set(names: tuple[str, ...], count: int, session: Mapping[str, str], why: str) -> Threads:
    variables = {name: str(count) for name in names if name not in session}
    return Threads(count, variables, why) if variables else Threads()


def within(cores: int, quota: float | None) -> int:
    """Return how many threads can run at once on so many processors, if a quota allows so many cores' worth of time."""
    return max(1, min(cores, int(quota))) if quota is not None else cores
