from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from support.measurements import FFT, GEMM, SVD, kernel, measured, noisy, visits

from mambakernels.bench.agreement import check_pairs
from mambakernels.bench.pairs import CONTROL_TOLERANCE, LEAST_MARGIN, PER_PROCESS, judge, pairs

A, B, C = kernel("a"), kernel("b"), kernel("c")
ROUNDS = 20
TIMES = [0.01] * ROUNDS


def pair_of(first: list[float], second: list[float]) -> pd.Series:
    return pairs(measured([A, B], [*visits(A, GEMM, first), *visits(B, GEMM, second)]).frame).iloc[0]


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    weather = [1.0, 2.0, 4.0, 1.0, 8.0, 1.0, 1.0, 3.0]
    found = pair_of([0.01 * factor for factor in weather], [0.012 * factor for factor in weather])
    assert found["ratio"] == pytest.approx(1.2)
    assert found["low"] == pytest.approx(1.2 / (1 + PER_PROCESS))
    assert found["high"] == pytest.approx(1.2 * (1 + PER_PROCESS))
    assert found["verdict"] == "slower"
    assert found["kernel"] == "b"
    assert found["reference"] == "a"
    assert "20.0% slower" in found["text"]


def test_faster_is_the_other_way_round() -> None:
    assert pair_of(TIMES, [0.005] * ROUNDS)["verdict"] == "faster"
    assert "2.0 times as fast" in pair_of(TIMES, [0.005] * ROUNDS)["text"]


def test_one_round_out_of_many_decides_nothing() -> None:
    found = pair_of(TIMES, [*TIMES[1:], 1.0])
    assert found["verdict"] == "equal"
    assert found["ratio"] == pytest.approx(1.0)


def test_what_is_surely_there_but_smaller_than_the_margin_is_called_equal() -> None:
    found = pair_of(TIMES, [0.01 * (1 + LEAST_MARGIN * 0.99)] * ROUNDS)
    assert found["low"] > 1
    assert found["verdict"] == "equal"
    assert "within the noise" in found["text"]


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_few_rounds_show_only_what_is_plain(rounds: int) -> None:
    assert pair_of([0.01] * rounds, [0.011] * rounds)["verdict"] == "undecided"
    assert pair_of([0.01] * rounds, [0.1] * rounds)["verdict"] == ("slower" if rounds > 1 else "undecided")


def test_the_more_is_looked_at_the_surer_each_has_to_be() -> None:
    one = pair_of(TIMES, TIMES)["coverage"]
    kernels = [kernel(name) for name in "abcdefgh"]
    rows = [row for kernel in kernels for case in (GEMM, SVD) for row in visits(kernel, case, TIMES)]
    many = pairs(measured(kernels, rows).frame)
    assert len(many) == 14
    assert one >= 0.95
    assert many["coverage"].min() >= 1 - 0.05 / 14


def test_rounds_that_one_of_them_missed_are_left_out() -> None:
    rows = [*visits(A, GEMM, TIMES), *visits(B, GEMM, TIMES[:9])]
    assert pairs(measured([A, B], rows).frame)["rounds"].tolist() == [9]


def test_wrong_results_are_not_compared() -> None:
    rows = [*visits(A, GEMM, TIMES), *visits(B, GEMM, [0.001] * ROUNDS, residual=0.5)]
    found = pairs(measured([A, B], rows).frame).iloc[0]
    assert found["verdict"] == "wrong"
    assert found["text"] == "The result of b is wrong."


def test_threads_are_compared_with_as_many_threads() -> None:
    kernels = [kernel(name, asked) for asked in (1, 2) for name in "ab"]
    rows = [row for kernel in kernels for row in visits(kernel, GEMM, [0.01 / (kernel.asked or 1)] * ROUNDS)]
    found = pairs(measured(kernels, rows).frame)
    assert found["threads"].tolist() == [1, 2]
    assert set(found["verdict"]) == {"equal"}


def test_kernels_as_they_are_registered_are_compared_whatever_their_threads() -> None:
    one, two = kernel("a", None), kernel("b", None, library={"threads": 2})
    rows = [*visits(one, GEMM, TIMES), *visits(two, GEMM, TIMES, threads=2)]
    found = pairs(measured([one, two], rows).frame)
    assert len(found) == 1
    assert found["threads"].isna().all()


def test_everyone_can_be_compared_with_everyone_or_with_another_reference() -> None:
    frame = measured([A, B, C], [row for one in (A, B, C) for row in visits(one, GEMM, TIMES)]).frame
    assert [tuple(row) for row in pairs(frame)[["kernel", "reference"]].to_numpy()] == [("b", "a"), ("c", "a")]
    assert len(pairs(frame, everyone=True)) == 3
    assert set(pairs(frame, reference="c")["kernel"]) == {"a", "b"}


def test_nothing_measured_gives_no_pairs() -> None:
    assert pairs(measured([A], []).frame).empty
    assert pairs(measured([A], list(visits(A, GEMM, TIMES))).frame).empty


def with_control(control: float, gemm: float, rounds: int = ROUNDS) -> pd.DataFrame:
    rows = [*visits(A, GEMM, [0.01] * rounds), *visits(B, GEMM, [0.01 * gemm] * rounds)]
    rows += [*visits(A, FFT, [0.01] * rounds), *visits(B, FFT, [0.01 * control] * rounds)]
    return pairs(measured([A, B], rows).frame)


def test_controls_that_agree_vouch_for_the_rest() -> None:
    verdict = check_pairs(with_control(1.01, 1.1))
    assert verdict.verdict == "agree"
    assert "fft takes 1.0% longer in b than in a" in verdict.text


def test_controls_that_differ_forbid_to_trust() -> None:
    verdict = check_pairs(with_control(1.2, 1.1))
    assert verdict.verdict == "differ"
    assert "cannot be trusted" in verdict.text
    assert "20.0% longer in b than in a" in verdict.text


def test_controls_after_few_rounds_say_nothing() -> None:
    assert check_pairs(with_control(1.2, 1.1, rounds=3)).verdict == "unknown"
    assert check_pairs(pairs(measured([A], []).frame)).verdict == "unknown"


def test_what_controls_differ_by_is_no_difference_between_libraries() -> None:
    margin = 1 + (LEAST_MARGIN + CONTROL_TOLERANCE) / 2
    frame = with_control(margin, margin - 0.001).set_index("operation")
    assert frame.loc["gemm", "verdict"] == "equal"
    assert frame.loc["gemm", "margin"] == pytest.approx(margin - 1)


@pytest.mark.parametrize("rounds", [12, 20, 40])
def test_the_same_library_twice_is_called_equal(rounds: int) -> None:
    generator = np.random.default_rng(rounds)
    verdicts = [pair_of(noisy(generator, 1.0, rounds), noisy(generator, 1.0, rounds))["verdict"] for _ in range(40)]
    assert verdicts.count("equal") >= 38


@pytest.mark.parametrize("rounds", [30, 60])
def test_ten_percent_more_time_is_called_slower(rounds: int) -> None:
    generator = np.random.default_rng(rounds)
    verdicts = [pair_of(noisy(generator, 1.0, rounds), noisy(generator, 1.1, rounds))["verdict"] for _ in range(40)]
    assert verdicts == ["slower"] * 40


def test_two_runs_of_the_same_comparison_give_intervals_that_overlap() -> None:
    generator = np.random.default_rng(5)
    overlapping = 0
    for _ in range(40):
        one, two = (pair_of(noisy(generator, 1.0, ROUNDS), noisy(generator, 1.3, ROUNDS)) for _ in range(2))
        overlapping += bool(one["low"] <= two["high"] and two["low"] <= one["high"])
    assert overlapping >= 36


def test_a_ratio_is_judged_by_its_interval_and_the_margin() -> None:
    assert judge(1.1, 1.05, 1.2, sure=True, rounds=20, margin=0.03) == "slower"
    assert judge(1.1, 0.99, 1.2, sure=True, rounds=20, margin=0.03) == "equal"
    assert judge(1.1, 1.05, 1.2, sure=True, rounds=20, margin=0.12) == "equal"
    assert judge(1.1, 1.05, 1.2, sure=False, rounds=5, margin=0.03) == "undecided"
    assert judge(0.5, 0.4, 0.6, sure=False, rounds=5, margin=0.03) == "faster"
    assert math.isclose(LEAST_MARGIN, 0.03)
