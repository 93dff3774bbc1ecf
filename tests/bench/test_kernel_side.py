from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from mambakernels.bench import kernel_side
from mambakernels.numeric.accounting import Counts
from mambakernels.numeric.timing import Sample, Timing


def sampled(undisturbed: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch, *, threads: int = 2) -> Timing:
    """Take samples of one tick each, at least three, until tick 10; until tick 60 while all of them are disturbed."""
    ticks = count()
    monkeypatch.setattr(kernel_side, "perf_counter", lambda: float(next(ticks)))
    numbers = count()

    def take() -> Sample:
        switches = 0 if undisturbed(next(numbers)) else 1
        return Sample(1, 1.0, Counts(own=1.0, process=float(threads), switches=switches, waited=0.0))

    return kernel_side._sampled(take, [], samples=3, end=10.0, late=60.0)


def test_sampling_goes_on_until_a_sample_is_undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = sampled(lambda _: True, monkeypatch)
    assert sampled(lambda number: number == 5, monkeypatch).samples == quiet.samples
    later = sampled(lambda number: number == 30, monkeypatch)
    assert (later.estimator, len(later.samples)) == ("undisturbed samples", 31)


def test_it_ends_where_all_samples_are_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    never = sampled(lambda _: False, monkeypatch)
    assert never.estimator == "disturbed samples"
    assert 40 < len(never.samples) < 70


def test_the_cpu_time_of_one_thread_needs_no_undisturbed_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = sampled(lambda _: False, monkeypatch, threads=1)
    assert alone.estimator == "CPU time"
    assert len(alone.samples) < 15
