"""Checks that packages in the user's own folder cannot take the place of an environment's."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from mambakernels.doctor.findings import Finding, about
from mambakernels.doctor.look import Kernel, Look
from mambakernels.doctor.prefixes import distributions

_VARIABLE = "PYTHONNOUSERSITE"
_SHOWN = 5


def check(look: Look) -> Iterator[Finding]:
    """Say in which kernels packages of the user's own folder would be imported instead of the environment's."""
    base = Path(look.session.get("PYTHONUSERBASE") or "~/.local").expanduser()
    found = functools.cache(distributions)
    for kernel in look.kernels:
        if kernel.is_python and not kernel.variables.get(_VARIABLE) and kernel.prefix.python:
            site = base / "lib" / f"python{kernel.prefix.python}" / "site-packages"
            shadowed = sorted(found(site).keys() & kernel.prefix.distributions.keys())
            if shadowed:
                yield _finding(kernel, site, shadowed)


def _finding(kernel: Kernel, site: Path, shadowed: list[str]) -> Finding:
    spec, chosen = kernel.spec, _VARIABLE in kernel.spec.variables
    shown = ", ".join(shadowed[:_SHOWN]) + (f" and {len(shadowed) - _SHOWN} more" if len(shadowed) > _SHOWN else "")
    return about(
        spec,
        "user-site",
        "warning",
        what=f"Packages in {site} take the place of the environment's: {shown}.",
        why=f"The kernel does not set {_VARIABLE}, so what is imported is not what the environment was made with.",
        remedy=kernel.again(without=(_VARIABLE,)) if chosen else kernel.anew(),
        fixable=not (chosen or spec.copied),
    )
