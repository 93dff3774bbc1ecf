"""Checks of what a kernelspec points to: its prefix, its program, its launcher, the activation it captured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mambakernels import errors
from mambakernels.activation import capture
from mambakernels.doctor.findings import Finding, Severity, about
from mambakernels.doctor.look import Kernel, Look
from mambakernels.kernels import commands, damaged, launching
from mambakernels.kernels.specs import can_start, is_gone

_LAUNCHERS = frozenset({launching.SHELL_FILE, launching.PYTHON_FILE})
_SEEN_BY_SYNC = frozenset({"activation", "drift"})  # what a project's sync mends by itself


def check(look: Look) -> Iterator[Finding]:
    """Say which kernels point nowhere, were written by an older version, or differ from their environment's activation.

    Of a kernel that points nowhere, nothing else is said.
    """
    for folder in look.damaged:
        yield _damaged(folder)
    for kernel in look.kernels:
        yield from _nowhere(kernel) or _stale(kernel)


def _damaged(folder: Path) -> Finding:
    what, why = f"{damaged.WHAT}.", "The kernel cannot start. Then register its environment again."
    return Finding("damaged", "error", folder.name, None, folder, what, why, damaged.remedy(folder))


def _nowhere(kernel: Kernel) -> list[Finding]:
    spec = kernel.spec
    if is_gone(spec.prefix):
        return [
            about(
                kernel.spec,
                "prefix-gone",
                "error",
                what=f"Its environment is gone: {spec.prefix}.",
                why="The kernel cannot start. This loses what it was asked to be: not if the environment is "
                f"only not mounted now. If it was moved: {commands.again(spec, 'NEW_PATH')}",
                remedy=commands.unregister(spec) if spec.copied else f"mambakernels prune{kernel.prefix.option}",
            )
        ]
    if can_start(spec.program):
        return []
    managed = kernel.prefix.environment is not None
    return [
        about(
            kernel.spec,
            "program-gone",
            "error",
            what=f"Its program cannot be started: {spec.program}.",
            why="The environment is damaged, or its packages were taken out."
            + ("" if managed else " Mend it with the program that made it, or take the kernel out of Jupyter's lists."),
            remedy=kernel.prefix.command("verify", "--repair") if managed else commands.unregister(spec),
            fixable=managed,
        )
    ]


def _stale(kernel: Kernel) -> list[Finding]:
    return [*_malformed(kernel), *_copied(kernel), *_older(kernel), *_drifted(kernel)]


def _malformed(kernel: Kernel) -> Iterator[Finding]:
    if kernel.malformed is not None:
        yield about(
            kernel.spec,
            "kernelspec",
            "error",
            what=f"Jupyter cannot read its kernel.json: {kernel.malformed}.",
            why="The kernel cannot start: env has to be an object, and each value in it a text, in quotes.",
            remedy=kernel.anew(),
        )


def _copied(kernel: Kernel) -> Iterator[Finding]:
    borrowed = next((launcher for launcher in _launchers(kernel) if launcher.parent != kernel.spec.path), None)
    if kernel.spec.copied and borrowed is not None:
        yield about(
            kernel.spec,
            "copied",
            "note",
            what=f"It was copied or renamed by hand, and is started with another's {borrowed}.",
            why="It ends with that one, and is not registered again with it. What is changed by hand in a kernel.json "
            "is lost when it is registered.",
            remedy=kernel.anew(),
        )


def _launchers(kernel: Kernel) -> list[Path]:
    return [Path(word) for word in kernel.spec.argv if Path(word).name in _LAUNCHERS]


def _older(kernel: Kernel) -> Iterator[Finding]:
    stand_in = kernel.mark.get("stand_in")
    launchers = _launchers(kernel)
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
        yield not_activated(kernel, error)
        return
    if drifted:
        what = "The environment's activation has changed since the kernel was registered."
        why = "Packages were installed or removed, or variables set, with another program: the kernel lacks them."
        yield _again(kernel, "drift", "warning", what, why)


def not_activated(kernel: Kernel, error: errors.ActivationError) -> Finding:
    """Return the finding that a kernel's environment cannot be activated any more."""
    why = f"The kernel runs with what was captured at its registration. {error.next_step or ''}".strip()
    return _again(kernel, "activation", "error", f"Its environment cannot be activated any more: {error.what}", why)


def has_drifted(kernel: Kernel) -> bool:
    """Whether activating its environment is another thing now; ActivationError if that cannot be told."""
    return capture.fingerprint(kernel.spec.prefix) != kernel.spec.fingerprint


def _again(kernel: Kernel, check: str, severity: Severity, what: str, why: str) -> Finding:
    """Return a finding that writing the kernelspec again mends; a copy made by hand is never written unasked."""
    remedy = kernel.again() if check in _SEEN_BY_SYNC else kernel.anew()
    fixable = not kernel.spec.copied
    return about(kernel.spec, check, severity, what=what, why=why, remedy=remedy, fixable=fixable)
