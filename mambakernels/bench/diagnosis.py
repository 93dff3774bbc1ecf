"""Explanations of the differences in a comparison, and reasons to doubt them: findings, each by one rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from mambakernels.bench.gates import findings_of
from mambakernels.bench.measured import Measured
from mambakernels.bench.summaries import comparable
from mambakernels.numeric.intervals import drift, trend_probability
from mambakernels.numeric.rules import Finding, Severity

BUSY = 0.5  # runnable processes per core
DRIFT = 0.05
UNSTEADY = 0.25
FEW_ROUNDS = 10
NOT_IDLE = 0.05  # of a core
LAPACK_SLOWER = 1.15  # than the kernel's products suggest

_UNLIKELY = 0.05
_BLAS_STEMS = frozenset({"dot", "dotu", "dotc", "gemv", "gemm", "syrk", "herk"})


def diagnose(measured: Measured) -> tuple[Finding, ...]:
    """Return the findings of the rules: about kernels first, then about the comparison and the machine."""
    about_kernels = (finding for kernel in measured.kernels for finding in findings_of(kernel))
    found = [finding for finding in about_kernels if finding.severity != "error"]
    found += [Finding(rule, grade, text) for rule, (grade, ask) in RULES.items() for text in ask(measured)]
    return tuple(dict.fromkeys(found))


def _netlib_lapack(measured: Measured) -> Iterator[str]:
    """Find decompositions that are slower than the kernel's products suggest."""
    frame = comparable(measured.frame[~measured.frame["control"] & measured.frame["routine"].notna()])
    facts = frame.drop_duplicates("kernel").set_index("kernel")
    for kernel, fact in facts.iterrows():
        if fact["blas"] == "netlib" or fact["lapack"] != "netlib":
            continue
        others = [other for other in facts.index if facts.loc[other, "lapack"] != "netlib"]
        slow = [(ratio, name, other) for other in others for ratio, name in _slower(frame, str(kernel), other)]
        if slow:
            ratio, name, other = max(slow)
            library = {"blis": "BLIS"}.get(str(fact["blas"]), str(fact["blas"]))
            yield (
                f"{name} is slow in {kernel} ({ratio:.1f} times {other}'s time) because {library} comes with netlib's "
                "LAPACK."
            )


def _slower(frame: pd.DataFrame, kernel: str, other: str) -> Iterator[tuple[float, str]]:
    """Yield how many times longer, at least, decompositions take than in another kernel, if products explain less."""
    cases = ["asked", "dtype", "operation", "size"]
    table = frame.assign(asked=frame["asked"].fillna(0)).pivot_table(
        index=cases, columns="kernel", values="seconds", aggfunc="median"
    )
    if kernel not in table or other not in table:
        return
    ratios = (table[kernel] / table[other]).dropna().groupby("operation").min()
    kinds = {str(row.operation): is_product(str(row.routine)) for row in frame.itertuples()}
    products = [float(ratio) for name, ratio in ratios.items() if kinds[str(name)]]
    for name, ratio in ratios.items():
        if not kinds[str(name)] and ratio > LAPACK_SLOWER * max([1.0, *products]):
            yield float(ratio), str(name)


def is_product(routine: str) -> bool:
    """Whether a call is a product of matrices or vectors, which BLAS serves without LAPACK."""
    return all(part[1:] in _BLAS_STEMS for part in routine.split("+"))


def _busy(measured: Measured) -> Iterator[str]:
    machines = [kernel.machine for kernel in measured.kernels if kernel.machine.get("load")]
    if not machines:
        return
    load, cores = min(machine["load"][0] for machine in machines), machines[0].get("cores") or 1
    if load > BUSY * cores:
        yield f"The machine was busy before measuring began: load {load:.1f} on {cores} cores."
    if load > cores and any((kernel.library.get("threads") or 1) > 1 for kernel in measured.kernels):
        yield (
            "Several threads are hard to measure here: while one waits for a core that other programs use, the rest "
            "wait for it. Only undisturbed samples count. Measure them on a quiet machine."
        )


def _canary(measured: Measured) -> Iterator[str]:
    seconds = measured.canary
    if len(seconds) < 3:  # noqa: PLR2004 (a first, a middle and a last third)
        return
    change, spread = drift(seconds), max(seconds) / min(seconds) - 1
    if abs(change) > DRIFT and trend_probability(seconds) < _UNLIKELY:
        slower = "slower" if change > 0 else "faster"
        yield (
            "The canary (a fixed piece of Python, timed between rounds) drifted: "
            f"the machine became {abs(change):.0%} {slower} while kernels were measured."
        )
    elif spread > UNSTEADY:
        yield (
            "The canary (a fixed piece of Python, timed between rounds) was unsteady: "
            f"the machine's speed varied by {spread:.0%}."
        )


def _not_idle(measured: Measured) -> Iterator[str]:
    shares = measured.frame.groupby("kernel", sort=False)["others"].median()
    for kernel, share in shares.items():
        if share > NOT_IDLE:
            yield f"While {kernel} was measured, another kernel was not idle: it used {share:.0%} of a core."


def _unverified(measured: Measured) -> Iterator[str]:
    if len(measured.kernels) > 1 and len(measured.frame) and measured.frame["others"].isna().all():
        yield "Whether the other kernels idled was not verified: this system does not report their processor time."


def _different(measured: Measured) -> Iterator[str]:
    for field, name in (("numpy", "NumPy"), ("python", "Python")):
        found = measured.frame.drop_duplicates("kernel").set_index("kernel")[field].dropna()
        if len(set(found)) > 1:
            each = ", ".join(f"{version} in {kernel}" for kernel, version in found.items())
            yield f"{name} is not the same in all kernels ({each}), so differences need not come from the BLAS."


def _irreproducible(measured: Measured) -> Iterator[str]:
    keys: list[Any] = ["kernel", "asked", "operation", "dtype", "size"]
    counts = measured.frame.groupby(keys, sort=False, dropna=False)["fingerprint"].nunique().reset_index()
    changing = counts[counts["fingerprint"] > 1]
    for kernel, rows in changing.groupby("kernel", sort=False):
        yield f"{kernel} gives different bits from round to round in {', '.join(dict.fromkeys(rows['operation']))}."


def _few(measured: Measured) -> Iterator[str]:
    if measured.rounds < FEW_ROUNDS:
        yield (
            f"Only {measured.rounds} round{'s' * (measured.rounds != 1)} fitted into the budget: small differences "
            "stay undecided, or drown in the noise."
        )


def _interrupted(measured: Measured) -> Iterator[str]:
    if measured.interrupted:
        yield f"Measuring was interrupted after {measured.seconds:.0f} seconds: these are the measurements until then."


def _remarks(measured: Measured) -> Iterator[str]:
    yield from measured.notes


RULES: Mapping[str, tuple[Severity, Callable[[Measured], Iterator[str]]]] = {
    "netlib-lapack": ("note", _netlib_lapack),
    "different-versions": ("warning", _different),
    "irreproducible": ("note", _irreproducible),
    "not-idle": ("warning", _not_idle),
    "idling-unverified": ("note", _unverified),
    "busy-machine": ("warning", _busy),
    "canary": ("warning", _canary),
    "few-rounds": ("warning", _few),
    "interrupted": ("warning", _interrupted),
    "remark": ("note", _remarks),
}
"""Rules about the whole comparison; those about one kernel are `mambakernels.numeric.rules`."""
