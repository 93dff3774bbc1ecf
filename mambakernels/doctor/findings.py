"""What the doctor finds: one thing that is wrong, why it matters, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mambakernels.kernels.specs import KernelSpec

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a kernel, an environment (`kernel` is None) or this session (both are None).

    An error keeps a kernel from running, a warning makes it another than it says, a note may be as it should be.
    `path` is the kernelspec's folder or the environment's prefix, `remedy` a command to copy; one that is `fixable`
    is safe to be carried out unasked.
    """

    check: str
    severity: Severity
    kernel: str | None
    environment: str | None
    path: Path | None
    what: str
    why: str
    remedy: str
    fixable: bool = False


def about(
    spec: KernelSpec, check: str, severity: Severity, *, what: str, why: str, remedy: str, fixable: bool = False
) -> Finding:
    """Return a finding about one kernel."""
    return Finding(check, severity, spec.name, spec.environment, spec.path, what, why, remedy, fixable)
