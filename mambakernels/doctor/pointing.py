"""Checks of what a kernelspec points to: its prefix, its program, its launcher, the activation it captured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mambakernels import activation, errors
from mambakernels.doctor.findings import Finding, Severity
from mambakernels.doctor.look import Kernel, Look

_LAUNCHERS = frozenset({"start.sh", "start.py"})


def check(look: Look) -> Iterator[Finding]:
    """Say which kernels point nowhere, were written by an older version, or differ from their environment's activation.

    Of a kernel that points nowhere, nothing else is said.
    """
    for kernel in look.kernels:
        yield from _nowhere(kernel) or _stale(kernel)


def _nowhere(kernel: Kernel) -> list[Finding]:
    spec = kernel.spec
    if not os.path.exists(spec.prefix):  # noqa: PTH110 (Path.exists raises where it is not permitted to look)
        return [
            _finding(
                kernel,
                "prefix-gone",
                "error",
                what=f"Its environment is gone: {spec.prefix}.",
                why="The kernel cannot start. If the environment was moved, register it where it is now: "
                f"mambakernels register NEW_PATH --kernel {spec.base}",
                remedy=f"mambakernels prune{kernel.prefix.option}",
                fixable=True,
            )
        ]
    if os.access(spec.program, os.X_OK):
        return []
    managed = kernel.prefix.environment is not None
    return [
        _finding(
            kernel,
            "program-gone",
            "error",
            what=f"Its program cannot be started: {spec.program}.",
            why="The environment is damaged, or its packages were taken out."
            + ("" if managed else " Mend it with the program that made it, or take the kernel out of Jupyter's lists."),
            remedy=kernel.prefix.command("verify", "--repair")
            if managed
            else f"mambakernels unregister {spec.name}{kernel.prefix.option}",
            fixable=managed,
        )
    ]


def _stale(kernel: Kernel) -> list[Finding]:
    return [*_older(kernel), *_drifted(kernel)]


def _older(kernel: Kernel) -> Iterator[Finding]:
    stand_in = kernel.mark.get("stand_in")
    launchers = [Path(word) for word in kernel.spec.argv if Path(word).name in _LAUNCHERS]
    gone = next((launcher for launcher in launchers if not launcher.is_file()), None)
    if not stand_in or not (launchers or os.name == "nt"):
        what = "It was written by an older mambakernels."
        why = "If its environment is moved or breaks, the notebook would say no more than that the kernel died."
        yield _again(kernel, "older", "warning", what, why)
    elif gone is not None:
        what = f"What it is started with is gone: {gone}."
        yield _again(kernel, "launcher-gone", "error", what, "The kernel cannot start. Its folder was moved or cut.")
    elif not os.access(stand_in, os.X_OK):
        what = f"The Python of mambakernels that stands in for it is gone: {stand_in}."
        why = "If the environment is moved or breaks, nothing is left that could say so in the notebook."
        yield _again(kernel, "stand-in-gone", "warning", what, why)


def _drifted(kernel: Kernel) -> Iterator[Finding]:
    try:
        drifted = has_drifted(kernel)
    except errors.ActivationError as error:
        why = f"The kernel runs with what was captured at its registration. {error.next_step or ''}".strip()
        yield _again(kernel, "activation", "error", f"Its environment cannot be activated any more: {error.what}", why)
        return
    if drifted:
        what = "The environment's activation has changed since the kernel was registered."
        why = "Packages were installed or removed, or variables set, with another program: the kernel lacks them."
        yield _again(kernel, "drift", "warning", what, why)


def has_drifted(kernel: Kernel) -> bool:
    """Whether activating its environment is another thing now; ActivationError if that cannot be told."""
    return activation.fingerprint(kernel.spec.prefix) != kernel.spec.fingerprint


def _again(kernel: Kernel, check: str, severity: Severity, what: str, why: str) -> Finding:
    return _finding(kernel, check, severity, what=what, why=why, remedy=kernel.again(), fixable=True)


def _finding(
    kernel: Kernel, check: str, severity: Severity, *, what: str, why: str, remedy: str, fixable: bool
) -> Finding:
    spec = kernel.spec
    return Finding(check, severity, spec.name, spec.environment, spec.path, what, why, remedy, fixable)
