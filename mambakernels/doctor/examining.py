"""Examining: every check on one look, and a second look at what was mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mambakernels.doctor import blas, ipykernel, listing, pointing, settings, user_site
from mambakernels.doctor.findings import Finding
from mambakernels.doctor.look import Look, Machine, gather
from mambakernels.doctor.mending import Mended, mend
from mambakernels.engines import EngineName
from mambakernels.errors import translated
from mambakernels.paths import PathLike, Root
from mambakernels.progress import Progress, silent

CHECKS: tuple[Callable[[Look], Iterator[Finding]], ...] = (
    pointing.check,
    ipykernel.check,
    blas.check,
    listing.check,
    settings.check,
    user_site.check,
)
"""What is found without starting anything: pure functions of a look."""

_GRAVE = frozenset({"error", "warning"})


@dataclass(frozen=True)
class Examination:
    """What was found, or is left after mending; how many kernels were looked at; what was mended."""

    findings: tuple[Finding, ...]
    kernels: int
    started: bool
    mended: tuple[Mended, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing but notes is left."""
        return not any(finding.severity in _GRAVE for finding in self.findings)


@translated
def doctor(
    *names: str,
    start: bool = False,
    fix: bool = False,
    engine: EngineName = "auto",
    timeout: float = 60,
    machine: Machine | None = None,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Examination:
    """Find out what is wrong with our kernels and environments, or with those named; `fix` repairs what is safe.

    Kernels that are named are started, and with `start` all; each has `timeout` seconds to answer. What `fix` did, and
    what a remedy raised, is in `mended`; the findings are those that are left. Nothing that mambakernels did not make
    is changed. Raises NotFoundError for a name that is neither a kernel's nor an environment's.
    """
    place = Root.find(root)
    starts = start or bool(names)

    def looked(*, strict: bool) -> tuple[Look, list[Finding]]:
        look = gather(place, names, machine=machine, strict=strict)
        return look, list(_findings(look, timeout if starts else None, progress))

    look, findings = looked(strict=True)
    mended = tuple(mend(findings, look, engine=engine, progress=progress)) if fix else ()
    if mended:
        look, findings = looked(strict=False)  # a kernel that was named may be gone now
    return Examination(tuple(findings), len(look.kernels), starts, mended)


def _findings(look: Look, timeout: float | None, progress: Progress) -> Iterator[Finding]:
    for check in CHECKS:
        yield from check(look)
    if timeout is not None:
        from mambakernels.doctor import starting

        yield from starting.check(look, timeout=timeout, progress=progress)
