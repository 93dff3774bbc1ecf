"""Checks that packages in the user's folder cannot take the place of an environment's."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from mambakernels.doctor.prefixes import distributions, shortened
from mambakernels.doctor.survey import RegisteredKernel, Survey
from mambakernels.numeric.rules import Finding

_VARIABLE = "PYTHONNOUSERSITE"


def check_user_site(survey: Survey) -> Iterator[Finding]:
    """Yield kernels that would import packages from the user's folder instead of the environment's."""
    base = Path(survey.session.get("PYTHONUSERBASE") or "~/.local").expanduser()
    found = functools.cache(distributions)
    for kernel in survey.kernels:
        if kernel.is_python and not kernel.variables.get(_VARIABLE) and kernel.prefix.python:
            site = base / "lib" / f"python{kernel.prefix.python}" / "site-packages"
            shadowed = sorted(found(site).keys() & kernel.prefix.distributions.keys())
            if shadowed:
                yield _finding(kernel, site, shadowed)


def _finding(kernel: RegisteredKernel, site: Path, shadowed: list[str]) -> Finding:
    spec, chosen = kernel.spec, _VARIABLE in kernel.spec.variables
    return kernel.finding(
        "user-site",
        "warning",
        f"Packages in {site} take the place of the environment's: {shortened(shadowed, 5)}.",
        why=f"The kernel does not set {_VARIABLE}, so it imports other packages than the environment was made with.",
        remedy=kernel.register_command(without=(_VARIABLE,)) if chosen else kernel.rewrite_command(),
        fixable=not (chosen or spec.copied),
    )
