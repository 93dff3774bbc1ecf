from __future__ import annotations

import itertools
import random
import statistics

import pytest

from mambakernels.numeric import intervals


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 30])
def test_the_coverage_is_that_of_all_ways_samples_can_fall_about_the_median(n: int) -> None:
    """Counted, not computed: each sample lies above or below the median, and all such ways are as likely."""
    found = intervals.median_interval(range(n))
    trimmed = int(found.low)
    rng = random.Random(0)
    below = range(2**n) if n <= 10 else (rng.getrandbits(n) for _ in range(200_000))
    counts = [bits.bit_count() for bits in below]
    missed = sum(count <= trimmed or count >= n - trimmed for count in counts) / len(counts)
    assert found.coverage == pytest.approx(1 - missed, abs=0 if n <= 10 else 0.003)
    assert found.high == n - 1 - trimmed


def test_it_is_the_narrowest_that_covers_enough() -> None:
    assert intervals.median_interval([5, 1, 4, 2, 3]).coverage == 0.9375
    assert intervals.median_interval(range(6)) == intervals.Interval(0, 5, 0.96875)
    assert intervals.median_interval(range(9)).low == 1
    assert intervals.median_interval(range(8), confidence=0.9).low == 1
    assert intervals.median_interval(range(5000)).low == pytest.approx(2500 - 1.96 * 5000**0.5 / 2, abs=2)
    assert intervals.median_interval([7.0]) == intervals.Interval(7.0, 7.0, 0.0)


def test_it_holds_the_median_as_often_as_it_says_for_a_lopsided_distribution() -> None:
    rng = random.Random(1)
    runs = [intervals.median_interval([rng.expovariate(1.0) for _ in range(9)]) for _ in range(4000)]
    held = statistics.mean(run.low <= 0.6931 <= run.high for run in runs)
    assert held == pytest.approx(runs[0].coverage, abs=0.015)


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_a_trend_is_as_unlikely_as_orders_that_steady_are_rare(n: int) -> None:
    orders = list(itertools.permutations(range(n)))
    for chosen in orders[:: max(1, len(orders) // 40)]:
        as_steady = [order for order in orders if _score(order) >= _score(chosen)]
        assert intervals.trend_probability(chosen) == pytest.approx(len(as_steady) / len(orders))


def _score(order: tuple[int, ...]) -> int:
    return abs(sum(1 if a < b else -1 for a, b in itertools.combinations(order, 2)))


def test_many_samples_take_the_normal_approximation() -> None:
    rng = random.Random(2)
    samples = [rng.random() for _ in range(40)]
    assert intervals.trend_probability(samples) > 0.05
    assert intervals.trend_probability(sorted(samples)) < 1e-10
    exact, approximate = (intervals.trend_probability([*range(k), *range(30, k, -1)]) for k in (15, 15))
    assert exact == approximate


def test_equal_samples_have_no_trend() -> None:
    assert intervals.trend_probability([1.0] * 8) == 1.0
    assert intervals.drift([1.0] * 8) == 0.0


def test_drift_compares_the_last_third_with_the_first() -> None:
    assert intervals.drift([1.0, 1.0, 5.0, 5.0, 2.0, 2.0]) == pytest.approx(1.0)
    assert intervals.drift([2.0]) == 0.0
