from __future__ import annotations

import pytest

from mambakernels.bench.cases import Case, Settings
from mambakernels.bench.planning import VisitCost, guess, hopeless, schedule, to_drop, too_long, with_larger
from mambakernels.errors import InvalidRequestError

SMALL, LARGE, CONTROL = (
    Case("gemm", "float64", 64),
    Case("svd", "float64", 4096),
    Case("fft", "float64", 64, control=True),
)
SETTINGS = Settings(("a",), (SMALL, LARGE, CONTROL), budget=30, samples=3, visit_seconds=0.04, rounds=50)


def costs(large: float = 1.0) -> dict[tuple[tuple[str, int | None], Case], VisitCost]:
    return {
        (("a", 1), SMALL): VisitCost(0.01, 0.002),
        (("a", 1), LARGE): VisitCost(0.5, large),
        (("a", 1), CONTROL): VisitCost(0.01, 0.002),
    }


def test_a_visit_costs_its_samples_or_its_least_time() -> None:
    assert VisitCost(0.01, 0.002).with_samples(3, 0.04) == pytest.approx(0.05)
    assert VisitCost(0.5, 1.0).with_samples(3, 0.04) == pytest.approx(3.5)


def test_many_rounds_come_before_many_samples() -> None:
    assert schedule(costs(), SETTINGS, 1000).samples == 3
    assert schedule(costs(), SETTINGS, 30).samples == 1
    assert schedule(costs(), SETTINGS, 30).rounds == 18
    assert schedule(costs(0.01), SETTINGS, 1000).rounds == SETTINGS.rounds


def test_where_no_round_fits_the_error_names_what_to_drop() -> None:
    with pytest.raises(InvalidRequestError, match="Not even one round fits into 30 seconds") as caught:
        schedule(costs(100.0), SETTINGS, 20)
    assert "Drop svd n=4096 (100.5 s)" in str(caught.value.next_step)
    assert "gemm" not in str(caught.value.next_step)


def test_the_most_expensive_are_dropped_first_and_controls_never() -> None:
    by_case = {SMALL: 1.0, LARGE: 9.0, CONTROL: 5.0}
    assert to_drop(by_case, 20) == []
    assert to_drop(by_case, 7) == [LARGE]
    assert to_drop(by_case, 5.5) == [LARGE, SMALL]
    assert "Drop" not in str(too_long(by_case, left=0, budget=9, room=20).next_step)
    assert "a budget of" in str(too_long({CONTROL: 9.0}, left=0, budget=5).next_step)


def test_sizes_that_were_not_reached_are_reckoned_with() -> None:
    larger = Case("gemm", "float64", 128)
    assert with_larger({SMALL: 1.0}, [SMALL, larger, LARGE]) == {SMALL: 1.0, larger: 8.0}


def test_a_larger_size_is_guessed_from_the_nearest_smaller_one() -> None:
    assert guess({}, 512) == 0
    assert guess({1024: 1.0}, 512) == 0
    assert guess({128: 0.001, 256: 0.01}, 512) == pytest.approx(4 * 0.08)
    assert hopeless(100, 20)
    assert not hopeless(60, 20)
