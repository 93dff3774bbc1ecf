"""Cases (operation, size and dtype) and settings of a comparison, read from words or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mambakernels.errors import InvalidRequestError
from mambakernels.numeric.threads import is_thread_count
from mambakernels.numeric.user_code import NO_DTYPE, UserCode
from mambakernels.system.ranges import read_range

CONTROL_SIZE = 64  # 32 kB: the place of larger arrays in the cache matters more than the differences looked for

_MOST_SIZES = 200


@dataclass(frozen=True, order=True)
class Case:
    """One operation at one size with one dtype; no BLAS takes part in a `control`.

    The user's code may have no size (0), and has no dtype (`NO_DTYPE`).
    """

    operation: str
    dtype: str
    size: int
    control: bool = False

    def __str__(self) -> str:
        kind = "" if self.dtype in {"float64", NO_DTYPE} else f" {self.dtype}"
        return f"{self.operation}{kind}{f' n={self.size}' * (self.size > 0)}"


@dataclass(frozen=True)
class Settings:
    """The settings of a comparison; without `threads`, each kernel runs as it is registered.

    `budget` is seconds for everything, or for all that follows the start of the kernels, and `rounds` the most rounds.
    `codes` are the user's, which cases name as their operations: all of them are measured at least once. Of other cases
    the most expensive ones are left out if they do not fit, or with `in_order` the last ones. A visit takes samples of
    at least `min_sample` seconds for `visit_seconds`; of a long call it takes one, or up to `samples` if there is time.
    Samples are short because a busy machine interrupts every long one.
    """

    kernels: tuple[str, ...]
    cases: tuple[Case, ...]
    threads: tuple[int, ...] = ()
    budget: float = 60.0
    starting_counts: bool = True
    codes: tuple[UserCode, ...] = ()
    in_order: bool = False
    seed: int = 0
    samples: int = 3
    min_sample: float = 0.0002
    visit_seconds: float = 0.04
    rounds: int = 60


def all_cases(operations: Sequence[str], sizes: Sequence[int], dtypes: Sequence[str]) -> tuple[Case, ...]:
    """Return a case for each combination, and the controls; InvalidRequestError for an unknown name."""
    from mambakernels.numeric import DTYPES, OPERATIONS

    _check("operation", operations, tuple(OPERATIONS))
    _check("dtype", dtypes, DTYPES)
    for name in operations:
        _check(f"dtype of {name}", dtypes, tuple(OPERATIONS[name].routines))
    asked = [
        Case(name, dtype, size, OPERATIONS[name].control) for name in operations for dtype in dtypes for size in sizes
    ]
    others = [name for name, operation in OPERATIONS.items() if operation.control and name not in operations]
    controls = [Case(name, "float64", CONTROL_SIZE, control=True) for name in others]
    return tuple(dict.fromkeys([*asked, *controls]))


def read_sizes(given: str | Sequence[int]) -> tuple[int, ...]:
    """Read `64,100`, `256:4096:log2` (doubling), `100:500:100` (in steps), or numbers as they are."""
    parts = given.split(",") if isinstance(given, str) else ()
    sizes: Sequence[object] = [size for part in parts for size in _sizes(part.strip())] or list(given)
    numbers = [size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 0]
    if not numbers or len(numbers) < len(sizes) or len(sizes) > _MOST_SIZES:
        raise InvalidRequestError(
            f"{given!r} is not a list of sizes.", next_step="Write sizes like 256,512 or 256:4096:log2."
        )
    return tuple(dict.fromkeys(numbers))


def read_counts(given: str | Sequence[int]) -> tuple[int, ...]:
    """Read thread counts from `1,2` or from numbers; `numeric.threads` explains them. An empty list is allowed."""
    words = [word.strip() for word in (given.split(",") if isinstance(given, str) else map(str, given))]
    counts = [int(word) if word.isdigit() else None for word in words if word]
    if not all(map(is_thread_count, counts)):
        raise InvalidRequestError(
            f"{given!r} is not a list of thread counts.", next_step="Write thread counts like 1,2,4."
        )
    return tuple(dict.fromkeys(count for count in counts if count is not None))


def _sizes(part: str) -> Sequence[int]:
    return [int(part)] if part.isdigit() else (read_range(part) or ())[: _MOST_SIZES + 1]


def _check(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        problem = f"Unknown {what}: {', '.join(unknown)}." if unknown else f"No {what} was named."
        raise InvalidRequestError(problem, next_step=f"Known: {', '.join(known)}.")
