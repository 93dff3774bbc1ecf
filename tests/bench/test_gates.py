from __future__ import annotations

from typing import Any

import pytest
from support.measurements import GEMM, kernel, measured, visits

from mambakernels.bench.gates import gates
from mambakernels.bench.measured import MeasuredKernel


def found(one: MeasuredKernel, **changes: float) -> list[tuple[str, str]]:
    return [(gate.rule, gate.text) for gate in gates(measured([one], list(visits(one, GEMM, [0.1, 0.1], **changes))))]


def test_where_all_is_well_every_gate_is_passed() -> None:
    assert found(kernel(blas="openblas")) == []


def test_a_wrong_product_is_caught_once_with_its_worst_residual() -> None:
    [(gate, text)] = found(kernel(), residual=0.5)
    assert gate == "result"
    assert "gemm (float64, n=256) is wrong in a (1 thread)" in text
    assert "5.0e-01" in text


def test_another_library_than_the_environments_is_caught() -> None:
    [(gate, text)] = found(kernel(blas="mkl"))
    assert gate == "library"
    assert "It was made for mkl, and NumPy runs on openblas: /env/lib/libopenblas.so" in text


def test_a_kernel_of_others_promises_no_library() -> None:
    assert found(kernel(blas=None)) == []


def test_threads_that_the_library_only_says_it_uses_are_caught() -> None:
    [(gate, text)] = found(kernel(asked=2, library={"threads": 2}, facts={"working": 1}))
    assert gate == "threads"
    assert "says it uses 2 threads" in text


@pytest.mark.parametrize(("threads", "working"), [(8, 2), (2, 2), (2, None), (1, 1)])
def test_threads_cannot_be_more_than_cores_and_need_not_be_known(threads: int, working: int | None) -> None:
    assert found(kernel(asked=threads, library={"threads": threads}, facts={"working": working})) == []


@pytest.mark.parametrize(
    ("changes", "gate", "text"),
    [
        (
            {"asked": 2, "library": {"threads": 1}},
            "threads",
            "a (2 threads): 2 threads asked for, but openblas says it",
        ),
        (
            {"library": {"proven": False}},
            "library",
            "a (1 thread): /env/lib/libopenblas.so is called openblas, but has",
        ),
        (
            {"probe": {"packages": {"numpy": "2.4.0=h0"}, "prefix": "/other"}},
            "library",
            "a (1 thread): Not from the environment /other: NumPy",
        ),
        (
            {"probe": {"openmp": ["/a.so", "/b.so"], "variables": {"KMP_DUPLICATE_LIB_OK": "1"}}},
            "setting",
            "a (1 thread): KMP_DUPLICATE_LIB_OK hides",
        ),
    ],
)
def test_an_error_about_a_kernel_belongs_to_a_gate(changes: dict[str, Any], gate: str, text: str) -> None:
    [(found_gate, found_text)] = found(kernel(**changes))
    assert (found_gate, found_text[: len(text)]) == (gate, text)


def test_a_warning_about_a_kernel_closes_no_gate() -> None:
    assert found(kernel(asked=2, library={"threads": 2}, machine={"cores": 4, "quota": 1.5})) == []


def test_a_kernel_that_failed_is_named_with_its_reason() -> None:
    dead = MeasuredKernel("b", None, {}, failure="KernelDied: The kernel ended with signal SIGILL.")
    [gate] = gates(measured([kernel(), dead], []))
    assert (gate.rule, gate.kernel) == ("kernel", "b")
    assert "SIGILL" in gate.text
