"""The gates of a comparison: wrong results, other threads than asked for, another library, a kernel that failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mambakernels.bench.measured import Measured, MeasuredKernel
from mambakernels.kernels.blas import label
from mambakernels.numeric import rules
from mambakernels.numeric.rules import Finding


def gates(measured: Measured) -> tuple[Finding, ...]:
    """Return the gates that were not passed, each once: errors that are named after their gate.

    The figures of a kernel that did not pass a gate must not be used.
    """
    found = [gate for kernel in measured.kernels for gate in _of(kernel)]
    return tuple(dict.fromkeys([*found, *_results(measured)]))


def findings_of(kernel: MeasuredKernel) -> Iterator[Finding]:
    """Yield the findings about a kernel; none about one that never answered."""
    if kernel.probe:
        working = kernel.facts.get("working")
        for finding in rules.findings(kernel.probe, asked=kernel.asked, working=working, made_for=kernel.blas):
            yield replace(finding, kernel=kernel.name, text=f"{kernel.name}: {finding.text}")


def _of(kernel: MeasuredKernel) -> Iterator[Finding]:
    if kernel.failure is not None:
        yield Finding("kernel", "error", f"{kernel.name} failed: {kernel.failure}", kernel=kernel.name)
    for finding in findings_of(kernel):
        if finding.severity == "error":
            yield replace(finding, rule=rules.RULES[finding.rule].gate)


def _results(measured: Measured) -> Iterator[Finding]:
    wrong = measured.frame[~measured.frame["correct"]]
    for (kernel, asked, operation, dtype, size), rows in wrong.groupby(
        ["kernel", "asked", "operation", "dtype", "size"], sort=False, dropna=False
    ):
        name = label(str(kernel), asked if isinstance(asked, int) else None)
        worst = rows.iloc[int(rows["residual"].to_numpy().argmax())]
        text = (
            f"{operation} ({dtype}, n={size}) is wrong in {name}: its residual is {worst['residual']:.1e}, "
            f"and {worst['residual_bound']:.1e} is allowed."
        )
        yield Finding("result", "error", text, kernel=name)
