from __future__ import annotations

import gc
from dataclasses import FrozenInstanceError, dataclass

import pytest

from mambakernels.numeric.timing import Sampling, Timing, time_call


@dataclass
class FakeTime:
    """A clock that moves only when the call is made, so that nothing here depends on how busy the machine is."""

    cost: float
    now: float = 0.0
    calls: int = 0

    def clock(self) -> float:
        return self.now

    def call(self) -> None:
        self.calls += 1
        self.now += self.cost

    def time(self, **settings: float) -> Timing:
        return time_call(self.call, Sampling(**settings), clock=self.clock)  # type: ignore[arg-type]


def test_a_short_call_is_repeated_until_a_sample_is_long_enough() -> None:
    timing = FakeTime(1e-6).time(repeats=4, min_sample=0.02)
    assert len(timing.samples) == 4
    assert timing.loops * 1e-6 >= 0.02
    assert timing.loops * 1e-6 < 0.04
    assert timing.samples == pytest.approx([1e-6] * 4)


def test_a_long_call_is_made_once_a_sample() -> None:
    fake = FakeTime(0.5)
    timing = fake.time(repeats=3, min_sample=0.02, budget=100)
    assert timing == Timing(1, (0.5, 0.5, 0.5))
    assert fake.calls == 3


def test_a_call_too_short_for_the_clock_still_calibrates() -> None:
    steps = iter([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, *range(2, 100)])
    timing = time_call(lambda: None, Sampling(repeats=2, min_sample=0.5), clock=lambda: next(steps))
    assert timing.loops == 100


@pytest.mark.parametrize(
    ("cost", "repeats", "budget", "expected"),
    [(0.1, 10, 1e9, 10), (0.1, 10, 0.75, 7), (0.1, 10, 0.01, 3), (9.0, 2, 0.01, 2), (1e-6, 5, 0.06, 3)],
)
def test_the_budget_limits_samples_but_leaves_three(cost: float, repeats: int, budget: float, expected: int) -> None:
    timing = FakeTime(cost).time(repeats=repeats, min_sample=0.02, budget=budget)
    assert len(timing.samples) == expected


def test_the_median_is_of_raw_samples() -> None:
    assert Timing(1, (3.0, 1.0, 2.0, 10.0)).median == 2.5
    with pytest.raises(FrozenInstanceError):
        Timing(1, (1.0,)).loops = 2  # type: ignore[misc]


def test_the_garbage_collector_rests_and_comes_back() -> None:
    seen: list[bool] = []
    assert gc.isenabled()
    time_call(lambda: seen.append(gc.isenabled()), Sampling(repeats=1, min_sample=1e-6))
    assert set(seen) == {False}
    assert gc.isenabled()


def test_the_garbage_collector_comes_back_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        time_call(lambda: 1 / 0)
    assert gc.isenabled()


def test_a_garbage_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        time_call(lambda: None, Sampling(repeats=1, min_sample=1e-6))
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("repeats", 0), ("repeats", 2.5), ("repeats", True), ("min_sample", 0), ("budget", -1.0), ("budget", "2")],
)
def test_settings_that_make_no_sense_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{setting} must be a .* not {value!r}"):
        Sampling(**{setting: value})  # type: ignore[arg-type]


def test_not_a_number_is_no_budget() -> None:
    with pytest.raises(ValueError, match="budget"):
        Sampling(budget=float("nan"))


def test_a_real_call_by_the_real_clock() -> None:
    timing = time_call(lambda: sum(range(1000)), Sampling(repeats=3, min_sample=0.002))
    assert timing.loops > 1
    assert all(sample > 0 for sample in timing.samples)
