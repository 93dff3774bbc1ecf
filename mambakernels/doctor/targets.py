"""Checks of the targets of a kernelspec: its prefix, its program, its launcher, the activation it captured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mambakernels import errors
from mambakernels.activation import capture
from mambakernels.doctor.survey import RegisteredKernel, Survey
from mambakernels.kernels import command_lines
from mambakernels.kernels.specs import LAUNCHERS, can_start, is_gone
from mambakernels.numeric.rules import Finding, Severity

_SEEN_BY_SYNC = frozenset({"activation", "drift"})  # a project's sync repairs these by itself


def check_targets(survey: Survey) -> Iterator[Finding]:
    """Yield kernels whose target is gone, whose kernelspec is damaged, or whose environment's activation changed.

    A kernel whose prefix or program is gone gets no other findings.
    """
    for folder in survey.damaged:
        yield _damaged(folder)
    for kernel in survey.kernels:
        yield from _gone(kernel) or _stale(kernel)


def _damaged(folder: Path) -> Finding:
    why = "The kernel cannot start. After the remedy, register its environment again."
    remedy = command_lines.to_remove_folder(folder)
    return Finding("damaged", "error", "Its kernel.json is damaged.", why, remedy, folder.name, None, folder)


def _gone(kernel: RegisteredKernel) -> list[Finding]:
    spec, managed = kernel.spec, kernel.prefix.environment is not None
    if is_gone(spec.prefix):
        remove = f"mambakernels prune{kernel.prefix.option}"
        return [
            kernel.finding(
                "prefix-gone",
                "error",
                f"Its environment is gone: {spec.prefix}.",
                why="The kernel cannot start. The remedy deletes the kernel and its settings: do not use it if the "
                "environment is on a disk that is not mounted right now. "
                f"If it was moved: {command_lines.to_register(spec, 'NEW_PATH')}",
                remedy=command_lines.to_unregister(spec) if spec.copied else remove,
            )
        ]
    if can_start(spec.program):
        return []
    return [
        kernel.finding(
            "program-gone",
            "error",
            f"Its program cannot be started: {spec.program}.",
            why="The environment is damaged, or packages were removed from it."
            + ("" if managed else " Repair it with the program that made it, or remove the kernel."),
            remedy=kernel.prefix.command("verify", "--repair") if managed else command_lines.to_unregister(spec),
            fixable=managed,
        )
    ]


def _stale(kernel: RegisteredKernel) -> list[Finding]:
    return [*_malformed(kernel), *_copied(kernel), *_without_launcher(kernel), *_drifted(kernel)]


def _malformed(kernel: RegisteredKernel) -> Iterator[Finding]:
    if kernel.malformed is not None:
        yield kernel.finding(
            "kernelspec",
            "error",
            f"Jupyter cannot read its kernel.json: {kernel.malformed}.",
            why="The kernel cannot start: env must be an object, and each value in it a string.",
            remedy=kernel.rewrite_command(),
        )


def _copied(kernel: RegisteredKernel) -> Iterator[Finding]:
    borrowed = next((launcher for launcher in _launchers(kernel) if launcher.parent != kernel.spec.path), None)
    if kernel.spec.copied and borrowed is not None:
        yield kernel.finding(
            "copied",
            "note",
            f"It was copied or renamed by hand, and uses the {borrowed} of another kernel.",
            why="It stops working when that kernel is removed, and is not registered again together with it. "
            "Changes made by hand in a kernel.json are lost when it is registered.",
            remedy=kernel.rewrite_command(),
        )


def _launchers(kernel: RegisteredKernel) -> list[Path]:
    return [Path(word) for word in kernel.spec.argv if Path(word).name in LAUNCHERS]


def _without_launcher(kernel: RegisteredKernel) -> Iterator[Finding]:
    stand_in = kernel.spec.stand_in
    gone = next((launcher for launcher in _launchers(kernel) if not launcher.is_file()), None)
    if gone is not None:
        why = "The kernel cannot start: its folder was moved, or files in it were deleted."
        yield _registered_again(kernel, "launcher-gone", "error", f"Its launcher is gone: {gone}.", why)
    elif not os.access(stand_in, os.X_OK):
        text = f"The Python of its stand-in kernel is gone: {stand_in}."
        why = "If the environment is moved or breaks, nothing can explain that in the notebook."
        yield _registered_again(kernel, "stand-in-gone", "warning", text, why)


def _drifted(kernel: RegisteredKernel) -> Iterator[Finding]:
    try:
        drifted = has_drifted(kernel)
    except errors.ActivationError as error:
        yield not_activated(kernel, error)
        return
    if drifted:
        text = "The environment's activation has changed since the kernel was registered."
        why = "Another program installed or removed packages, or set variables: the kernel lacks these changes."
        yield _registered_again(kernel, "drift", "warning", text, why)


def not_activated(kernel: RegisteredKernel, error: errors.ActivationError) -> Finding:
    """Return the finding that a kernel's environment can no longer be activated."""
    why = f"The kernel runs with the activation captured at its registration. {error.next_step or ''}".strip()
    text = f"Its environment can no longer be activated: {error.what}"
    return _registered_again(kernel, "activation", "error", text, why)


def has_drifted(kernel: RegisteredKernel) -> bool:
    """Whether the activation of its environment has changed; ActivationError if its files cannot be read."""
    return capture.fingerprint(kernel.spec.prefix) != kernel.spec.fingerprint


def _registered_again(kernel: RegisteredKernel, rule: str, severity: Severity, text: str, why: str) -> Finding:
    """Return a finding that registering again repairs; a copy made by hand is never written without asking."""
    remedy = kernel.register_command() if rule in _SEEN_BY_SYNC else kernel.rewrite_command()
    return kernel.finding(rule, severity, text, why=why, remedy=remedy, fixable=not kernel.spec.copied)
