"""The conclusion of a comparison, in sentences that are computed from it: who is fastest, why, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mambakernels.bench.agreement import ControlVerdict
from mambakernels.bench.diagnosis import is_product
from mambakernels.bench.measured import Measured, MeasuredKernel
from mambakernels.numeric.formatting import three_digits
from mambakernels.numeric.rules import Finding, older_instructions
from mambakernels.numeric.threads import threads_in_words

_EXPLAINED = 2  # kernels whose largest difference gets a sentence
_ALL = {1: "the one operation", 2: "both operations"}
_TITLES = {"blis": "BLIS", "openblas": "OpenBLAS", "mkl": "MKL", "accelerate": "Accelerate", "nvpl": "NVPL"}


@dataclass(frozen=True)
class Conclusion:
    """What a comparison says.

    `alarms` are the reasons why a kernel's figures must not be used, `sentences` the rest. If it is not `trusted`, as
    the controls differ, no kernel may be compared with another: there is no best one.
    """

    trusted: bool
    alarms: tuple[str, ...]
    sentences: tuple[str, ...]


def conclude(
    measured: Measured, ranked: pd.DataFrame, *, controls: ControlVerdict, gates: Sequence[Finding], margin: float
) -> Conclusion:
    """Return the conclusion from the `ranking` of a comparison."""
    alarms = tuple(gate.text for gate in gates)
    if controls.verdict == "differ":
        return Conclusion(trusted=False, alarms=alarms, sentences=(controls.text,))
    compared = ranked[ranked["place"].isin(["best", "equal", "slower", "undecided"])]
    sentences = [*_fastest(compared, margin), *_average(compared), *_explained(compared, measured)]
    return Conclusion(trusted=True, alarms=alarms, sentences=(*sentences, *_trust(compared, controls)))


def case_names(ranked: pd.DataFrame) -> pd.Series[str]:
    """Return what to call each row's case: the operation, and what else tells it from the others."""
    names = ranked["operation"].astype(str)
    for column, form in (("size", " n={}"), ("dtype", " {}"), ("asked", ", {} threads")):
        if len(set(ranked[column].dropna())) > 1:
            names = names + ranked[column].map(form.format)
    return names


def listed(words: Sequence[str]) -> str:
    """Return words as people list them: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _fastest(compared: pd.DataFrame, margin: float) -> Iterator[str]:
    """Say which kernel is the fastest in which case, and where that is undecided."""
    cases: dict[tuple[str, ...], list[str]] = {}
    for name, rows in compared.groupby(case_names(compared), sort=False):
        if len(rows) < 2:  # noqa: PLR2004 (nothing to compare)
            continue
        first = () if (rows["place"] == "undecided").any() else tuple(rows[rows["place"] != "slower"]["kernel"])
        cases.setdefault(first, []).append(str(name))
    total = sum(map(len, cases.values()))
    if len(cases) == 1 and len(first := next(iter(cases))) == 1:
        yield f"{first[0]} is the fastest in {_ALL.get(total, f'all {total} operations')}."
        return
    won = [
        f"{listed(first)}{f' (equal within {100 * margin:.3g}%)' * (len(first) > 1)} in {listed(names)}"
        for first, names in cases.items()
        if first
    ]
    if won:
        yield f"Fastest: {'; '.join(won)}."
    if () in cases:
        yield f"Undecided: {listed(cases[()])}."


def _average(compared: pd.DataFrame) -> Iterator[str]:
    """Say how much longer the others take than the kernel that is best most often, on average."""
    decided = compared[compared["place"] != "undecided"]
    best = decided[decided["place"] == "best"]["kernel"]
    if best.empty:
        return
    first = str(best.value_counts().index[0])
    table = decided.assign(case=case_names(decided)).pivot_table(index="case", columns="kernel", values="ratio")
    times = {str(kernel): _mean(table[kernel] / table[first]) for kernel in table if kernel != first}
    known = sorted((ratio, kernel) for kernel, ratio in times.items() if math.isfinite(ratio))
    if known and len(table) > 1:
        each = listed([f"{kernel} {three_digits(ratio)}" for ratio, kernel in known])
        yield f"On the geometric average, {first} takes 1, {each} times as long."


def _mean(ratios: pd.Series[float]) -> float:
    known = ratios.dropna()
    return math.exp(known.map(math.log).mean()) if len(known) else math.nan


def _explained(compared: pd.DataFrame, measured: Measured) -> Iterator[str]:
    """Say what explains the largest difference, and that of the next kernel."""
    named = compared.assign(case=case_names(compared))
    slower = named[named["place"] == "slower"].sort_values("ratio", ascending=False)
    largest = slower.drop_duplicates("kernel").head(_EXPLAINED)
    kernels = {(kernel.kernel, kernel.asked): kernel for kernel in measured.kernels}
    routines = measured.frame.drop_duplicates("operation").set_index("operation")["routine"]
    for number, row in enumerate(largest.to_dict(orient="records")):
        best = str(named[(named["case"] == row["case"]) & (named["place"] == "best")]["kernel"].iloc[0])
        asked = None if pd.isna(row["asked"]) else int(row["asked"])
        pair = kernels[str(row["kernel"]), asked], kernels[best, asked]
        routine = routines[row["operation"]]  # none is known of the user's own code
        why = list(_reasons(*pair, product=pd.isna(routine) or is_product(str(routine))))
        start = "" if number else "The largest difference: "
        yield (
            f"{start}{row['kernel']} takes {three_digits(row['ratio'])} times as long as {best} in {row['case']}: "
            f"{'; '.join(why) or 'threads and code path do not explain it'}."
        )


def _reasons(slow: MeasuredKernel, fast: MeasuredKernel, *, product: bool) -> Iterator[str]:
    """Yield what distinguishes the slower kernel in a product, or in another operation."""
    name, threads, others = slow.library.get("name"), slow.library.get("threads"), fast.library.get("threads")
    if name == "netlib":
        yield "netlib's reference code is written for no particular processor"
    elif not product and _lapack(slow) == "netlib" != _lapack(fast):
        yield f"{_TITLES.get(str(name), str(name))} comes with netlib's LAPACK"
    if threads and others and threads < others:
        yield f"it works with {threads_in_words(threads)}, {fast.kernel} with {others}"
    older = older_instructions(slow.probe) if slow.probe else None
    if older and not (fast.probe and older_instructions(fast.probe)):
        yield f"it runs code for {older[0]} ({slow.library['architecture']}) on a processor with {older[1]}"


def _lapack(kernel: MeasuredKernel) -> Any:
    found: Mapping[str, Any] = kernel.probe.get("lapack", {})
    return found.get("name")


def _trust(compared: pd.DataFrame, controls: ControlVerdict) -> Iterator[str]:
    if compared["kernel"].nunique() < 2:  # noqa: PLR2004 (nothing to compare)
        return
    meaning = {"agree": "So the differences come from the libraries.", "unknown": "Smaller differences may be noise."}
    yield f"{controls.text} {meaning[controls.verdict]}"
