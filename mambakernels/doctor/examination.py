"""The examination: every check of one survey, and a second survey after repairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mambakernels.doctor.damaged_records import check_records
from mambakernels.doctor.ipykernel import check_ipykernel
from mambakernels.doctor.numpy_libraries import check_libraries
from mambakernels.doctor.repair import Repair, apply_repairs
from mambakernels.doctor.survey import Survey, gather
from mambakernels.doctor.targets import check_targets
from mambakernels.doctor.user_site import check_user_site
from mambakernels.doctor.variables import check_variables
from mambakernels.doctor.visibility import check_visibility
from mambakernels.engines import EngineName
from mambakernels.kernels.blas import Processors
from mambakernels.numeric.rules import Finding
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.progress import Progress, silent

CHECKS: tuple[Callable[[Survey], Iterator[Finding]], ...] = (
    check_targets,
    check_ipykernel,
    check_libraries,
    check_visibility,
    check_variables,
    check_user_site,
    check_records,  # the last one, as it names the records that the others could not read
)
"""The checks that start nothing: pure functions of a survey."""


@dataclass(frozen=True)
class Examination:
    """The findings, those that are left after repairs; the number of kernels; whether they were started; repairs."""

    findings: tuple[Finding, ...]
    kernels: int
    started: bool
    repairs: tuple[Repair, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether only notes are left."""
        return not any(finding.is_problem for finding in self.findings)


@storage_errors
def doctor(
    *names: str,
    start: bool = False,
    fix: bool = False,
    engine: EngineName = "auto",
    timeout: float = 60,
    processors: Processors | None = None,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Examination:
    """Find out what is wrong with our kernels and environments, or with those named; `fix` repairs what is safe.

    Kernels that are named are started, and with `start` all; each has `timeout` seconds to answer. What `fix` did, and
    the errors it met, are in `repairs`; the findings are those that are left. Nothing that mambakernels did not make
    is changed. Raises NotFoundError for a name that is neither a kernel's nor an environment's.
    """
    place = Root.find(root)
    starts = start or bool(names)

    def examined(*, strict: bool) -> tuple[Survey, list[Finding]]:
        survey = gather(place, names, processors=processors, strict=strict)
        return survey, list(_findings(survey, timeout if starts else None, progress))

    survey, findings = examined(strict=True)
    repairs = tuple(apply_repairs(findings, survey, engine=engine, progress=progress)) if fix else ()
    if repairs:
        survey, findings = examined(strict=False)  # a kernel that was named may be gone now
    return Examination(tuple(findings), len(survey.kernels), starts, repairs)


def _findings(survey: Survey, timeout: float | None, progress: Progress) -> Iterator[Finding]:
    for check in CHECKS:
        yield from check(survey)
    if timeout is not None:
        from mambakernels.doctor.started_kernels import check_started

        yield from check_started(survey, timeout=timeout, progress=progress)
