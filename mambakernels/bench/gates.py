"""What shuts the gate on a measurement: wrong results, other threads than asked for, another library, no kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mambakernels.bench.records import Measured, Worker, label

Name = Literal["result", "threads", "library", "setting", "kernel"]

# The rules of `mambakernels.numeric.gates`, which looks from inside of the kernel, and the gate each belongs to.
_RULES: Mapping[str, Name] = {
    "unknown library": "library",
    "impostor": "library",
    "another build": "library",
    "outside the environment": "library",
    "mixed libraries": "library",
    "threads": "threads",
    "threads at work": "threads",
}


@dataclass(frozen=True)
class Gate:
    """A gate that a kernel did not pass: its figures are not to be used; `text` says why."""

    gate: Name
    kernel: str
    text: str


def gates(measured: Measured) -> tuple[Gate, ...]:
    """Return the gates that were not passed, each once."""
    found = [gate for worker in measured.workers for gate in _of(worker)]
    return tuple(dict.fromkeys([*found, *_results(measured)]))


def _of(worker: Worker) -> Iterator[Gate]:
    if worker.failure is not None:
        yield Gate("kernel", worker.name, f"{worker.name} failed: {worker.failure}")
    ran = worker.library.get("name")
    if worker.blas and ran and worker.blas != ran:
        text = f"The environment of {worker.name} was made with {worker.blas}, but {ran} runs: {_file(worker)}."
        yield Gate("library", worker.name, text)
    if is_idle_handed(worker):
        told, working = worker.library["threads"], worker.facts["working"]
        text = f"{ran} says it uses {told} threads in {worker.name}, but {working} at work was all that was seen."
        yield Gate("threads", worker.name, text)
    for finding in worker.facts.get("findings", ()):
        if finding["weight"] == "distrust":
            yield Gate(_RULES.get(finding["rule"], "setting"), worker.name, f"{worker.name}: {finding['text']}")


def is_idle_handed(worker: Worker) -> bool:
    """Whether fewer threads really work than the library says, and than there are cores for."""
    told, working = worker.library.get("threads"), worker.facts.get("working")
    cores = worker.machine.get("cores")
    return bool(told and working and cores and working < min(told, cores))


def _results(measured: Measured) -> Iterator[Gate]:
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
        yield Gate("result", name, text)


def _file(worker: Worker) -> str:
    return str(worker.library.get("library") or "from an unknown file")
