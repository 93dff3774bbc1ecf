from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from support.measurements import FFT, GEMM, SVD, kernel, measured, noisy, visits

from mambakernels.bench.agreement import check_pairs
from mambakernels.bench.pairs import FAMILY_LEVEL, MARGIN, PER_PROCESS, Ratio, judge, pairs, ratio_of

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
    found = pair_of(TIMES, [0.01 * (1 + MARGIN - PER_PROCESS * 1.2)] * ROUNDS)
    assert found["low"] > 1
    assert found["verdict"] == "equal"
    assert found["text"] == "equal within 5% (1.006 to 1.047)"


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_few_rounds_have_no_interval(rounds: int) -> None:
    found = pair_of([0.01] * rounds, [0.1] * rounds)
    assert found["verdict"] == "undecided"
    assert math.isnan(found["low"])
    assert math.isnan(found["high"])
    assert found["needed"] == 8
    word = "round" if rounds == 1 else "rounds"
    assert found["text"] == f"undecided: 10.0 times as slow in {rounds} {word}, and an interval needs 8"
    assert pair_of([0.01] * 8, [0.1] * 8)["verdict"] == "slower"


def test_what_would_decide_follows_from_the_width_of_the_interval() -> None:
    wide = pair_of(TIMES, [0.01 * factor for factor in (0.9, 1.1) * 10])
    assert wide["verdict"] == "undecided"
    assert 50 < wide["needed"] < 500
    assert wide["text"] == f"undecided: 0.882 to 1.122 in 20 rounds; about {wide['needed']} would decide"
    assert pair_of(TIMES, [0.01 * factor for factor in (0.01, 100) * 10])["needed"] is pd.NA
    assert pair_of(TIMES, TIMES)["needed"] is pd.NA, "it is decided"


def test_visits_whose_samples_were_all_disturbed_do_not_count() -> None:
    several = {"alone": False, "cpu_samples": ()}
    rows = [*visits(A, GEMM, TIMES, **several), *visits(B, GEMM, [0.02] * 9, **several)]
    rows += list(visits(B, GEMM, [9.0] * ROUNDS, disturbed=(True, True), **several))[9:]
    found = pairs(measured([A, B], rows).frame).iloc[0]
    assert (found["rounds"], found["ratio"], found["verdict"]) == (9, pytest.approx(2.0), "slower")
    none = pairs(measured([A, B], rows[:ROUNDS] + rows[ROUNDS + 9 :]).frame).iloc[0]
    assert (none["rounds"], none["verdict"]) == (0, "undecided")
    assert none["text"].startswith("undecided: other programs disturbed every sample; a quieter machine, or one thread")


@pytest.mark.parametrize("sign", [1, -1])
def test_an_interval_shrinks_with_the_root_of_the_rounds_that_are_needed(sign: int) -> None:
    generator = np.random.default_rng(2)
    logs = generator.normal(sign * 0.12, 0.25, 20)
    first = ratio_of(list(logs), confidence=0.95, widened=PER_PROCESS)
    assert first.verdict(MARGIN) == "undecided"
    needed = first.needed(MARGIN)
    assert needed is not None
    more = ratio_of([*logs, *generator.normal(sign * 0.12, 0.25, 4 * needed)], confidence=0.95, widened=PER_PROCESS)
    assert more.verdict(MARGIN) != "undecided"


def test_the_more_is_looked_at_the_surer_each_has_to_be() -> None:
    one = pair_of(TIMES, TIMES)["coverage"]
    kernels = [kernel(name) for name in "abcdefgh"]
    rows = [row for kernel in kernels for case in (GEMM, SVD) for row in visits(kernel, case, TIMES)]
    many = pairs(measured(kernels, rows).frame)
    assert len(many) == 14
    assert one >= 0.95
    assert many["coverage"].min() >= 1 - FAMILY_LEVEL / 14


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


def test_what_controls_differ_by_widens_the_interval() -> None:
    frame = with_control(1.04, 1.039).set_index("operation")
    assert frame.loc["gemm", "verdict"] == "undecided"
    assert frame.loc["gemm", "low"] == pytest.approx(1.039 / 1.04)
    assert with_control(1.0, 1.07).set_index("operation").loc["gemm", "verdict"] == "slower"
    assert check_pairs(with_control(1.04, 1.04)).verdict == "agree"


def ratio(first: list[float], second: list[float]) -> Ratio:
    """Return what `pairs` makes of a single pair, without the frames, which take a hundred times as long."""
    return ratio_of(np.log(np.divide(second, first)).tolist(), confidence=1 - FAMILY_LEVEL, widened=PER_PROCESS)


def test_a_single_pair_in_a_frame_has_the_ratio_of_its_rounds() -> None:
    generator = np.random.default_rng(7)
    first, second = noisy(generator, 1.0, ROUNDS), noisy(generator, 1.3, ROUNDS)
    found, same = pair_of(first, second), ratio(first, second)
    assert [found["ratio"], found["low"], found["high"]] == pytest.approx([same.middle, same.low, same.high])
    assert found["verdict"] == same.verdict(MARGIN)


@pytest.mark.parametrize(("rounds", "equal"), [(12, 2), (20, 8), (40, 30)])
def test_the_same_library_twice_is_never_called_different(rounds: int, equal: int) -> None:
    generator = np.random.default_rng(rounds)
    found = [ratio(noisy(generator, 1.0, rounds), noisy(generator, 1.0, rounds)) for _ in range(40)]
    verdicts = [pair.verdict(MARGIN) for pair in found]
    assert set(verdicts) <= {"equal", "undecided"}
    assert verdicts.count("equal") >= equal


@pytest.mark.parametrize("rounds", [40, 60])
def test_ten_percent_more_time_is_called_slower(rounds: int) -> None:
    generator = np.random.default_rng(rounds)
    found = [ratio(noisy(generator, 1.0, rounds), noisy(generator, 1.1, rounds)) for _ in range(40)]
    assert [pair.verdict(MARGIN) for pair in found] == ["slower"] * 40


def test_two_runs_of_the_same_comparison_give_intervals_that_overlap() -> None:
    generator = np.random.default_rng(5)
    overlapping = 0
    for _ in range(40):
        one, two = (ratio(noisy(generator, 1.0, ROUNDS), noisy(generator, 1.3, ROUNDS)) for _ in range(2))
        overlapping += bool(one.low <= two.high and two.low <= one.high)
    assert overlapping >= 36


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [
        (1.05, 1.2, 0.05, "slower"),
        (0.8, 0.99, 0.05, "faster"),
        (0.99, 1.2, 0.05, "undecided"),
        (0.96, 1.049, 0.05, "equal"),
        (1.01, 1.04, 0.05, "equal"),
        (1.01, 1.04, 0.03, "slower"),
        (1 / 1.05 - 1e-9, 1.0, 0.05, "undecided"),
        (math.nan, math.nan, 0.05, "undecided"),
    ],
)
def test_a_ratio_is_judged_by_its_interval_and_the_margin(low: float, high: float, margin: float, verdict: str) -> None:
    assert judge(low, high, margin=margin) == verdict
