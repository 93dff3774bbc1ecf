"""Checks that the records of packages can be read, which everything else relies on."""

from __future__ import annotations

from collections.abc import Iterator

from mambakernels.doctor.survey import Survey
from mambakernels.numeric.rules import Finding


def check_records(survey: Survey) -> Iterator[Finding]:
    """Yield records in `conda-meta` that are damaged."""
    for prefix in survey.prefixes:
        for path in prefix.damaged_records:
            package = path.name.rsplit("-", 2)[0]
            yield prefix.finding(
                "record",
                "error",
                f"The record of the package {package} cannot be read: {path}",
                why="Neither mambakernels nor conda can say what is installed, and conda refuses to change it.",
                remedy=prefix.command("verify", "--repair")
                if prefix.environment
                else prefix.conda("install", "--force-reinstall", package),
            )
