"""Real kernels of this very Python, measured for as short as can be: what is asserted is never how fast they were."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from support.python_kernels import installing
from support.running_kernels import exists

from mambakernels.bench import cases
from mambakernels.bench.cases import Settings, all_cases
from mambakernels.bench.comparison import Comparison, bench, evaluate
from mambakernels.bench.interleaving import measure_interleaved
from mambakernels.bench.measured import Measured
from mambakernels.errors import InvalidRequestError, KernelError, NotFoundError
from mambakernels.numeric.rules import Finding
from mambakernels.progress import Event
from mambakernels.system import process

pytestmark = pytest.mark.slow

Install = Callable[..., Path]

BUDGET = 120.0  # far more than needed: what ends these measurements is the number of rounds
WRONG = "import numpy; right = numpy.matmul; numpy.matmul = lambda *given: right(*given) * 1.001\n"
ONE_THREAD = "import os; os.environ.update(OPENBLAS_NUM_THREADS='1', OMP_NUM_THREADS='1')\n"
DIES_LATER = """
import os, numpy
right, seen = numpy.matmul, []
def matmul(*given):
    if given[0].shape == given[1].shape == (32, 32) and not any(given[0] is one for one in seen):
        seen.append(given[0])
    return right(*given) if len(seen) < 4 else os._exit(7)
numpy.matmul = matmul
"""
WITHOUT_SCIPY = """
import importlib.util as util
find = util.find_spec
util.find_spec = lambda name, *given: None if name == "scipy" else find(name, *given)
"""
several_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two threads need two cores")


def settings(*kernels: str, operations: tuple[str, ...] = ("gemm",), **changes: object) -> Settings:
    cases = changes.pop("cases", all_cases(operations, [32], ["float64"]))
    quick = {"threads": (1,), "budget": BUDGET, "rounds": 2, "samples": 1, "visit_seconds": 0.0, "min_sample": 1e-4}
    return Settings(kernels, cases, **{**quick, **changes})  # type: ignore[arg-type]


def pids(found: Measured) -> list[int]:
    return [kernel.facts["pid"] for kernel in found.kernels if "pid" in kernel.facts]


@dataclass(frozen=True)
class Shared:
    """A comparison that several tests look at, and what it reported."""

    found: Measured
    events: list[Event]


@pytest.fixture(scope="module")
def in_turns(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Two kernels, four rounds."""
    events: list[Event] = []
    with installing(tmp_path_factory.mktemp("in turns")) as install:
        install("one")
        install("two")
        asked = settings("one", "two", seed=7, rounds=4, starting_counts=False)
        return Shared(measure_interleaved(asked, progress=events.append), events)


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Kernels that each lack something, and one that does not: it is the reference."""
    with installing(tmp_path_factory.mktemp("flawed")) as install:
        install("well")
        install("wrong", site=WRONG)
        install("np-mkl", mark={"blas": "no such blas", "prefix": "/nowhere"})
        install("frail", site="import os, numpy; numpy.matmul = lambda *given: os._exit(7)\n")
        install("later", site=DIES_LATER)
        install("gone", argv=["/nowhere/python", "{connection_file}"])
        install("bare", site=WITHOUT_SCIPY)
        names = ("well", "wrong", "np-mkl", "frail", "later", "gone", "bare")
        return evaluate(measure_interleaved(settings(*names, operations=("gemm", "lu"), rounds=6)))


def gates_of(kernel: str, found: Comparison) -> list[Finding]:
    return [gate for gate in found.gates if gate.kernel == f"{kernel} (1 thread)"]


def test_every_kernel_measures_every_case_in_every_round(in_turns: Shared) -> None:
    found = in_turns.found
    counts = found.frame.groupby(["kernel", "operation"]).size()
    assert set(counts) == {4}
    assert len(counts) == 2 * 4
    assert found.rounds == 4
    assert len(found.canary) == 5
    assert found.frame["correct"].all()
    assert found.settings.seed == 7
    assert len(set(pids(found))) == 2
    assert not any(exists(pid) for pid in pids(found))
    said = [event.detail.replace(" (1 thread)", "") for event in in_turns.events]
    assert any("round 2 of 4: two, gemm n=32" in line for line in said)
    assert found.seconds < BUDGET


def test_kernels_take_turns_next_to_each_other(in_turns: Shared) -> None:
    by_turn = in_turns.found.frame.sort_values(["round", "position"])
    turns = [tuple(visit["operation"]) for _, visit in by_turn.groupby("elapsed")]
    assert all(turns[start] == turns[start + 1] for start in range(0, len(turns), 2))
    assert set(turns) == {("gemm",), ("fft", "exp", "sort")}, "controls are measured at one visit"
    orders = {tuple(group["kernel"] + group["operation"]) for _, group in by_turn.groupby("round")}
    assert len(orders) > 1, "the order is shuffled in each round"


def test_the_same_seed_gives_the_same_order_and_the_same_numbers(install: Install) -> None:
    install("one")
    frames = [measure_interleaved(settings("one", seed=3)).frame for _ in range(2)]
    orders = [frame.sort_values(["round", "position"])["operation"].tolist() for frame in frames]
    assert orders[0] == orders[1]
    assert frames[0]["fingerprint"].tolist() == frames[1]["fingerprint"].tolist()


def test_that_the_others_idle_is_verified_where_it_can_be(in_turns: Shared) -> None:
    others = in_turns.found.frame["others"]
    assert others.isna().all() != Path("/proc/self/task").is_dir()


@several_cores
def test_a_thread_count_means_a_process_that_was_told_before_its_libraries_loaded(install: Install) -> None:
    install("one")
    found = measure_interleaved(settings("one", threads=(1, 2)))
    assert len(set(pids(found))) == 2
    assert [kernel.asked for kernel in found.kernels] == [1, 2]
    assert [kernel.probe["variables"]["OPENBLAS_NUM_THREADS"] for kernel in found.kernels] == ["1", "2"]
    assert sorted(set(found.frame["asked"])) == [1, 2]


def test_what_has_no_flaw_passes_the_gates_next_to_what_has(flawed: Comparison) -> None:
    assert gates_of("well", flawed) == gates_of("bare", flawed) == []
    assert len(flawed.gates) == 5
    mine = flawed.frame[flawed.frame["kernel"] == "well"]
    assert set(mine.groupby("operation").size()) == {6}
    assert mine["correct"].all()


def test_a_product_that_is_wrong_does_not_pass_the_gate(flawed: Comparison) -> None:
    assert not flawed.ok
    assert {gate.rule for gate in gates_of("wrong", flawed)} == {"result"}
    pairs = flawed.pairs[flawed.pairs["kernel"] == "wrong"]
    assert pairs.set_index("operation").loc["gemm", "verdict"] == "wrong"


@several_cores
def test_a_library_that_ignores_the_threads_does_not_pass_the_gate(install: Install) -> None:
    install("deaf", site=ONE_THREAD)
    found = evaluate(measure_interleaved(settings("deaf", threads=(2,))))
    assert {gate.rule for gate in found.gates} == {"threads"}


def test_another_library_than_the_environments_does_not_pass_the_gate(flawed: Comparison) -> None:
    assert {gate.rule for gate in gates_of("np-mkl", flawed)} == {"library"}


def test_a_kernel_that_dies_is_named_and_the_others_go_on(flawed: Comparison) -> None:
    [gate] = gates_of("frail", flawed)
    assert gate.rule == "kernel"
    assert "status 7" in gate.text
    assert "gemm" not in set(flawed.frame[flawed.frame["kernel"] == "frail"]["operation"])


def test_a_kernel_that_cannot_start_is_named_and_the_others_go_on(flawed: Comparison) -> None:
    [gate] = gates_of("gone", flawed)
    assert gate.rule == "kernel"
    assert "gone" not in set(flawed.frame["kernel"])


def test_without_any_kernel_there_is_an_error(install: Install) -> None:
    install("gone", argv=["/nowhere/python", "{connection_file}"])
    with pytest.raises(KernelError, match="No kernel can be measured: gone"):
        measure_interleaved(settings("gone"))
    with pytest.raises(NotFoundError, match="never-there"):
        measure_interleaved(settings("never-there"))


def test_an_operation_that_needs_what_is_not_there_is_left_out(flawed: Comparison) -> None:
    measured = flawed.frame.groupby("kernel")["operation"].apply(set)
    assert measured["well"] - measured["bare"] == {"lu"}
    notes = [note for note in flawed.measured.notes if "leaves lu n=32 out" in note]
    assert [note.startswith("bare") and "scipy" in note for note in notes] == [True]


def test_interrupted_it_gives_what_was_measured_and_leaves_nothing_running(install: Install) -> None:
    install("one")

    def interrupt(event: Event) -> None:
        if event.detail.startswith("round 2"):
            raise KeyboardInterrupt

    found = measure_interleaved(settings("one", rounds=50), progress=interrupt)
    assert found.interrupted
    assert 1 <= found.rounds <= 3
    assert not any(exists(pid) for pid in pids(found))


def test_another_thread_stops_it_and_what_came_until_then_was_handed_over(install: Install) -> None:
    install("one")
    install("two")
    group, parts = process.Group(), []
    stopping = threading.Thread(target=group.stop)

    def arrive(measured: Measured) -> None:  # not after every round: handing over takes a tenth of the time at most
        parts.append(measured)
        if measured.rounds >= 2 and stopping.ident is None:
            stopping.start()

    with group.joined():
        found = measure_interleaved(settings("one", "two", rounds=10_000), partial=arrive)
    assert found.interrupted
    assert 2 <= found.rounds < 10_000
    assert [len(part.frame) for part in parts] == sorted({len(part.frame) for part in parts})
    assert evaluate(parts[-1]).frame["kernel"].nunique() == 2
    assert not any(exists(pid) for pid in pids(found))


def test_interrupted_before_anything_was_measured_it_is_just_interrupted(install: Install) -> None:
    install("one")

    def interrupt(event: Event) -> None:
        if event.step == "estimating":
            raise KeyboardInterrupt

    large = all_cases(["gemm"], [200], ["float64"])
    with pytest.raises(KeyboardInterrupt):
        measure_interleaved(settings("one", cases=large), progress=interrupt)


def test_interrupted_while_kernels_start_no_process_is_left(install: Install, tmp_path: Path) -> None:
    """The interruption comes when the first kernel's process runs, and the second's is about to."""
    started = tmp_path / "started"
    for name in ("one", "two"):
        install(name, site=f"import os\nwith open({str(started)!r}, 'a') as file: print(os.getpid(), file=file)\n")

    def interrupt(event: Event) -> None:
        if event.step == "starting":
            end = time.monotonic() + 60
            while not (started.exists() and started.read_text()) and time.monotonic() < end:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_interleaved(settings("one", "two"), progress=interrupt)
    pids = [int(word) for word in started.read_text().split()]
    assert pids
    assert not any(exists(pid) for pid in pids)


def test_what_does_not_fit_is_left_out_with_a_line_before_the_rounds_begin(install: Install) -> None:
    install("one")
    cases = all_cases(["gemm", "svd"], [32], ["float64"]) + all_cases(["svd"], [5000], ["float64"])[:1]
    events: list[Event] = []
    found = measure_interleaved(settings("one", cases=cases), progress=events.append)
    assert set(found.frame["size"]) == {32, 64}
    (line,) = (note for note in found.notes if "left out" in note)
    assert line.startswith("svd n=5000 is left out: a round of it takes about ")
    steps = [event.detail for event in events if event.step in {"note", "measuring"}]
    assert steps.index(line) < next(place for place, step in enumerate(steps) if step.startswith("round 2"))
    assert "5 cases, about 2 rounds: 120 s" in steps


def test_a_budget_that_not_even_one_round_fits_says_so(install: Install) -> None:
    install("one")
    cases = all_cases(["svd"], [20000], ["float64"])[:1]
    with pytest.raises(InvalidRequestError, match="Not even one round fits"):
        measure_interleaved(settings("one", cases=cases, budget=20.0))


def test_a_kernel_that_dies_later_leaves_what_it_measured(flawed: Comparison) -> None:
    counts = flawed.frame[flawed.frame["operation"] == "gemm"].groupby("kernel").size()
    assert counts["well"] == 6
    assert 1 <= counts["later"] < 6
    assert [gate.rule for gate in gates_of("later", flawed)] == ["kernel"]


def test_a_round_that_was_begun_within_the_budget_is_the_last(in_turns: Shared, install: Install) -> None:
    install("one")
    enough = 1 + in_turns.found.seconds  # a second to end, and time for a few rounds, as busy as this machine now is
    found = measure_interleaved(settings("one", budget=enough, rounds=10**6, starting_counts=False))
    assert 1 <= found.rounds < 10**6


def test_as_registered_no_threads_are_set_and_ending_the_kernels_is_no_measuring(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the start does not count, the end does not either: it takes as long as the kernels want."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    install("one", site="import atexit, time\natexit.register(time.sleep, 2)\n")
    begin = time.monotonic()
    found = measure_interleaved(settings("one", threads=(), starting_counts=False))
    assert found.seconds + 2 < time.monotonic() - begin
    assert "OPENBLAS_NUM_THREADS" not in found.kernels[0].probe["variables"]
    assert found.frame["asked"].isna().all()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A comparison that `bench` saved; its rounds would go on to the end of the budget, and here end after a few."""
    folder = tmp_path_factory.mktemp("base")
    with installing(folder) as install, pytest.MonkeyPatch.context() as patch:
        install("one")
        patch.setattr(cases, "Settings", partial(Settings, rounds=3, samples=1))
        save = folder / "base.json"
        return bench("one", operations=["gemm"], sizes="32", threads=[1], budget=BUDGET, save=save)


def test_saved_and_compared_with_itself_nothing_is_slower_by_much(base: Comparison) -> None:
    assert base.saved is not None
    assert base.saved.name == "base.json"
    assert Measured.load(base.saved).settings == base.measured.settings
    again = evaluate(base.measured, against=base.measured)
    assert again.ok
    assert set(again.regression.frame["verdict"]) <= {"equal", "undecided"}  # type: ignore[union-attr]


def test_what_is_not_comparable_is_refused_before_it_is_measured(
    base: Comparison, install: Install, tmp_path: Path
) -> None:
    assert base.saved is not None
    install("one")
    other = tmp_path / "other.json"
    other.write_text(base.saved.read_text().replace('"numpy": "', '"numpy": "0'))
    steps: list[str] = []
    with pytest.raises(InvalidRequestError, match="NumPy in one"):
        bench("one", operations=["gemm"], threads=[1], against=other, progress=lambda event: steps.append(event.detail))
    assert not any("round" in step for step in steps)


def test_every_blas_is_the_one_its_environment_promises(environments: dict[str, object]) -> None:
    kernels = tuple(f"np-{name}" for name in environments)
    found = evaluate(measure_interleaved(settings(*kernels, operations=("gemm", "solve"))))
    assert found.gates == ()
    ran = found.frame.drop_duplicates("kernel").set_index("kernel")["blas"]
    assert dict(ran) == {f"np-{name}": name for name in environments}
    assert found.frame["correct"].all()
