"""The kernel's side of `bench`: runs inside the kernels, so it imports NumPy and `mambakernels.numeric` only.

Each function publishes its answer as one output, JSON of the MIME type `MIME_TYPE`.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any

from mambakernels import numeric

if TYPE_CHECKING:
    from mambakernels.numeric.timing import Sample, Timing

MIME_TYPE = "application/vnd.mambakernels.bench+json"
CANARY_STEPS = 100_000
LONG_CALL = 0.1  # seconds: next to them, what is cold in a first call costs nothing

# The CPU clock shows how fast the machine is, however busy; that of Windows ticks too slowly for so short a time.
_CANARY_CLOCK = perf_counter if sys.platform == "win32" else thread_time
_MORE = 5.0  # times the seconds of sampling, until a sample is undisturbed
_BALLAST_NUMBERS = 400_000
_BALLAST_ARRAYS = 6
_DEFINED: dict[str, numeric.Operation] = {}


def report_facts() -> None:
    """Publish what runs here, and how many of its threads really work."""
    from mambakernels.numeric import probing
    from mambakernels.numeric.thread_activity import threads_at_work

    probed = probing.probe()
    _publish(
        {
            "pid": os.getpid(),
            "code": numeric.code_hash(),
            "probe": probed.as_dict(),
            "working": threads_at_work(probed.blas.threads or 1),
        }
    )


def define(code: Mapping[str, Any]) -> None:
    """Make the user's code (the fields of `UserCode`) an operation that `visit` can measure."""
    from mambakernels.numeric.user_code import UserCode
    from mambakernels.numeric.user_operation import UserOperation

    _DEFINED[code["name"]] = UserOperation(UserCode(**code))
    _publish({})


def visit(
    *cases: tuple[str, int, str, int | None],
    seed: int,
    layout_seed: int,
    samples: int,
    seconds: float,
    min_sample: float,
) -> None:
    """Set up, check and publish each case: a measurement of at least `samples` samples and `seconds` seconds.

    A case is an operation, its size and dtype, and the number of calls of a sample, by default as many as last
    `min_sample` seconds. `layout_seed` moves the arrays in memory: their place makes a dot product up to a quarter
    faster or slower (measured), as long as a process reuses the same pages.
    """
    ballast = _ballast(layout_seed)
    measured = partial(_measured, seed=seed, samples=samples, seconds=seconds, min_sample=min_sample)
    _publish({"answers": [measured(*case) for case in cases]})
    del ballast


def canary(repeats: int) -> None:
    """Publish the least seconds that a fixed piece of pure Python takes: it uses no BLAS and hardly any memory."""
    _publish({"seconds": min(_steps(CANARY_STEPS) for _ in range(repeats))})


def _measured(
    operation: str,
    n: int,
    dtype: str,
    loops: int | None,
    *,
    seed: int,
    samples: int,
    seconds: float,
    min_sample: float,
) -> dict[str, Any]:
    """Return the measurement of one case, or why there is none; the first call is a sample if it is long."""
    from mambakernels.numeric.timing import Sampling, stability

    try:
        case = _prepared(operation, n, dtype, seed)
    except _RefusedError as error:
        return {"refused": str(error)}
    long, end = case.first_call >= LONG_CALL, perf_counter() + seconds
    chosen = 1 if long else loops or case.calibrate(min_sample)
    taken = [case.first if long else case.sample(chosen)]
    timing = _sampled(partial(case.sample, chosen), taken, samples=samples, end=end, late=end + _MORE * seconds)
    found = numeric.Measurement.of(case, timing, stability(timing, Sampling(samples, min_sample)))
    return {"measurement": replace(found, dtype=dtype).as_dict()}


def _sampled(take: Callable[[], Sample], taken: list[Sample], *, samples: int, end: float, late: float) -> Timing:
    """Return the timing of samples taken until `end`; until `late` while other programs have disturbed all of them.

    Without a sample that can be compared, a whole round is of no use.
    """
    from mambakernels.numeric.estimates import DISTURBED
    from mambakernels.numeric.timing import Timing

    while len(taken) < samples or perf_counter() < end:
        taken.append(take())
    while (timing := Timing.of(taken)).estimator == DISTURBED and perf_counter() < late:
        taken.append(take())
    return timing


def value(name: str, arguments: Sequence[Any]) -> None:
    """Publish what a function of the user's gives for these arguments, NumPy's numbers and arrays as JSON's."""
    found = json.dumps(_DEFINED[name].call(*arguments), default=lambda value: value.tolist())
    _publish({"value": json.loads(found)})


class _RefusedError(Exception):
    """A case cannot be measured here."""


def _prepared(operation: str, n: int, dtype: str, seed: int) -> numeric.PreparedCall:
    """Return a case that was called and checked once."""
    from mambakernels.numeric.measuring import PreparedCall
    from mambakernels.numeric.user_code import NO_DTYPE

    if dtype != NO_DTYPE:
        try:
            case = numeric.prepare(operation, n, dtype, seed=seed)
        except ValueError as error:  # it needs a package that is not installed here, or too much memory
            raise _RefusedError(error) from error
        case.check()
        return case
    try:
        case = PreparedCall(_DEFINED[operation], n, "float64", seed=seed)
        case.check()
    except Exception as error:  # the user's code may raise anything
        raise _RefusedError(f"{type(error).__name__}: {error}") from error
    return case


def _ballast(seed: int) -> list[Any]:
    """Return arrays of random sizes: while they exist, later arrays lie in another place than before."""
    import numpy as np

    sizes = random.Random(seed)  # noqa: S311 (a layout, no secret)
    return [np.ones(sizes.randrange(1, _BALLAST_NUMBERS)) for _ in range(sizes.randrange(1, _BALLAST_ARRAYS))]


def _steps(count: int) -> float:
    start, total = _CANARY_CLOCK(), 0
    for step in range(count):
        total += step & 7
    return _CANARY_CLOCK() - start


def _publish(content: Mapping[str, Any]) -> None:
    display: Callable[..., Any] = sys.modules["IPython"].display.display
    display({MIME_TYPE: content, "text/plain": ""}, raw=True)
