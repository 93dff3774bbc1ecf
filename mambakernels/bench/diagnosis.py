"""What is worth knowing about a comparison, in words: each sentence comes from a rule, and each rule from a fact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd

from mambakernels.bench.records import Measured, Worker
from mambakernels.numeric.intervals import drift, trend_probability

BUSY = 0.5  # runnable processes per core
DRIFT = 0.05
UNSTEADY = 0.25
FEW_ROUNDS = 10
NOT_IDLE = 0.05  # of a core
LAPACK_SLOWER = 1.15  # than what the kernel's products would let expect

_UNLIKELY = 0.05
_FORCING = ("OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "BLIS_ARCH_TYPE", "MKL_CBWR")
_MKL_GENERIC = ("def", "mc")
_BLAS_STEMS = frozenset({"dot", "dotu", "dotc", "gemv", "gemm", "syrk", "herk"})

# Instruction sets in the order they came, and which code paths are made for each.
_SETS = ("sse2", "sse4_2", "avx", "avx2", "avx512f")
_IN_WORDS = {"sse2": "SSE2", "sse4_2": "SSE4.2", "avx": "AVX", "avx2": "AVX2", "avx512f": "AVX-512"}
_PATHS: Mapping[str, tuple[str, ...]] = {
    "sse2": ("prescott", "katmai", "core2", "penryn", "generic", "opteron", "barcelona", "athlon", "def", "mc"),
    "sse4_2": ("nehalem", "dunnington", "mc3"),
    "avx": ("sandybridge", "bulldozer", "piledriver", "steamroller", "avx"),
    "avx2": ("haswell", "excavator", "zen", "zen2", "zen3", "avx2"),
}
_MADE_FOR = {path: instructions for instructions, paths in _PATHS.items() for path in paths}


@dataclass(frozen=True)
class Diagnosis:
    """One thing that explains a difference, or speaks against one: the rule that found it, whom it is about, why."""

    rule: str
    kernel: str | None
    text: str


def diagnose(measured: Measured) -> tuple[Diagnosis, ...]:
    """Return what the rules find: about kernels first, then about the comparison and the machine."""
    found = [
        Diagnosis(rule, worker.name, text)
        for worker in measured.workers
        if worker.probe
        for rule, ask in OF_KERNELS.items()
        for text in ask(worker)
    ]
    found += [Diagnosis(rule, None, text) for rule, ask in OF_ALL.items() for text in ask(measured)]
    return tuple(dict.fromkeys(found))


def _one_thread(worker: Worker) -> Iterator[str]:
    told, cores, name = worker.library.get("threads"), worker.machine.get("cores") or 1, worker.library.get("name")
    if told != 1 or cores == 1 or worker.asked == 1:
        return
    reasons = {
        "netlib": "; netlib's BLAS knows no others",
        "blis": ": BLIS uses one unless BLIS_NUM_THREADS says otherwise",
    }
    yield f"{worker.name} runs on one thread of {cores} cores{reasons.get(str(name), '')}."


def _capped(worker: Worker) -> Iterator[str]:
    told, asked, name = worker.library.get("threads"), worker.asked, worker.library.get("name")
    if asked and told and name != "netlib" and (worker.machine.get("cores") or told) <= told < asked:
        yield f"{worker.name} uses {told} of the {asked} threads asked for: {name} takes no more than there are cores."


def _crowded(worker: Worker) -> Iterator[str]:
    told, cores = worker.library.get("threads"), worker.machine.get("cores")
    if told and cores and told > cores:
        yield f"{told} threads crowd {cores} core{'s' * (cores != 1)} in {worker.name}: expect it to be slow."


def _quota(worker: Worker) -> Iterator[str]:
    told, quota = worker.library.get("threads"), worker.machine.get("quota")
    if told and quota and told > max(1, quota):
        yield (
            f"quota {quota:g}, threads {told}: the system stops {worker.name} again and again, as it uses more threads "
            "than its share of the cores."
        )


def _mkl_generic(worker: Worker) -> Iterator[str]:
    path = worker.library.get("architecture")
    if worker.library.get("name") == "mkl" and path in _MKL_GENERIC:
        yield f"MKL chose its generic path ({path}) in {worker.name}, as it does for processors that are not Intel's."


def _older_path(worker: Worker) -> Iterator[str]:
    path, sets = str(worker.library.get("architecture") or "").lower(), worker.machine.get("instruction_sets") or ()
    made_for, newest = _MADE_FOR.get(path), max((name for name in sets if name in _SETS), key=_SETS.index, default=None)
    if made_for is not None and newest is not None and _SETS.index(made_for) < _SETS.index(newest):
        yield (
            f"{worker.name} runs code made for {_IN_WORDS[made_for]} ({worker.library['architecture']}), and this "
            f"machine has {_IN_WORDS[newest]}."
        )


def _forced(worker: Worker) -> Iterator[str]:
    variables = worker.probe.get("variables", {})
    for name in _FORCING:
        if name in variables:
            yield f"{name}={variables[name]} decides the code path of {worker.name}, not the library."


def _runtimes(worker: Worker) -> Iterator[str]:
    names = sorted({PurePath(file).name for file in worker.probe.get("openmp", ())})
    if len(names) > 1:
        yield f"Two OpenMP runtimes are loaded in {worker.name} ({', '.join(names)}): threads may crowd each other."


def _notes(worker: Worker) -> Iterator[str]:
    """Pass on what the kernel found out about itself and no rule here says already."""
    said = {"several OpenMP runtimes", "quota"}
    for finding in worker.facts.get("findings", ()):
        if finding["weight"] == "note" and finding["rule"] not in said:
            yield f"{worker.name}: {finding['text']}"


def _governor(worker: Worker) -> Iterator[str]:
    if worker.machine.get("governor") in {"powersave", "conservative"}:
        yield f"The processor's governor is {worker.machine['governor']}: its frequency follows the load."


def _netlib_lapack(measured: Measured) -> Iterator[str]:
    """Find decompositions that are slower than the kernel's own products would let expect."""
    frame = measured.frame[~measured.frame["control"] & measured.frame["routine"].notna()]
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
    """Yield by how much each decomposition takes longer than in another kernel, at least, if by more than products."""
    cases = ["asked", "dtype", "operation", "size"]
    table = frame.assign(asked=frame["asked"].fillna(0)).pivot_table(
        index=cases, columns="kernel", values="seconds_min", aggfunc="median"
    )
    if kernel not in table or other not in table:
        return
    ratios = (table[kernel] / table[other]).dropna().groupby("operation").min()
    is_product = {str(row.operation): _is_product(str(row.routine)) for row in frame.itertuples()}
    products = [float(ratio) for name, ratio in ratios.items() if is_product[str(name)]]
    for name, ratio in ratios.items():
        if not is_product[str(name)] and ratio > LAPACK_SLOWER * max([1.0, *products]):
            yield float(ratio), str(name)


def _is_product(routine: str) -> bool:
    return all(part[1:] in _BLAS_STEMS for part in routine.split("+"))


def _busy(measured: Measured) -> Iterator[str]:
    machines = [worker.machine for worker in measured.workers if worker.machine.get("load")]
    if not machines:
        return
    load, cores = min(machine["load"][0] for machine in machines), machines[0].get("cores") or 1
    if load > BUSY * cores:
        yield f"The machine was busy before measuring began: load {load:.1f} on {cores} cores."
    if load > cores and any((worker.library.get("threads") or 1) > 1 for worker in measured.workers):
        yield (
            "Figures of several threads mean little here: while one waits for a core that others use, the rest "
            "wait for it. Measure them on a quiet machine."
        )


def _canary(measured: Measured) -> Iterator[str]:
    sung = measured.canary
    if len(sung) < 3:  # noqa: PLR2004 (a first, a middle and a last third)
        return
    change, spread = drift(sung), max(sung) / min(sung) - 1
    if abs(change) > DRIFT and trend_probability(sung) < _UNLIKELY:
        slower = "slower" if change > 0 else "faster"
        yield f"The canary drifted: the machine became {abs(change):.0%} {slower} while kernels were measured."
    elif spread > UNSTEADY:
        yield f"The canary was unsteady: between rounds, the machine's speed varied by {spread:.0%}."


def _not_idle(measured: Measured) -> Iterator[str]:
    shares = measured.frame.groupby("kernel", sort=False)["others"].median()
    for kernel, share in shares.items():
        if share > NOT_IDLE:
            yield f"While {kernel} was measured, another kernel was not idle: it used {share:.0%} of a core."


def _unverified(measured: Measured) -> Iterator[str]:
    if len(measured.workers) > 1 and len(measured.frame) and measured.frame["others"].isna().all():
        yield "Whether the other kernels idled was not verified: this system does not tell their processor time."


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
        yield f"{kernel} gives other bits from round to round in {', '.join(dict.fromkeys(rows['operation']))}."


def _few(measured: Measured) -> Iterator[str]:
    if measured.rounds < FEW_ROUNDS:
        yield (
            f"Only {measured.rounds} round{'s' * (measured.rounds != 1)} fitted into the budget: small differences "
            "stay undecided, or drown in the noise."
        )


def _interrupted(measured: Measured) -> Iterator[str]:
    if measured.interrupted:
        yield f"Measuring was interrupted after {measured.seconds:.0f} seconds: this is what was measured until then."


def _remarks(measured: Measured) -> Iterator[str]:
    yield from measured.notes


OF_KERNELS: Mapping[str, Callable[[Worker], Iterator[str]]] = {
    "one thread": _one_thread,
    "capped threads": _capped,
    "over-subscribed": _crowded,
    "quota": _quota,
    "generic path": _mkl_generic,
    "older path": _older_path,
    "forced path": _forced,
    "two OpenMP runtimes": _runtimes,
    "governor": _governor,
    "note": _notes,
}
"""Rules about one kernel: from what it told of itself to sentences, none where all is well."""

OF_ALL: Mapping[str, Callable[[Measured], Iterator[str]]] = {
    "netlib's LAPACK": _netlib_lapack,
    "different versions": _different,
    "irreproducible": _irreproducible,
    "not idle": _not_idle,
    "idling unverified": _unverified,
    "busy machine": _busy,
    "canary": _canary,
    "few rounds": _few,
    "interrupted": _interrupted,
    "remark": _remarks,
}
"""Rules about the whole comparison."""
