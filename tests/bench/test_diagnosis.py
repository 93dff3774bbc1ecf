"""Each rule, with facts that it speaks on and facts that it is silent on."""

from __future__ import annotations

from typing import Any

import pytest
from support.measurements import FFT, GEMM, SVD, kernel, measured, visits

from mambakernels.bench import diagnosis
from mambakernels.bench.cases import Case
from mambakernels.bench.diagnosis import diagnose
from mambakernels.bench.measured import Measured, MeasuredKernel
from mambakernels.numeric import rules

SOLVE = Case("solve", "float64", 256)
TIMES = [0.01] * 12


def said(rule: str, what: MeasuredKernel | Measured) -> list[str]:
    whole = measured([what], list(visits(what, GEMM, TIMES))) if isinstance(what, MeasuredKernel) else what
    return [item.text for item in diagnose(whole) if item.rule == rule]


def test_where_all_is_well_nothing_is_said() -> None:
    kernels = [kernel("a"), kernel("b")]
    rows = [row for one in kernels for case in (GEMM, SVD, FFT) for row in visits(one, case, TIMES)]
    assert diagnose(measured(kernels, rows)) == ()


BLIS_ALONE: dict[str, Any] = {"asked": None, "library": {"name": "blis", "threads": 1, "architecture": "skx"}}
KERNELS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "one-thread": (
        BLIS_ALONE,
        "a: It runs on one thread of 2 cores: BLIS uses one unless BLIS_NUM_THREADS",
        {"asked": 1},
    ),
    "capped-threads": (
        {"asked": 8, "library": {"threads": 2}},
        "uses 2 of the 8 threads asked for",
        {"asked": 2, "library": {"threads": 2}},
    ),
    "over-subscribed": (
        {"asked": 8, "library": {"threads": 8}},
        "8 threads run on 2 cores",
        {"asked": 2, "library": {"threads": 2}},
    ),
    "cpu-quota": (
        {"asked": 64, "library": {"threads": 64}, "machine": {"cores": 64, "quota": 2.0}},
        "a (64 threads): 64 threads exceed the CPU quota of 2 cores",
        {"asked": 2, "library": {"threads": 2}, "machine": {"cores": 64, "quota": 2.0}},
    ),
    "generic-path": (
        {"library": {"name": "mkl", "architecture": "def"}},
        "a (1 thread): MKL chose its generic path (def)",
        {"library": {"name": "mkl", "architecture": "avx512"}},
    ),
    "older-path": (
        {"library": {"architecture": "Haswell"}},
        "a (1 thread): It runs code made for AVX2 (Haswell), and this machine has AVX-512",
        {"library": {"architecture": "Haswell"}, "machine": {"instruction_sets": ["sse2", "avx", "avx2"]}},
    ),
    "forced-path": (
        {"probe": {"variables": {"OPENBLAS_CORETYPE": "Haswell"}}},
        "OPENBLAS_CORETYPE=Haswell decides the code path",
        {"probe": {"variables": {"OMP_NUM_THREADS": "1"}}},
    ),
    "openmp": (
        {"probe": {"openmp": ["/env/libiomp5.so", "/env/libgomp.so.1"]}},
        "libgomp.so.1, libiomp5.so",
        {"probe": {"openmp": ["/env/libiomp5.so"]}},
    ),
    "governor": (
        {"machine": {"governor": "powersave"}},
        "governor is powersave",
        {"machine": {"governor": "performance"}},
    ),
    "setting": (
        {"probe": {"variables": {"MKL_DEBUG_CPU_TYPE": "5"}}},
        "a (1 thread): MKL_DEBUG_CPU_TYPE has no effect",
        {"probe": {"variables": {"MKL_CBWR": "AUTO"}}},
    ),
}


@pytest.mark.parametrize("rule", KERNELS)
def test_a_rule_about_a_kernel_speaks_where_it_should_and_only_there(rule: str) -> None:
    ill, words, well = KERNELS[rule]
    [text] = said(rule, kernel("a", **{"asked": 1, **ill}))
    assert words in text
    assert said(rule, kernel("a", **{"asked": 1, **well})) == []


def test_netlib_on_one_thread_is_told_even_if_more_were_asked_for() -> None:
    [text] = said("one-thread", kernel(asked=2, library={"name": "netlib", "threads": 1}))
    assert "netlib's BLAS knows no others" in text
    assert said("capped-threads", kernel(asked=2, library={"name": "netlib", "threads": 1})) == []


def with_blis(solve: float, gemm: float = 1.0) -> Measured:
    usual = kernel("np-openblas")
    blis = kernel("np-blis", library={"name": "blis", "architecture": "skx"}, probe={"lapack": {"name": "netlib"}})
    rows = [*visits(usual, GEMM, TIMES), *visits(blis, GEMM, [0.01 * gemm] * 12)]
    rows += [*visits(usual, SOLVE, TIMES), *visits(blis, SOLVE, [0.01 * solve] * 12)]
    return measured([usual, blis], rows)


def test_netlibs_lapack_explains_a_slow_solve() -> None:
    [text] = said("netlib-lapack", with_blis(3.0))
    assert text == "solve is slow in np-blis (3.0 times np-openblas's time) because BLIS comes with netlib's LAPACK."


def test_a_solve_no_slower_than_the_products_needs_no_such_explanation() -> None:
    assert said("netlib-lapack", with_blis(1.05)) == []
    assert said("netlib-lapack", with_blis(3.0, gemm=3.0)) == []


def whole(**changes: Any) -> Measured:
    kernels = [kernel("a", machine=changes.pop("machine", {})), kernel("b", probe=changes.pop("probe", {}))]
    of_rows = {name: changes.pop(name) for name in ("others", "fingerprint") if name in changes}
    rows = [row for one in kernels for row in visits(one, GEMM, TIMES, **of_rows)]
    return measured(kernels, rows, **changes)


ALL: dict[str, tuple[Measured, str]] = {
    "different-versions": (
        whole(probe={"numpy": "1.26.4"}),
        "NumPy is not the same in all kernels (2.4.0 in a, 1.26.4 in b)",
    ),
    "not-idle": (whole(others=0.3), "While a was measured, another kernel was not idle: it used 30% of a core."),
    "idling-unverified": (whole(others=float("nan")), "was not verified"),
    "busy-machine": (
        measured([one := kernel("a", machine={"load": [4.0, 1.0, 1.0]})], list(visits(one, GEMM, TIMES))),
        "load 4.0 on 2 cores",
    ),
    "canary": (whole(canary=tuple(0.003 * 1.02**i for i in range(12))), "the machine became 17% slower"),
    "few-rounds": (whole(rounds=3), "Only 3 rounds fitted"),
    "interrupted": (whole(interrupted=True), "interrupted after 10 seconds"),
    "remark": (whole(notes=("b leaves svd out: no memory",)), "b leaves svd out: no memory"),
}


@pytest.mark.parametrize("rule", ALL)
def test_a_rule_about_the_whole_speaks_where_it_should(rule: str) -> None:
    texts = said(rule, ALL[rule][0])
    assert texts
    assert ALL[rule][1] in texts[0]


def test_threads_that_have_to_share_their_cores_are_warned_of() -> None:
    crowded = kernel("a", 2, library={"threads": 2}, machine={"load": [4.0, 1.0, 1.0]})
    assert "Several threads are hard to measure here" in said("busy-machine", crowded)[1]


def test_a_canary_that_only_jumps_is_unsteady() -> None:
    [text] = said("canary", whole(canary=(0.003, 0.004) * 6))
    assert "unsteady" in text
    assert "33%" in text


def test_other_bits_from_round_to_round_are_told() -> None:
    one = kernel("np-mkl")
    rows = [row | {"fingerprint": str(number)} for number, row in enumerate(visits(one, SVD, TIMES))]
    assert said("irreproducible", measured([one], rows)) == ["np-mkl gives different bits from round to round in svd."]
    assert said("irreproducible", whole(fingerprint="same")) == []


def test_every_rule_has_its_test() -> None:
    assert {name for name, rule in rules.RULES.items() if rule.severity != "error"} == set(KERNELS)
    assert set(diagnosis.RULES) == {*ALL, "netlib-lapack", "irreproducible"}
