"""The rulebook: findings from the facts about a process and its BLAS, on which its measurements depend.

The notebook's probe, `bench` with its gates, and `doctor` all use these rules. A wrong result is found by the residual
of its measurement; the rules find the rest: another library than expected, other threads, settings that do harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from mambakernels.numeric.threads import asked_threads, exceeds_quota, threads_in_words

if TYPE_CHECKING:
    from mambakernels.numeric.probing import Probe  # it loads NumPy

Severity = Literal["error", "warning", "note"]
Gate = Literal["result", "threads", "library", "setting", "kernel"]

_CODE_PATH_VARIABLES = ("OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "BLIS_ARCH_TYPE", "MKL_CBWR")
_GENERIC_PATHS_OF_MKL = ("def", "mc")
# Instruction sets in the order in which they appeared, and the code paths that are made for each.
_INSTRUCTION_SETS = {"sse2": "SSE2", "sse4_2": "SSE4.2", "avx": "AVX", "avx2": "AVX2", "avx512f": "AVX-512"}
_CODE_PATHS: Mapping[str, tuple[str, ...]] = {
    "sse2": ("prescott", "katmai", "core2", "penryn", "generic", "opteron", "barcelona", "athlon"),
    "sse4_2": ("nehalem", "dunnington", "mc3"),
    "avx": ("sandybridge", "bulldozer", "piledriver", "steamroller", "avx"),
    "avx2": ("haswell", "excavator", "zen", "zen2", "zen3", "avx2"),
}
_INSTRUCTIONS_OF_PATH = {path: instructions for instructions, paths in _CODE_PATHS.items() for path in paths}


@dataclass(frozen=True)
class Finding:
    """The conclusion of a rule: `text` is what was found, `why` the reason it matters, `remedy` a command to copy.

    An error means that something does not work, or that its results must not be used; a warning, that it does not work
    as intended; a note, that it is worth knowing. A finding is about a kernel, an environment (`kernel` is None) or the
    session (both are None); `path` is the kernelspec's folder or the environment's prefix. A `fixable` finding has a
    remedy that is safe to carry out without asking.
    """

    rule: str
    severity: Severity
    text: str
    why: str = ""
    remedy: str = ""
    kernel: str | None = None
    environment: str | None = None
    path: Path | None = None
    fixable: bool = False

    @property
    def is_problem(self) -> bool:
        """Whether it is more than a note."""
        return self.severity != "note"

    def as_dict(self) -> dict[str, Any]:
        """Return what is published with measurements, as JSON values: rule, severity and text."""
        return {"rule": self.rule, "severity": self.severity, "text": self.text}


@dataclass(frozen=True)
class Facts:
    """What the rules read: a probe (`Probe.as_dict()`), and what is known from elsewhere.

    `asked` is the number of threads that was requested, explicitly or by variables, `working` how many were seen at
    work, and `made_for` the BLAS that the environment was made for.
    """

    probe: Mapping[str, Any]
    asked: int | None
    working: int | None
    made_for: str | None

    @property
    def blas(self) -> Mapping[str, Any]:
        """The BLAS that serves NumPy."""
        blas: Mapping[str, Any] = self.probe["blas"]
        return blas

    @property
    def machine(self) -> Mapping[str, Any]:
        """The machine, as the process sees it."""
        machine: Mapping[str, Any] = self.probe["machine"]
        return machine

    @property
    def cores(self) -> int:
        """The cores that the process may use."""
        cores: int = self.machine["cores"]
        return cores

    @property
    def threads(self) -> int | None:
        """The number of threads that the library says it uses."""
        threads: int | None = self.blas["threads"]
        return threads


@dataclass(frozen=True)
class Rule:
    """One rule: its sentences (none where all is well), how severe they are, why, and the gate that an error closes."""

    severity: Severity
    ask: Callable[[Facts], Iterator[str]]
    why: str = ""
    gate: Gate = "setting"


@dataclass(frozen=True)
class Setting:
    """A variable that does harm or nothing wherever it is set."""

    severity: Severity
    text: str
    why: str


SETTINGS: Mapping[str, Setting] = {
    "MKL_DEBUG_CPU_TYPE": Setting(
        "warning",
        "has no effect: MKL has not read it since 2020.1",
        "Measurements that rely on it measure something else. MKL_ENABLE_INSTRUCTIONS now chooses the code path.",
    ),
    "KMP_DUPLICATE_LIB_OK": Setting(
        "warning",
        "hides that two OpenMP runtimes are loaded",
        "With two of them, programs hang, crash, or silently give wrong results.",
    ),
}
"""Variables that should not be set, in a kernel or in the session."""

OPENMP_WHY = "Two OpenMP runtimes in one process compete for the cores, and may hang or crash."
QUOTA_WHY = "Threads beyond the quota wait for each other: often slower than one thread, and never the same twice."


def findings(
    probed: Probe | Mapping[str, Any],
    *,
    asked: int | None = None,
    working: int | None = None,
    made_for: str | None = None,
) -> tuple[Finding, ...]:
    """Return the findings about a probe, the most severe first.

    `asked` is the requested number of threads (None or 0: none, except by variables), `working` how many
    were seen at work, and `made_for` the BLAS that the environment was made for (None: the one in libblas' build).
    """
    probe = probed if isinstance(probed, Mapping) else probed.as_dict()
    facts = Facts(
        probe,
        asked=asked or asked_threads(probe["blas"]["name"], probe["variables"]),
        working=working,
        made_for=made_for,
    )
    return tuple(
        Finding(name, rule.severity, text, why=rule.why) for name, rule in RULES.items() for text in rule.ask(facts)
    )


def over_quota(threads: int, quota: float) -> str:
    """Return the sentence about more threads than a CPU quota allows."""
    return f"{threads_in_words(threads)} exceed the CPU quota of {quota:g} cores."


def other_library(made_for: str, runs: str, library: str | None) -> str:
    """Return the sentence about a BLAS that is not the one an environment was made for."""
    return f"It was made for {made_for}, and NumPy runs on {runs}: {library or 'from an unknown file'}."


def _unknown(facts: Facts) -> Iterator[str]:
    if facts.blas["name"] == "unknown":
        yield f"NumPy's products are served by {facts.blas['library'] or 'something'}, which is not a BLAS known here."


def _impostor(facts: Facts) -> Iterator[str]:
    name, library = facts.blas["name"], facts.blas["library"]
    if facts.blas["proven"] is False:
        yield f"{library} is called {name}, but has none of the functions only {name} has."


def _other_library(facts: Facts) -> Iterator[str]:
    build, runs = facts.blas["build"], facts.blas["name"]
    of_build = re.search(r"_([a-z]+)$", build or "")
    # conda-forge's newaccelerate is Accelerate as well
    name = facts.made_for or (of_build.group(1).removeprefix("new") if of_build else runs)
    if runs not in (name, "unknown"):
        yield other_library(name if facts.made_for else f"{name} (libblas {build})", runs, facts.blas["library"])


def _outside(facts: Facts) -> Iterator[str]:
    probe = facts.probe
    if not probe["packages"]:  # not a conda environment: a virtual one may share the system's packages
        return
    prefix = Path(probe["prefix"]).resolve()
    files = {"NumPy": probe["numpy_file"], "the BLAS": facts.blas["library"], "the LAPACK": probe["lapack"]["library"]}
    strange = [
        f"{name} ({file})" for name, file in files.items() if file and prefix not in Path(file).resolve().parents
    ]
    if strange:
        yield f"Not from the environment {prefix}: {' and '.join(strange)}."


def _mixed(facts: Facts) -> Iterator[str]:
    served = {name: file for name, file in facts.probe["functions"].items() if name.startswith("cblas_")}
    if len(set(served.values())) > 1:
        places = ", ".join(f"{name} by {PurePath(file).name}" for name, file in served.items())
        yield f"Different libraries serve NumPy's products: {places}."


def _threads(facts: Facts) -> Iterator[str]:
    """Compare with the requested number; a library may stay below it as long as it uses every core."""
    asked, used, name = facts.asked, facts.threads, facts.blas["name"]
    if asked and used and name != "netlib" and not min(asked, facts.cores) <= used <= asked:
        yield f"{threads_in_words(asked)} asked for, but {name} says it uses {used}."


def _threads_at_work(facts: Facts) -> Iterator[str]:
    """Compare the threads seen at work with those the library says it uses, as far as there are cores for them."""
    used, working, name = facts.threads, facts.working, facts.blas["name"]
    if used and working and working > used:
        yield f"{name} says it uses {threads_in_words(used)}, but {working} work."
    if used and working and working < min(used, facts.cores):
        yield f"{name} says it uses {threads_in_words(used)}, but no more than {working} worked."


def _openmp(facts: Facts) -> Iterator[str]:
    runtimes = sorted(set(facts.probe["openmp"]))
    if len(runtimes) > 1:
        yield f"{len(runtimes)} OpenMP runtimes are loaded: {', '.join(PurePath(file).name for file in runtimes)}."


def _openmp_hidden(facts: Facts) -> Iterator[str]:
    """Report the variable only if it hides something: threadpoolctl sets it whenever it is imported."""
    if len(set(facts.probe["openmp"])) > 1 and "KMP_DUPLICATE_LIB_OK" in facts.probe["variables"]:
        yield f"KMP_DUPLICATE_LIB_OK {SETTINGS['KMP_DUPLICATE_LIB_OK'].text}."


def _quota(facts: Facts) -> Iterator[str]:
    quota = facts.machine["quota"]
    if facts.threads and exceeds_quota(facts.threads, quota):
        yield over_quota(facts.threads, quota)


def _without_effect(facts: Facts) -> Iterator[str]:
    if "MKL_DEBUG_CPU_TYPE" in facts.probe["variables"]:
        yield f"MKL_DEBUG_CPU_TYPE {SETTINGS['MKL_DEBUG_CPU_TYPE'].text}."


def _one_thread(facts: Facts) -> Iterator[str]:
    name = facts.blas["name"]
    reasons = {
        "netlib": "; netlib's BLAS knows no others",
        "blis": ": BLIS uses one unless BLIS_NUM_THREADS says otherwise",
    }
    if facts.threads == 1 and facts.cores > 1 and facts.asked != 1:
        yield f"It runs on one thread of {facts.cores} cores{reasons.get(name, '')}."


def _capped(facts: Facts) -> Iterator[str]:
    asked, used, name = facts.asked, facts.threads, facts.blas["name"]
    if asked and used and name != "netlib" and facts.cores <= used < asked:
        yield f"It uses {used} of the {asked} threads asked for: {name} takes no more than there are cores."


def _over_subscribed(facts: Facts) -> Iterator[str]:
    if facts.threads and facts.threads > facts.cores:
        cores = f"{facts.cores} core{'s' * (facts.cores != 1)}"
        yield f"{threads_in_words(facts.threads)} run on {cores}: expect it to be slow."


def _generic_path(facts: Facts) -> Iterator[str]:
    path = facts.blas["architecture"]
    if facts.blas["name"] == "mkl" and path in _GENERIC_PATHS_OF_MKL:
        yield f"MKL chose its generic path ({path}), as it does for processors that are not Intel's."


def _older_path(facts: Facts) -> Iterator[str]:
    path, order = facts.blas["architecture"], tuple(_INSTRUCTION_SETS)
    instructions = _INSTRUCTIONS_OF_PATH.get(str(path).lower())
    known = (name for name in facts.machine["instruction_sets"] if name in _INSTRUCTION_SETS)
    newest = max(known, key=order.index, default=None)
    if instructions and newest and order.index(instructions) < order.index(newest):
        yield (
            f"It runs code made for {_INSTRUCTION_SETS[instructions]} ({path}), "
            f"and this machine has {_INSTRUCTION_SETS[newest]}."
        )


def _forced_path(facts: Facts) -> Iterator[str]:
    variables = facts.probe["variables"]
    for name in _CODE_PATH_VARIABLES:
        if name in variables:
            yield f"{name}={variables[name]} decides the code path, not the library."


def _governor(facts: Facts) -> Iterator[str]:
    governor = facts.machine["governor"]
    if governor in {"powersave", "conservative"}:
        yield f"The processor's governor is {governor}: its frequency follows the load."


_UNTRUE = "What is measured here is not what its name says."
RULES: Mapping[str, Rule] = {
    "unknown-library": Rule("error", _unknown, "Its threads and code path cannot be known.", "library"),
    "impostor": Rule("error", _impostor, _UNTRUE, "library"),
    "blas": Rule("error", _other_library, _UNTRUE, "library"),
    "outside": Rule("error", _outside, "What is computed there says nothing about this environment.", "library"),
    "mixed-libraries": Rule("error", _mixed, _UNTRUE, "library"),
    "threads": Rule("error", _threads, "Results are compared by their number of threads.", "threads"),
    "threads-at-work": Rule("error", _threads_at_work, "Results are compared by their number of threads.", "threads"),
    "openmp-hidden": Rule("error", _openmp_hidden, SETTINGS["KMP_DUPLICATE_LIB_OK"].why),
    "openmp": Rule("warning", _openmp, f"{OPENMP_WHY} Never set KMP_DUPLICATE_LIB_OK to silence that."),
    "cpu-quota": Rule("warning", _quota, QUOTA_WHY),
    "setting": Rule("warning", _without_effect, SETTINGS["MKL_DEBUG_CPU_TYPE"].why),
    "one-thread": Rule("note", _one_thread),
    "capped-threads": Rule("note", _capped),
    "over-subscribed": Rule("note", _over_subscribed),
    "generic-path": Rule("note", _generic_path),
    "older-path": Rule("note", _older_path),
    "forced-path": Rule("note", _forced_path),
    "governor": Rule("note", _governor),
}
"""Every rule about one process, by name, the most severe first."""
