"""Comparing kernels by the user's own code: a function, or a text, measured on live kernels in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mambakernels.bench.cases import CONTROL_SIZE, Case, Settings, read_counts, read_sizes
from mambakernels.bench.comparison import Comparison, check_request, evaluate
from mambakernels.bench.interleaving import measure_interleaved
from mambakernels.bench.measured import Measured
from mambakernels.bench.pairs import MARGIN
from mambakernels.errors import InvalidRequestError, KernelError
from mambakernels.kernels import folders
from mambakernels.kernels.registered import list_kernels
from mambakernels.kernels.specs import can_start
from mambakernels.numeric.user_code import NO_DTYPE, Code, NotPortableError, UserCode, user_codes
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.runs.kernelspecs import Kernel, find_kernels
from mambakernels.system.locks import measuring
from mambakernels.system.quantities import read_duration

_PYTHON = "python"
_CONTROL = Case("sort", "float64", CONTROL_SIZE, control=True)  # the steadiest, and one leaves time for more rounds
_VISIT_SECONDS = 0.02


@storage_errors
def compare(
    code: Code | Sequence[Callable[..., Any]] | Mapping[str, Code],
    *,
    kernels: str | Sequence[str] = (),
    setup: Code | None = None,
    sizes: str | Sequence[int] = (),
    check: Callable[..., Any] | None = None,
    flops: Callable[[int], float] | None = None,
    threads: str | Sequence[int] = (),
    budget: float | str = 20.0,
    seed: int = 0,
    save: PathLike | None = None,
    margin: float = MARGIN,
    progress: Progress = silent,
) -> Comparison:
    """Measure a function of yours, or a line of code, on kernels, in turns and in rounds, and say what differs.

    Kernels that cannot be measured (another language, an environment that is gone or has no NumPy, a function that
    fails there) are left out, each with a line in `measured.notes`.

    Parameters
    ----------
    code
        A function that `def` made, several, or a text, such as `"a @ a"`; or a mapping of names to them. A function
        travels as source text, with the functions, modules and constants that it uses.
    kernels
        Names of kernelspecs, or patterns; the others are compared with the first. By default, those that mambakernels
        registered.
    setup
        A function that returns the arguments of each function: one, or a tuple. It is not measured. With `sizes`, it
        gets the size; without a setup, the functions themselves do. For a text, a text that runs before it, in which
        `n` is the size.
    sizes
        Whole numbers, or a text such as `64:1024:log2`. Without any, everything is called without a size.
    check
        A function that gets the arguments and then the result, and returns whether it is right.
    flops
        From the size to the floating-point operations of a call, for rates.
    threads
        Thread counts, or a text such as `1,2`: each kernel gets a process for each count. Without any, kernels run as
        registered.
    budget
        Seconds of measuring (a number, or a text such as `2m`), once all kernels have started; more if each function
        and size, once, takes longer.
    seed, save, margin, progress
        As in `bench`; the seed is that of the order, and of the places of arrays in memory.

    Raises
    ------
    InvalidRequestError
        The code cannot be sent to other processes.
    NotFoundError
        There is no such kernel.
    KernelError
        No kernel can be measured.
    """
    numbers = read_sizes(sizes) if sizes else ()
    try:
        codes = user_codes(code, setup=setup, check=check, flops=flops, sizes=numbers)
    except SyntaxError as error:
        raise InvalidRequestError(
            f"The code is not Python: {error.msg}, line {error.lineno}.",
            where=(error.text or "").strip() or None,
            next_step="Give a statement, such as 'a @ a'; what it needs goes into the setup.",
        ) from error
    except NotPortableError as error:
        raise InvalidRequestError(str(error)) from error
    return compare_codes(
        codes,
        sizes=numbers,
        kernels=(kernels,) if isinstance(kernels, str) else kernels,
        threads=read_counts(threads),
        budget=budget,
        seed=seed,
        save=save,
        margin=margin,
        progress=progress,
    )


def compare_codes(
    codes: Sequence[UserCode],
    *,
    sizes: Sequence[int],
    kernels: Sequence[str],
    threads: Sequence[int],
    budget: float | str,
    seed: int = 0,
    save: PathLike | None = None,
    margin: float = MARGIN,
    progress: Progress = silent,
) -> Comparison:
    """Compare kernels by code that is source text already; see `compare`."""
    seconds = read_duration(budget, "budget")
    check_request(margin, save)
    if not (kernels := kernels or registered()):
        raise InvalidRequestError(
            "No kernel was named, and mambakernels has registered none.",
            next_step="Make some: mambakernels demo. Or name others: kernels=['python3'].",
        )
    chosen, left_out = measurable(find_kernels(kernels))
    if not chosen:
        raise KernelError(f"No kernel can be measured. {' '.join(left_out)}")
    settings = Settings(
        kernels=tuple(kernel.name for kernel in chosen),
        cases=(*(Case(code.name, NO_DTYPE, size) for code in codes for size in sizes or (0,)), _CONTROL),
        codes=tuple(codes),
        threads=tuple(threads),
        budget=seconds,
        starting_counts=False,
        seed=seed,
        visit_seconds=_VISIT_SECONDS,
    )
    with measuring(Root.find(None), progress=progress):
        measured = _without_failed(measure_interleaved(settings, progress=progress), left_out)
    saved = None if save is None else measured.save(save)
    return evaluate(measured, margin=margin, saved=saved)


def registered() -> list[str]:
    """Return the names of the kernels that mambakernels registered where Jupyter looks, in the order of their names."""
    searched = folders.searched()
    return sorted({spec.name for spec in list_kernels() if spec.jupyter in searched})


def measurable(kernels: Iterable[Kernel]) -> tuple[list[Kernel], list[str]]:
    """Divide kernels into those to start, and a line for each of the others."""
    reasons = [(kernel, _obstacle(kernel)) for kernel in kernels]
    lines = [f"{kernel.name} is left out: {why}." for kernel, why in reasons if why]
    return [kernel for kernel, why in reasons if not why], lines


def _obstacle(kernel: Kernel) -> str | None:
    if kernel.language.lower() != _PYTHON:
        return f"its language is {kernel.language}"
    program = (kernel.ours or {}).get("program")
    if program and not can_start(Path(program)):
        return f"its environment is gone ({program})"
    return None


def _without_failed(measured: Measured, left_out: Sequence[str]) -> Measured:
    """Move the kernels that measured none of the user's code from the kernels to the notes."""
    mine = measured.frame[measured.frame["dtype"] == NO_DTYPE]
    there = set(mine["kernel"])
    if not there:
        why = [f"{kernel.name}: {kernel.failure}" for kernel in measured.kernels if kernel.failure] or measured.notes
        raise KernelError(f"No kernel could run the code. {'; '.join(why)}")
    lost = [kernel for kernel in measured.kernels if kernel.kernel not in there]
    failures = {kernel.kernel: kernel.failure for kernel in lost if kernel.failure}
    lines = [f"{name} is left out: {failure}." for name, failure in failures.items()]
    return replace(
        measured,
        frame=measured.frame[measured.frame["kernel"].isin(there)].reset_index(drop=True),
        kernels=tuple(kernel for kernel in measured.kernels if kernel.kernel in there),
        notes=(*left_out, *lines, *measured.notes),
    )
