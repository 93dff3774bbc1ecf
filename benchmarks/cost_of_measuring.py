"""What measuring itself costs a call: the loop of `mambakernels.numeric.timing` against calls written out in a row.

    python benchmarks/cost_of_measuring.py

Prints, for the smallest products there are, the nanoseconds that the loop and the clock add to a call, and their share
of it; exits with 1 if a share is above 1 %. Single nanoseconds need many rounds, alternating, and medians.
"""

from __future__ import annotations

import operator
import statistics
import sys
import timeit
from time import perf_counter

from mambakernels.numeric import prepare
from mambakernels.numeric.timing import time_loop

ROUNDS, CALLS, LIMIT = 200, 5000, 0.01
WRITTEN_OUT = ";".join(["f(a, b)"] * 100)


def loop_costs() -> float:
    """Return the seconds that the loop adds to a call, seen best with a call that does next to nothing."""
    a, b = object(), object()
    written_out = timeit.Timer(WRITTEN_OUT, globals={"f": operator.is_, "a": a, "b": b})
    pairs = [
        (time_loop(operator.is_, (a, b), loops=CALLS) / CALLS, written_out.timeit(CALLS // 100) / CALLS)
        for _ in range(ROUNDS)
    ]
    return statistics.median(ours for ours, _ in pairs) - statistics.median(plain for _, plain in pairs)


def clock_costs() -> float:
    """Return the seconds that reading the clock takes; of the two readings of a sample, one half each is inside."""
    return timeit.timeit(perf_counter, number=CALLS) / CALLS


def main() -> int:
    """Measure, print, judge."""
    loop, clock, shares = loop_costs(), clock_costs(), {}
    for name in ("gemm", "gemv", "dot"):
        case = prepare(name, 2)
        loops = case.calibrate()
        seconds, added = statistics.median(case.sample(loops).per_call for _ in range(20)), loop + clock / loops
        shares[name] = added / seconds
        print(f"{name}, n = 2: {seconds * 1e9:.0f} ns a call, measuring {added * 1e9:.1f} ns of it: {shares[name]:.2%}")
    return int(max(shares.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
