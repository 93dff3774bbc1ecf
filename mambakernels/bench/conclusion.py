"""The conclusion of a comparison, in sentences that are computed from it: who is fastest, why, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mambakernels.bench.agreement import ControlVerdict
from mambakernels.bench.diagnosis import is_product
from mambakernels.bench.measured import Measured, MeasuredKernel
from mambakernels.bench.ranking import resolved
from mambakernels.kernels.blas import TITLES
from mambakernels.numeric.formatting import three_digits
from mambakernels.numeric.rules import Finding, findings
from mambakernels.numeric.threads import threads_in_words

_EXPLAINED = 2  # kernels whose largest difference gets a sentence
_ALL = {1: "the one operation", 2: "both operations"}
_PATH_RULES = ("generic-path", "older-path")


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
    compared = resolved(ranked[ranked["place"].isin(["best", "equal", "slower", "undecided"])])
    sentences = [*_fastest(compared, margin), *_average(compared), *_explained(compared, measured)]
    return Conclusion(trusted=True, alarms=alarms, sentences=(*sentences, *_trust(compared, controls)))


def case_names(ranked: pd.DataFrame) -> pd.Series[str]:
    """Return what to call each row's case: the operation, and what else tells it from the others."""
    names = ranked["operation"].astype(str)
    words: Mapping[str, Callable[[Any], str]] = {
        "size": " n={}".format,
        "dtype": " {}".format,
        "asked": lambda threads: f", {threads_in_words(threads)}",
    }
    for column, in_words in words.items():
        if len(set(ranked[column].dropna())) > 1:
            names = names + ranked[column].map(in_words)
    return names


def listed(words: Sequence[str]) -> str:
    """Return words as people list them: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _fastest(compared: pd.DataFrame, margin: float) -> Iterator[str]:
    """Say which kernel is the fastest in which case, and between which ones that is undecided."""
    cases: dict[tuple[str, ...], list[str]] = {}
    undecided: list[str] = []
    for name, rows in compared.groupby(case_names(compared), sort=False):
        first = tuple(rows[rows["place"] != "slower"]["kernel"])
        if (rows["place"] == "undecided").any():
            undecided.append(f"{name} ({' or '.join(first)})")
        elif len(rows) > 1:
            cases.setdefault(first, []).append(str(name))
    total = len(undecided) + sum(map(len, cases.values()))
    won = [
        f"{listed(first)}{f' (equal within {100 * margin:.3g}%)' * (len(first) > 1)} in {listed(names)}"
        for first, names in cases.items()
    ]
    if len(cases) == 1 and not undecided and len(first := next(iter(cases))) == 1:
        yield f"{first[0]} is the fastest in {_ALL.get(total, f'all {total} operations')}."
    elif won:
        yield f"Fastest: {'; '.join(won)}."
    if undecided:
        yield f"Undecided: {listed(undecided)}."


def _average(compared: pd.DataFrame) -> Iterator[str]:
    """Say how much longer the others take than the quickest on average, of those for which every case is decided."""
    named = compared.assign(case=case_names(compared))
    unsure = set(named[named["place"] == "undecided"]["kernel"])
    table = named[~named["kernel"].isin(unsure)].pivot_table(index="case", columns="kernel", values="ratio").dropna()
    means = {str(kernel): math.exp(ratios.map(math.log).mean()) for kernel, ratios in table.items()}
    (first, least), *others = sorted(means.items(), key=lambda one: one[1]) or [("", 1.0)]
    if others and len(table) > 1:
        (second, mean), *rest = others
        each = [f"{second} takes {three_digits(mean / least)}"]
        each += [f"{kernel} {three_digits(mean / least)}" for kernel, mean in rest]
        yield f"On the geometric average, {listed(each)} times as long as {first}."


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
        yield f"{TITLES.get(str(name), str(name))} comes with netlib's LAPACK"
    if threads and others and threads < others:
        yield f"it works with {threads_in_words(threads)}, {fast.kernel} with {others}"
    ours, theirs = _code_path(slow), _code_path(fast)
    yield from (text for rule, text in ours.items() if rule not in theirs)


def _code_path(kernel: MeasuredKernel) -> dict[str, str]:
    """Return what the rules find about the code path of a kernel, as clauses."""
    found = findings(kernel.probe, asked=kernel.asked) if kernel.probe else ()
    return {
        one.rule: one.text.removesuffix(".").replace("It runs", "it runs", 1)
        for one in found
        if one.rule in _PATH_RULES
    }


def _lapack(kernel: MeasuredKernel) -> Any:
    found: Mapping[str, Any] = kernel.probe.get("lapack", {})
    return found.get("name")


def _trust(compared: pd.DataFrame, controls: ControlVerdict) -> Iterator[str]:
    if compared["kernel"].nunique() < 2:  # noqa: PLR2004 (nothing to compare)
        return
    meaning = {"agree": "So the differences come from the libraries.", "unknown": "Smaller differences may be noise."}
    yield f"{controls.text} {meaning[controls.verdict]}"
