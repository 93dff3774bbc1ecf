"""Times of `mambakernels.numeric` against pyperf's, in the same environment, alternating.

    pip install pyperf
    python benchmarks/against_pyperf.py [--pairs 400] [--apart]

A pair is one sample of each, right after one another, the next pair in the other order: what else happens on the
machine hits both alike. What counts is the median of the paired ratios; exits with 1 if one is off by more than 3 %.
`--apart` measures in processes of their own (`measure` here, `pyperf timeit` there), as each is mostly used: for a
quiet machine only, since seconds lie between the two of a pair.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import operator
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mambakernels.numeric.intervals import median_interval
from mambakernels.numeric.threads import THREAD_VARIABLES, set_threads

SAMPLES, MIN_SAMPLE, LIMIT = 7, 0.03, 0.03
ALONE = """
import sys
from mambakernels.numeric import measure
(one,) = measure([sys.argv[1]], [int(sys.argv[2])], repeats=int(sys.argv[3]), min_sample=float(sys.argv[4]), budget=60)
assert one.correct
print(one.seconds)
"""


@dataclass(frozen=True)
class Contest:
    """One operation at one size, and how to say it to pyperf: as a function, or as set-up and statement."""

    name: str
    n: int
    function: str
    setup: str
    statement: str


CONTESTS = (
    Contest("gemm", 512, "matmul", "A, B = np.random.default_rng(0).standard_normal((2, 512, 512))", "A @ B"),
    Contest("svd", 192, "svd", "A = np.random.default_rng(0).standard_normal((192, 192))", "np.linalg.svd(A)"),
    Contest("dot", 512, "matmul", "x, y = np.random.default_rng(0).standard_normal((2, 512 * 512))", "x @ y"),
)


def together(pairs: int) -> Iterator[list[float]]:
    """Yield, for each contest, the ratios of samples that were taken in turn in this very process."""
    import numpy as np
    import pyperf

    from mambakernels.numeric import prepare

    functions: dict[str, Callable[..., Any]] = {"matmul": operator.matmul, "svd": np.linalg.svd}
    runner = pyperf.Runner()
    # A worker measures in the process it is in, and starts none.
    runner.parse_args(["--worker", "--loops=1", "--values=1", "--warmups=0"])
    for contest in CONTESTS:
        case = prepare(contest.name, contest.n)
        case.check()
        loops = case.calibrate(MIN_SAMPLE)
        runner.args.loops = loops
        names = (f"{contest.name} {number}" for number in range(pairs))
        function = functions[contest.function]

        def ours(case: Any = case, loops: int = loops) -> float:
            return case.sample(loops).per_call

        def pyperfs(
            names: Iterator[str] = names, function: Callable[..., Any] = function, given: Any = case.given
        ) -> float:
            with contextlib.redirect_stdout(io.StringIO()):
                return runner.bench_func(next(names), function, *given).get_values()[0]

        yield [ratio(ours, pyperfs, reverse=number % 2 == 1) for number in range(pairs)]


def apart(pairs: int) -> Iterator[list[float]]:
    """Yield, for each contest, the ratios of our estimate to pyperf's median, each from a process of its own."""
    for contest in CONTESTS:
        sides = [lambda c=contest: in_a_process(c), lambda c=contest: by_pyperf_timeit(c)]
        yield [ratio(*sides, reverse=number % 2 == 1) for number in range(pairs)]


def ratio(ours: Callable[[], float], pyperfs: Callable[[], float], *, reverse: bool) -> float:
    """Measure with both, one after the other, and return ours divided by pyperf's."""
    if reverse:
        theirs = pyperfs()
        return ours() / theirs
    return ours() / pyperfs()


def in_a_process(contest: Contest) -> float:
    """Measure with `mambakernels.numeric` in a new process; seconds per call."""
    argv = [sys.executable, "-c", ALONE, contest.name, str(contest.n), str(SAMPLES), str(MIN_SAMPLE)]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def by_pyperf_timeit(contest: Contest) -> float:
    """Measure with `pyperf timeit`, which starts new processes; seconds per call."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        settings = {"processes": 1, "values": SAMPLES, "warmups": 1, "min-time": MIN_SAMPLE, "output": file}
        options = [f"--{option}={value}" for option, value in settings.items()]
        inherited = f"--inherit-environ={','.join((*THREAD_VARIABLES, 'PYTHONPATH'))}"
        argv = [sys.executable, "-m", "pyperf", "timeit", "--quiet", inherited, *options]
        setup = f"import numpy as np; {contest.setup}"
        subprocess.run([*argv, "-s", setup, contest.statement], check=True, capture_output=True)
        runs = json.loads(file.read_text(encoding="utf-8"))["benchmarks"][0]["runs"]
    return statistics.median(value for run in runs for value in run.get("values", []))


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    measured = apart(options.pairs) if options.apart else together(options.pairs)
    off = 0.0
    for contest, ratios in zip(CONTESTS, measured, strict=True):
        median, interval = statistics.median(ratios), median_interval(ratios)
        off = max(off, abs(median - 1))
        figures = f"{median:.4f} ({interval.low:.4f} to {interval.high:.4f}, {interval.coverage:.1%})"
        print(f"{contest.name:5} n={contest.n}: ours / pyperf's = {figures}, {len(ratios)} pairs", flush=True)
    return int(off > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
