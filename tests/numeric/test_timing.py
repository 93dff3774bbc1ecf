from __future__ import annotations

import gc
from dataclasses import FrozenInstanceError, dataclass

import pytest

from mambakernels.numeric.timing import Sampling, Stability, Timing, stability, time_call, time_loop


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
        settings = {"least": 1e-9, **settings}
        return time_call(self.call, sampling=Sampling(**settings), clock=self.clock)  # type: ignore[arg-type]


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
    fake = FakeTime(0.004)
    sampling = Sampling(repeats=2, min_sample=0.5, budget=1000)
    timing = time_call(fake.call, sampling=sampling, clock=lambda: float(int(fake.now)))
    assert timing.loops >= 100
    assert timing.samples == pytest.approx([0.004] * 2, rel=0.6)


def test_one_try_that_was_held_up_does_not_decide_how_many_calls_make_a_sample() -> None:
    fake = FakeTime(1e-5)

    def call() -> None:
        fake.call()
        fake.now += 0.5 * (fake.calls == 3)

    assert time_call(call, sampling=Sampling(repeats=2, min_sample=0.02), clock=fake.clock).loops >= 2000


@pytest.mark.parametrize(
    ("cost", "repeats", "budget", "expected"),
    [(0.1, 10, 1e9, 10), (0.1, 10, 0.75, 7), (0.1, 10, 0.01, 1), (9.0, 2, 0.01, 1), (1e-6, 50, 0.5, 20)],
)
def test_the_budget_limits_samples_and_is_kept(cost: float, repeats: int, budget: float, expected: int) -> None:
    fake = FakeTime(cost)
    timing = fake.time(repeats=repeats, min_sample=0.02, budget=budget)
    assert len(timing.samples) == pytest.approx(expected, abs=2 if expected == 20 else 0)
    assert fake.now <= max(budget, cost) * (1 + 1e-9)


def test_a_budget_below_one_sample_shortens_the_sample() -> None:
    fake = FakeTime(1e-6)
    timing = fake.time(repeats=5, min_sample=0.02, budget=0.01)
    assert timing.samples
    assert timing.loops < 10_000
    assert fake.now <= 0.01
    assert stability(timing, Sampling(repeats=5, min_sample=0.02)).verdict == "too short"


@pytest.mark.parametrize("loops", [1, 9, 10, 11, 137])
def test_as_many_calls_are_made_as_were_asked_for(loops: int) -> None:
    fake = FakeTime(1.0)
    assert time_loop(fake.call, loops=loops, clock=fake.clock) == loops
    assert fake.calls == loops


def test_the_call_gets_what_it_is_given() -> None:
    seen: list[tuple[int, ...]] = []
    time_loop(lambda *given: seen.append(given), (1, 2), loops=12)
    assert set(seen) == {(1, 2)}


def timing_of(*samples: float) -> Timing:
    return Timing(1, samples)


@pytest.mark.parametrize(
    ("samples", "verdict", "words"),
    [
        ((1.0, 1.001, 0.999, 1.002, 1.0), "stable", ""),
        ((1.0,), "too short", "1 sample: too few"),
        ((1.0, 1.0, 1.0, 1.0), "too short", "4 samples: too few"),
        ((1.0, 1.3, 0.9, 1.2, 1.0), "noisy", "The estimate's interval is 30.0% wide"),
        ((1.0, 1.01, 1.02, 1.03, 1.04, 1.05), "drifting", "changed steadily, by +4.0%"),
        ((1.05, 1.04, 1.03, 1.02, 1.01, 1.0), "drifting", "changed steadily, by -3.8%"),
        ((1.0, 1.001, 1.002, 1.003, 1.004, 1.005), "stable", ""),
    ],
)
def test_the_verdict_is_in_words(samples: tuple[float, ...], verdict: str, words: str) -> None:
    found = stability(timing_of(*samples), Sampling(min_sample=0.02))
    assert found.verdict == verdict
    assert words in found.remark
    assert bool(found.remark) == (verdict != "stable")


def test_samples_shorter_than_asked_for_are_said_to_be() -> None:
    found = stability(Timing(10, (1e-4,) * 6), Sampling(min_sample=0.02))
    assert found == Stability("too short", "A sample lasts 1.00 ms, and 20.0 ms were asked for.")


def test_short_samples_are_taken_for_a_while() -> None:
    timing = FakeTime(0.001).time(repeats=4, min_sample=0.01, least=0.5)
    assert 50 <= len(timing.samples) <= 52


def test_a_timing_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Timing(1, (1.0,)).loops = 2  # type: ignore[misc]


def test_the_garbage_collector_rests_and_comes_back() -> None:
    seen: list[bool] = []
    assert gc.isenabled()
    time_call(lambda: seen.append(gc.isenabled()), sampling=Sampling(repeats=1, min_sample=1e-6))
    assert set(seen) == {False}
    assert gc.isenabled()


def test_the_garbage_collector_comes_back_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        time_call(lambda: 1 / 0)
    assert gc.isenabled()


def test_a_garbage_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        time_call(lambda: None, sampling=Sampling(repeats=1, min_sample=1e-6))
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
    timing = time_call(lambda: sum(range(1000)), sampling=Sampling(repeats=3, min_sample=0.002))
    assert timing.loops > 1
    assert all(sample > 0 for sample in timing.samples)
