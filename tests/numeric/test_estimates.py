"""The estimate of samples that were recorded on a quiet and on a busy machine, and what the system counts."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from mambakernels.numeric import accounting
from mambakernels.numeric.accounting import Counters, Counts
from mambakernels.numeric.estimates import Sampled
from mambakernels.numeric.intervals import quantile, quantile_interval
from mambakernels.numeric.timing import Sample, Timing

# gemm, n = 256, two cores and eight spinning processes: wall and CPU time in ms, switches, ms of waiting for a core.
NETLIB = [
    (21.03, 5.05, 3, 15.9),
    (14.56, 4.97, 2, 9.5),
    (11.86, 5.01, 1, 6.8),
    (32.10, 5.12, 4, 26.9),
    (12.9, 5.0, 1, 7.8),
]
BLIS_TWO_THREADS = [(34.1, 16.2, 3, 17.7), (0.362, 0.36, 0, 0.001), (0.364, 0.36, 0, 0.002), (72.0, 15.4, 5, 60.0)]


def timing(rows: list[tuple[float, float, int, float]], *, threads: int = 1) -> Timing:
    samples = [
        Sample(1, wall / 1e3, Counts(cpu / 1e3, cpu * threads / 1e3, switches, waited / 1e3))
        for wall, cpu, switches, waited in rows
    ]
    return Timing.of(samples)


def test_one_thread_is_estimated_from_its_cpu_time_however_busy_the_machine() -> None:
    found = timing(NETLIB)
    assert found.estimator == "CPU time"
    assert found.seconds == pytest.approx(0.005)
    assert found.disturbed_samples == 5
    assert found.alone


def test_several_threads_are_estimated_from_undisturbed_samples() -> None:
    found = timing(BLIS_TWO_THREADS, threads=2)
    assert found.estimator == "undisturbed samples"
    assert found.seconds == pytest.approx(0.0003625)
    assert found.disturbed_samples == 2
    assert not found.alone


def test_several_threads_that_were_always_disturbed_have_a_figure_with_a_name_that_says_so() -> None:
    found = timing([BLIS_TWO_THREADS[0], BLIS_TWO_THREADS[3]], threads=2)
    assert found.estimator == "disturbed samples"
    assert found.seconds > 0.03


def test_where_the_system_says_nothing_the_lower_quartile_of_the_wall_time_counts() -> None:
    found = Timing.of([Sample(2, seconds) for seconds in (4.0, 2.0, 2.2, 9.0, 2.1)])
    assert (found.estimator, found.seconds, found.disturbed_samples) == ("all samples", 1.05, None)


def test_without_the_wait_for_a_core_one_thread_is_known_by_its_cpu_time_and_several_are_not() -> None:
    assert Sample(1, 1.0, Counts(0.9, 0.9, 0, None)).disturbed is True
    assert Sample(1, 1.0, Counts(0.999, 0.999, 0, None)).disturbed is False
    assert Sample(1, 1.0, Counts(0.9, 1.8, 0, None)).disturbed is None
    assert Sample(1, 1.0).disturbed is None


@pytest.mark.parametrize("wait", [0.009, 0.011])
def test_a_thread_that_waits_for_a_core_or_loses_it_disturbs_a_sample(wait: float) -> None:
    assert Sample(1, 1.0, Counts(1.0, 2.0, 0, wait)).disturbed == (wait > 0.01)
    assert Sample(1, 1.0, Counts(1.0, 2.0, 1, 0.0)).disturbed is True


def test_the_lower_quartile_lies_between_the_two_nearest() -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0, 5.0], 0.25) == 2.0
    assert quantile([1.0, 2.0], 0.25) == 1.25
    assert quantile([7.0], 0.25) == 7.0


@pytest.mark.parametrize("n", [5, 20, 200])
def test_the_interval_of_a_quartile_covers_it_as_often_as_it_says(n: int) -> None:
    generator = np.random.default_rng(n)
    runs = [quantile_interval(list(generator.random(n)), 0.25) for _ in range(1000)]
    covered = np.mean([one.low <= 0.25 <= one.high for one in runs])
    assert covered >= runs[0].coverage - 0.04
    assert runs[0].coverage >= (0.95 if n >= 20 else 0.7)


def test_the_interval_of_many_samples_can_be_had() -> None:
    found = quantile_interval(range(5000), 0.25)
    assert found.low == pytest.approx(1250 - 1.96 * (5000 * 0.25 * 0.75) ** 0.5, abs=3)


def test_the_systems_counters_see_what_this_thread_and_others_do() -> None:
    counters = Counters()
    start = counters.start()
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        pass
    counts = counters.since(start)
    assert counts.own is None or 0.05 <= counts.own < 0.1
    other = threading.Thread(target=lambda: sum(range(3_000_000)))
    start = counters.start()
    other.start()
    other.join()
    helped = counters.since(start)
    if helped.own is not None and helped.process is not None:
        assert helped.process - helped.own > helped.own
    assert helped.switches is None or helped.switches >= 0
    assert helped.waited is None or helped.waited >= 0


def test_a_system_without_counts_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "resource", None)
    monkeypatch.setattr(accounting, "_CPU_CLOCKS_TICK", True)
    monkeypatch.setattr(accounting, "_schedules", list)
    counters = Counters()
    assert counters.since(counters.start()) == (None, None, None, None)


def test_a_linux_that_counts_nothing_but_zeros_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "_numbers", lambda _file: (0, 0))
    counters = Counters()
    assert counters.since(counters.start()).waited is None


def test_sampled_needs_only_its_fields() -> None:
    class Two(Sampled):
        samples, cpu_samples, disturbed, alone = (1.0, 2.0), (0.5, 0.6), (True, False), False

    assert Two().usable == [2.0]
