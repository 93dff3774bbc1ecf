"""Whether what was probed can be trusted: each rule is a question with a reason, and none asks the library alone.

Wrong numbers are caught by each measurement's residual. What is caught here is the rest: a library that is not the one
it is called, that is not the one the environment was made with, or that does not keep to the threads it was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePath
from time import perf_counter
from typing import Literal

import numpy as np

from mambakernels.numeric.probing import Probe
from mambakernels.numeric.threads import asked_threads

Weight = Literal["distrust", "note"]

_TASKS = Path("/proc/self/task")
_BUSY = 0.2  # of the busiest thread's time: far above what a thread needs to wake and sleep again
_PROVIDERS = {"newaccelerate": "accelerate"}


@dataclass(frozen=True)
class Finding:
    """Something that speaks against a measurement: `distrust` it, or take `note`; `text` is for people."""

    rule: str
    weight: Weight
    text: str


def findings(probed: Probe, *, asked: int | None = None) -> tuple[Finding, ...]:
    """Return what speaks against trusting measurements of this process; nothing, as a rule.

    `asked` is the number of threads that was asked for; without it, the one the variables ask for.
    """
    wanted = asked_threads(probed.blas.name, probed.variables) if asked is None else asked
    answers = [(rule, weight, ask(probed)) for rule, (weight, ask) in RULES.items()]
    answers.append(("threads", "distrust", _threads(probed, wanted)))
    return tuple(Finding(rule, weight, text) for rule, weight, text in answers if text)


def threads_at_work(n: int = 512, seconds: float = 0.1) -> int | None:
    """Return how many threads of this process really work while matrices (n, n) are multiplied for some time.

    Asks the system how much each thread ran, not the library; None where the system does not tell (only Linux does).
    """
    A = np.ones((n, n))
    np.matmul(A, A)
    before, end = _run_times(), perf_counter() + seconds
    for _ in takewhile(lambda _: perf_counter() < end, iter(int, 1)):
        np.matmul(A, A)
    spent = [time - before.get(thread, 0) for thread, time in _run_times().items()]
    return sum(time > _BUSY * max(spent) for time in spent) if spent else None


def check_threads_at_work(probed: Probe) -> Finding | None:
    """Compare the threads that really work with those the library says it uses; takes about a tenth of a second."""
    told, working = probed.blas.threads, threads_at_work()
    if told is None or working is None or working <= told:
        return None
    text = f"{probed.blas.name} says it uses {told} thread{'s' * (told != 1)}, but {working} work."
    return Finding("threads at work", "distrust", text)


def _unknown(probed: Probe) -> str:
    blas = probed.blas
    return f"NumPy's products are served by {blas.library or 'something'}, which is no BLAS that is known here." * (
        blas.name == "unknown"
    )


def _impostor(probed: Probe) -> str:
    blas = probed.blas
    text = f"{blas.library} is called {blas.name}, but has none of the functions only {blas.name} has."
    return text * (blas.proven is False)


def _other_build(probed: Probe) -> str:
    blas = probed.blas
    provider = re.search(r"_([a-z]+)$", blas.build or "")
    built_for = _PROVIDERS.get(provider.group(1), provider.group(1)) if provider else None
    if built_for in (None, blas.name):
        return ""
    return f"The environment was made with {built_for} (libblas {blas.build}), but {blas.name} runs: {blas.library}."


def _outside(probed: Probe) -> str:
    if not probed.packages:  # not a conda environment: a virtual one may share the system's packages
        return ""
    prefix = Path(probed.prefix).resolve()
    files = {"NumPy": probed.numpy_file, "the BLAS": probed.blas.library, "the LAPACK": probed.lapack.library}
    strange = [
        f"{what} ({file})" for what, file in files.items() if file and prefix not in Path(file).resolve().parents
    ]
    return f"From outside of the environment {prefix} came {' and '.join(strange)}." if strange else ""


def _mixed(probed: Probe) -> str:
    served = {name: file for name, file in probed.functions.items() if name.startswith("cblas_")}
    if len(set(served.values())) < 2:  # noqa: PLR2004 (one library serves all)
        return ""
    places = ", ".join(f"{name} by {PurePath(file).name}" for name, file in served.items())
    return f"Several libraries serve NumPy's products: {places}."


def _threads(probed: Probe, asked: int | None) -> str:
    """Compare what was asked for with what the library says; it may stay below as long as it uses every core."""
    told = probed.blas.threads
    if (
        asked is None
        or told is None
        or probed.blas.name == "netlib"
        or min(asked, probed.machine.cores) <= told <= asked
    ):
        return ""
    return f"{asked} thread{'s' * (asked != 1)} asked for, but {probed.blas.name} says it uses {told}."


def _runtimes(probed: Probe) -> str:
    names = sorted({PurePath(file).name for file in probed.openmp})
    return f"Several OpenMP runtimes are loaded ({', '.join(names)}): threads may crowd each other." * (len(names) > 1)


def _quota(probed: Probe) -> str:
    quota, told = probed.machine.quota, probed.blas.threads
    if quota is None or told is None or told <= max(1, round(quota)):
        return ""
    return f"{told} threads share a quota of {quota:g} cores: the system stops them all now and then."


def _gone(probed: Probe) -> str:
    return "MKL_DEBUG_CPU_TYPE is set; MKL has not read it since 2020.1." * ("MKL_DEBUG_CPU_TYPE" in probed.variables)


def _duplicates(probed: Probe) -> str:
    """Look for what hides that several runtimes are there; they stop a program unless this variable is set.

    The variable alone says nothing: threadpoolctl sets it whenever it is imported.
    """
    several = len(set(probed.openmp)) > 1
    text = "KMP_DUPLICATE_LIB_OK is set, so several OpenMP runtimes may give wrong results in silence."
    return text * (several and "KMP_DUPLICATE_LIB_OK" in probed.variables)


RULES: Mapping[str, tuple[Weight, Callable[[Probe], str]]] = {
    "unknown library": ("distrust", _unknown),
    "impostor": ("distrust", _impostor),
    "another build": ("distrust", _other_build),
    "outside the environment": ("distrust", _outside),
    "mixed libraries": ("distrust", _mixed),
    "several OpenMP runtimes": ("note", _runtimes),
    "quota": ("note", _quota),
    "variable without effect": ("note", _gone),
    "duplicate runtimes allowed": ("distrust", _duplicates),
}
"""By name: how much each weighs, and the question, answered with an empty text where all is well."""


def _run_times() -> dict[str, int]:
    """Return the nanoseconds each thread of this process has run."""
    files = {task.name: task / "schedstat" for task in _TASKS.iterdir()} if _TASKS.is_dir() else {}
    return {thread: int(file.read_text().split()[0]) for thread, file in files.items() if file.exists()}
