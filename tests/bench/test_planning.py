from __future__ import annotations

from dataclasses import replace

import pytest

from mambakernels.bench.cases import Case, Settings
from mambakernels.bench.pairs import FAMILY_LEVEL, rounds_for_interval
from mambakernels.bench.planning import (
    VisitCost,
    fits,
    guess,
    hopeless,
    left_out,
    schedule,
    to_drop,
    too_long,
    wanted_rounds,
)

SMALL, LARGE, CONTROL = (
    Case("gemm", "float64", 64),
    Case("svd", "float64", 4096),
    Case("fft", "float64", 64, control=True),
)
SETTINGS = Settings(("a",), (SMALL, LARGE, CONTROL), budget=30, samples=3, visit_seconds=0.04, rounds=50)


def costs(large: float = 1.0) -> dict[tuple[tuple[str, int | None], Case], VisitCost]:
    return {
        (("a", 1), SMALL): VisitCost(0.01, 0.002, 0.04),
        (("a", 1), LARGE): VisitCost(0.5, large, 0.04),
        (("a", 1), CONTROL): VisitCost(0.01, 0.002, 0.04),
    }


def test_a_visit_costs_its_samples_or_its_least_time() -> None:
    assert VisitCost(0.01, 0.002, 0.04).with_samples(3) == pytest.approx(0.05)
    assert VisitCost(0.5, 1.0, 0.04).with_samples(3) == pytest.approx(3.5)


def test_many_rounds_come_before_many_samples() -> None:
    assert schedule(costs(), SETTINGS, 1000).samples == 3
    assert schedule(costs(), SETTINGS, 30).samples == 1
    assert schedule(costs(), SETTINGS, 30).rounds == 18
    assert schedule(costs(0.01), SETTINGS, 1000).rounds == SETTINGS.rounds


def test_a_schedule_may_have_no_round() -> None:
    assert schedule(costs(100.0), SETTINGS, 20).rounds == 0


def test_the_error_says_what_would_fit() -> None:
    error = too_long(LARGE, 100.0, settings=SETTINGS, left=20)
    assert "Not even one round fits into 30 seconds: svd n=4096 takes about 100 s a round" in str(error)
    assert "a budget of about 1110 seconds" in str(error.next_step)


def test_the_error_names_a_start_that_took_the_whole_budget() -> None:
    error = too_long(LARGE, 0.0, settings=SETTINGS, left=-2)
    assert str(error).startswith("Not even one round fits into 30 seconds: starting the kernels took longer.")
    assert "about 37 seconds" in str(error)


def test_the_most_expensive_are_dropped_first_and_never_all() -> None:
    by_case = {SMALL: 1.0, LARGE: 9.0, CONTROL: 5.0}
    assert to_drop(by_case, 20) == []
    assert to_drop(by_case, 7) == [LARGE]
    assert to_drop(by_case, 0) == [LARGE]
    assert to_drop({CONTROL: 9.0}, 0) == []
    (line,) = left_out({LARGE: 9.0}, SETTINGS, left=20)
    assert line == (
        "svd n=4096 is left out: a round of it takes about 9.00 s, 11 rounds are wanted, and 20 of 30 s were left for "
        "all."
    )


def test_a_case_fits_if_all_get_enough_rounds() -> None:
    assert fits(1.0, {SMALL: 1.0}, left=20, rounds=10)
    assert not fits(1.1, {SMALL: 1.0}, left=20, rounds=10)


def test_more_pairs_want_more_rounds() -> None:
    one = wanted_rounds(replace(SETTINGS, kernels=("a", "b"), cases=(SMALL, CONTROL)))
    many = wanted_rounds(replace(SETTINGS, kernels=tuple("abcdefgh"), threads=(1, 2)))
    assert one == rounds_for_interval(1 - FAMILY_LEVEL) + 3 < many
    assert wanted_rounds(replace(SETTINGS, rounds=2)) == 2


def test_a_larger_size_is_guessed_from_the_nearest_smaller_one() -> None:
    large, small = Case("gemm", "float64", 512), Case("gemm", "float64", 128)
    assert guess({}, large) == 0
    assert guess({1024: 1.0}, large) == 0
    fixed = guess({128: 0.0}, small)
    assert guess({128: 0.001, 256: 0.01}, large) == pytest.approx(2.5 * 0.08 + fixed)
    assert guess({128: 0.001}, Case("dot", "float64", 512)) == pytest.approx(2.5 * 0.016 + fixed)
    assert guess({128: 0.001}, Case("sort", "float64", 256, control=True)) == pytest.approx(2.5 * 0.004 + fixed)
    assert hopeless(100, 20)
    assert not hopeless(60, 20)
