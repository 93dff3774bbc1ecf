from __future__ import annotations

import pytest
from support.measurements import GEMM, measured, visits, worker

from mambakernels.bench.gates import gates
from mambakernels.bench.records import Worker


def found(one: Worker, **changes: float) -> list[tuple[str, str]]:
    return [(gate.gate, gate.text) for gate in gates(measured([one], list(visits(one, GEMM, [0.1, 0.1], **changes))))]


def test_where_all_is_well_every_gate_is_passed() -> None:
    assert found(worker(blas="openblas")) == []


def test_a_wrong_product_is_caught_once_with_its_worst_residual() -> None:
    [(gate, text)] = found(worker(), residual=0.5)
    assert gate == "result"
    assert "gemm (float64, n=256) is wrong in a (1 thread)" in text
    assert "5.0e-01" in text


def test_another_library_than_the_environments_is_caught() -> None:
    [(gate, text)] = found(worker(blas="mkl"))
    assert gate == "library"
    assert "made with mkl, but openblas runs: /env/lib/libopenblas.so" in text


def test_a_kernel_of_others_promises_no_library() -> None:
    assert found(worker(blas=None)) == []


def test_threads_that_the_library_only_says_it_uses_are_caught() -> None:
    [(gate, text)] = found(worker(asked=2, library={"threads": 2}, facts={"working": 1}))
    assert gate == "threads"
    assert "says it uses 2 threads" in text


@pytest.mark.parametrize(("threads", "working"), [(8, 2), (2, 2), (2, None), (1, 1)])
def test_threads_cannot_be_more_than_cores_and_need_not_be_known(threads: int, working: int | None) -> None:
    assert found(worker(asked=threads, library={"threads": threads}, facts={"working": working})) == []


@pytest.mark.parametrize(
    ("rule", "gate"),
    [("threads", "threads"), ("impostor", "library"), ("outside the environment", "library"), ("new rule", "setting")],
)
def test_what_the_kernel_itself_distrusts_belongs_to_a_gate(rule: str, gate: str) -> None:
    finding = {"rule": rule, "weight": "distrust", "text": "Something is odd."}
    assert found(worker(facts={"findings": [finding]})) == [(gate, "a (1 thread): Something is odd.")]
    assert found(worker(facts={"findings": [finding | {"weight": "note"}]})) == []


def test_a_kernel_that_failed_is_named_with_its_reason() -> None:
    dead = Worker("b", None, {}, failure="KernelDied: The kernel ended with signal SIGILL.")
    [gate] = gates(measured([worker(), dead], []))
    assert (gate.gate, gate.kernel) == ("kernel", "b")
    assert "SIGILL" in gate.text
