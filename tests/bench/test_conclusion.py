"""A comparison's conclusion follows from its figures: the same code says other things about other figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from support.measurements import FFT, GEMM, SVD, kernel, measured, visits

from mambakernels.bench.comparison import Comparison, evaluate
from mambakernels.bench.ranking import resolved

ROUNDS = 20
AVX2 = {"architecture": "Haswell", "name": "blis"}
NETLIB = {"name": "netlib", "architecture": None}


def compared(
    *figures: tuple[str, Sequence[float]], fft: Sequence[float] = (0.001,), rounds: int = ROUNDS, **about: Any
) -> Comparison:
    """Compare kernels by their seconds in gemm and svd; `fft` are those of the control; `about` are facts of each."""
    kernels = [kernel(name, None, **about.get(name.replace("-", "_"), {})) for name, _ in figures]
    rows = []
    for number, (one, (_, seconds)) in enumerate(zip(kernels, figures, strict=True)):
        for case, length in zip((GEMM, SVD), seconds, strict=False):
            rows += visits(one, case, [length] * rounds)
        rows += visits(one, FFT, [fft[number % len(fft)]] * rounds)
    return evaluate(measured(kernels, rows))


def places(found: Comparison, operation: str = "gemm") -> dict[str, str]:
    rows = found.ranking[found.ranking["operation"] == operation]
    return dict(zip(rows["kernel"], rows["place"], strict=True))


def test_each_kernel_has_a_place_relative_to_the_best_whichever_is_listed_first() -> None:
    found = compared(("np-a", [0.02, 0.02]), ("np-b", [0.01, 0.02]), ("np-c", [0.0102, 0.5]))
    assert places(found) == {"np-a": "slower", "np-b": "best", "np-c": "equal"}
    assert places(found, "svd") == {"np-a": "best", "np-b": "equal", "np-c": "slower"}
    ratios = found.ranking.set_index(["operation", "kernel"])["ratio"]
    assert ratios["gemm", "np-a"] == pytest.approx(2.0)
    assert ratios["gemm", "np-b"] == 1.0
    assert ratios["svd", "np-c"] == pytest.approx(25.0)


def test_who_is_fastest_and_by_how_much_is_said() -> None:
    found = compared(("np-a", [0.02, 0.04]), ("np-b", [0.01, 0.01]))
    assert found.conclusion.trusted
    first, average, *_ = found.conclusion.sentences
    assert first == "np-b is the fastest in both operations."
    assert average == "On the geometric average, np-a takes 2.83 times as long as np-b."
    mixed = compared(("np-a", [0.01, 0.04]), ("np-b", [0.02, 0.01]))
    assert mixed.conclusion.sentences[0] == "Fastest: np-a in gemm; np-b in svd."
    equal = compared(("np-a", [0.01, 0.04]), ("np-b", [0.01, 0.01]))
    assert equal.conclusion.sentences[0] == "Fastest: np-a and np-b (equal within 5%) in gemm; np-b in svd."


def test_the_largest_difference_is_explained_by_what_ran() -> None:
    about = {
        "np_netlib": {"library": NETLIB, "probe": {"lapack": {"name": "netlib"}}},
        "np_blis": {"library": AVX2, "probe": {"lapack": {"name": "netlib"}}},
        "np_mkl": {"library": {"name": "mkl", "threads": 2}, "probe": {"lapack": {"name": "mkl"}}},
    }
    found = compared(("np-mkl", [0.01, 0.01]), ("np-blis", [0.011, 0.05]), ("np-netlib", [0.3, 0.1]), **about)
    largest, next_one = found.conclusion.sentences[2:4]
    assert largest == (
        "The largest difference: np-netlib takes 30.0 times as long as np-mkl in gemm: netlib's reference code is "
        "written for no particular processor; it works with 1 thread, np-mkl with 2."
    )
    assert next_one == (
        "np-blis takes 5.00 times as long as np-mkl in svd: BLIS comes with netlib's LAPACK; it works with 1 thread, "
        "np-mkl with 2; it runs code made for AVX2 (Haswell), and this machine has AVX-512."
    )


def test_a_difference_that_nothing_explains_is_not_explained() -> None:
    found = compared(("np-a", [0.02]), ("np-b", [0.01]))
    assert any("threads and code path do not explain it" in text for text in found.conclusion.sentences)


def test_where_controls_differ_there_is_no_ranking_and_no_ratio() -> None:
    found = compared(("np-a", [0.02, 0.04]), ("np-b", [0.01, 0.01]), fft=(0.001, 0.002))
    assert not found.conclusion.trusted
    assert found.conclusion.sentences == (found.controls.text,)
    assert "fastest" not in " ".join(found.conclusion.sentences)
    assert set(found.ranking["place"]) == {"untrusted"}
    assert found.ranking[["ratio", "low", "high"]].isna().all(axis=None)
    assert (found.ranking["gflops"] > 0).all()


def test_controls_of_two_kernels_that_are_not_the_first_count_too() -> None:
    """Each differs from the first by less than is allowed, but not from each other."""
    found = compared(("np-a", [0.01]), ("np-b", [0.01]), ("np-c", [0.01]), fft=(0.001, 0.00095, 0.00105))
    assert found.controls.verdict == "differ"
    assert "np-c than in np-b" in found.controls.text


def test_with_too_few_rounds_nothing_is_decided() -> None:
    found = compared(("np-a", [0.02, 0.04]), ("np-b", [0.01, 0.01]), rounds=4)
    assert found.conclusion.sentences[0] == "Undecided: gemm (np-a or np-b) and svd (np-a or np-b)."
    assert not any("average" in text or "largest" in text for text in found.conclusion.sentences)
    assert places(found) == {"np-a": "undecided", "np-b": "best"}


def test_a_kernel_that_computes_wrong_results_is_an_alarm_and_not_compared() -> None:
    right, wrong = kernel("np-a", None), kernel("np-b", None)
    rows = [*visits(right, GEMM, [0.02] * ROUNDS), *visits(wrong, GEMM, [0.01] * ROUNDS, residual=0.5)]
    rows += [*visits(right, SVD, [0.02] * ROUNDS), *visits(wrong, SVD, [0.01] * ROUNDS)]
    rows += [row for one in (right, wrong) for row in visits(one, FFT, [0.001] * ROUNDS)]
    found = evaluate(measured([right, wrong], rows))
    assert found.conclusion.alarms == tuple(gate.text for gate in found.gates)
    assert "gemm (float64, n=256) is wrong in np-b" in found.conclusion.alarms[0]
    assert places(found) == places(found, "svd") == {"np-a": "best", "np-b": "failed"}
    assert not any("np-b" in text for text in found.conclusion.sentences)


def test_disturbed_figures_are_shown_and_compared_with_nothing() -> None:
    one, other = kernel("np-a", None), kernel("np-b", None)
    bad = {"disturbed": (True, True), "alone": False}
    rows = [*visits(one, GEMM, [0.02] * ROUNDS), *visits(other, GEMM, [0.01] * ROUNDS, **bad)]
    found = evaluate(measured([one, other], rows))
    assert places(found) == {"np-a": "best", "np-b": "disturbed"}


@pytest.mark.parametrize("fft", [(0.001, 0.001), (0.001, 0.002)])
def test_what_is_wrong_is_shown_as_failed_also_where_nothing_is_compared_with_it(fft: tuple[float, float]) -> None:
    right, wrong = kernel("np-a", None), kernel("np-b", None)
    rows = [*visits(right, GEMM, [0.02] * ROUNDS), *visits(wrong, GEMM, [0.01] * ROUNDS, residual=0.5)]
    rows += [row for one in (right, wrong) for row in visits(one, SVD, [0.01] * ROUNDS)]
    for one, seconds in zip((right, wrong), fft, strict=True):
        rows += visits(one, FFT, [seconds] * ROUNDS)
    found = evaluate(measured([right, wrong], rows))
    assert found.conclusion.trusted == (len(set(fft)) == 1)
    shown = resolved(found.ranking)
    [place] = shown[(shown["operation"] == "gemm") & (shown["kernel"] == "np-b")]["place"]
    assert place == "failed"


def test_programs_get_the_conclusion_and_the_ranking() -> None:
    content = compared(("np-a", [0.02]), ("np-b", [0.01])).as_dict()
    assert content["conclusion"]["trusted"] is True
    assert [row["place"] for row in content["ranking"]] == ["slower", "best"]


def test_a_case_of_one_round_is_no_result_where_others_had_enough() -> None:
    one, other = kernel("np-a", None), kernel("np-b", None)
    rows = [*visits(one, GEMM, [0.02] * ROUNDS), *visits(other, GEMM, [0.01] * ROUNDS)]
    rows += [*visits(one, SVD, [0.02]), *visits(other, SVD, [0.01])]
    found = evaluate(measured([one, other], rows))
    assert set(resolved(found.ranking)["operation"]) == {"gemm"}
    assert found.conclusion.sentences[0] == "np-b is the fastest in the one operation."
    assert len(resolved(found.ranking[found.ranking["operation"] == "svd"])) == 2
