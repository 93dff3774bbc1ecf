"""Executing notebooks on kernels; each run leaves its executed notebook on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from mambakernels.errors import InvalidRequestError
from mambakernels.paths import PathLike, Root, absolute, path_list, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.runs import listing, outputs, pages
from mambakernels.runs.matrix import Matrix, expand
from mambakernels.runs.records import Run
from mambakernels.runs.scheduling import Schedule, execute_all
from mambakernels.runs.tasks import Limits, Task
from mambakernels.runs.typed import TypedValues
from mambakernels.system.background import in_a_thread
from mambakernels.system.files import writable_folder
from mambakernels.system.locks import measuring
from mambakernels.system.quantities import read_duration, read_memory

if TYPE_CHECKING:
    from mambakernels.runs.workers import ExecutorLike, Workers

T = TypeVar("T")


@storage_errors
def run(
    notebooks: PathLike | Sequence[PathLike],
    *,
    kernels: str | Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    grid: Mapping[str, TypedValues | Sequence[Any]] | None = None,
    zipped: Sequence[Sequence[str]] = (),
    exclude: Sequence[Mapping[str, Any]] = (),
    repeat: int = 1,
    output: PathLike = outputs.OUTPUT,
    folder: PathLike | None = None,
    jobs: int | None = None,
    executor: ExecutorLike | None = None,
    measure: bool = False,
    timeout: float | str | None = None,
    run_timeout: float | str | None = None,
    total_timeout: float | str | None = None,
    startup_timeout: float | str = 60.0,
    memory: int | str | None = None,
    retries: int = 0,
    retry_cells: bool = False,
    fail_fast: bool = False,
    force: bool = False,
    failed: bool = False,
    fork: bool = True,
    html: bool = False,
    junit: PathLike | None = None,
    on_run: Callable[[Run], None] | None = None,
    progress: Progress = silent,
) -> list[Run]:
    """Execute notebooks on kernels with parameters and return a `Run` for each, in the order of the matrix.

    A failing cell or a dying kernel is a `Run` with status `failed`; the others go on. A run is not
    repeated if `output` has a record of its success, and nothing has changed since: the notebook's cells, the
    parameters, the kernelspec, the environment's packages, and the code that it imported from its folder. The folder
    also gets an index of all its records, `runs.csv` and `index.html`.

    Parameters
    ----------
    notebooks
        Files, folders or glob patterns. They are not changed.
    kernels
        Names of kernelspecs, as Jupyter lists them, or patterns such as `np-*`, or `all`. What a pattern matches runs
        notebooks of its own language only.
    parameters
        Values for names that the notebooks' `parameters` cells assign. A notebook without the name goes without it.
    grid
        Several values for a name: every combination is a run.
    zipped
        Groups of names in the grid that take their values together, the first with the first.
    exclude
        Combinations to leave out: mappings of names, `kernel` and `notebook` among them, to values; texts are patterns.
    repeat
        How often each combination runs.
    output
        The folder for the executed notebooks, `<notebook>.<kernel>.<grid values>.ipynb`; or its address, such as
        `s3://bucket/runs`, of any kind that fsspec knows.
    folder
        The kernels' working directory; by default each notebook's folder.
    jobs
        How many runs execute at once; by default 1, or with an executor as many as its workers take.
    executor
        Where runs execute: a `concurrent.futures.Executor`, a function that makes one, or the address of a Dask
        scheduler (`tcp://…`, or `local` for a cluster of this machine's processes). A worker makes the environment of
        a kernel from its lock. A run whose worker is lost begins again, twice at most.
    measure
        One run at a time, on a kernel that was started for it alone, while no other measurement of ours runs on this
        machine: another one, or a `bench`, waits.
    timeout, run_timeout, total_timeout
        The most seconds for one cell, for one run, and for all, or texts such as `10m`; by default there is no limit.
    startup_timeout
        The most seconds until a kernel answers.
    memory
        The most memory for the processes of one run, in bytes or as `4G`; a run that takes more fails.
    retries, retry_cells
        How often to repeat a run whose kernel died or did not start, and whether to repeat one whose cell failed.
    fail_fast
        Begin no run after one has failed.
    force
        Repeat what is done, too.
    failed
        Only repeat what has failed.
    fork
        Fork the kernels of several runs from one process that has imported ipykernel, where the system can. Each is a
        process of its own all the same; only its start takes less time.
    html
        Also write the executed notebook of each failed run as a page next to it, by nbconvert.
    junit
        A file for a JUnit report of all runs, also if this call is interrupted.
    on_run
        Called with each run as soon as it has ended, in another thread.
    progress
        Called in this thread, with `done` and `total` counting the cells of all runs, and `item` naming the run.

    Raises
    ------
    NotFoundError
        There is no such notebook, kernel or folder. This and the next two are raised before any cell is executed.
    InvalidRequestError
        A parameter is not known, or a value does not fit.
    RunError
        A file is not a notebook.
    StorageError
        Nothing can be written to the output folder, or the disk filled up.
    """
    _check_numbers(1 if jobs is None else jobs, retries, measure=measure)
    if measure and executor is not None:
        raise InvalidRequestError("Runs on workers are not measured one at a time.", next_step="Leave out measure.")
    target = outputs.place(output)
    tasks = expand(
        Matrix(
            notebooks=path_list(notebooks),
            kernels=[kernels] if isinstance(kernels, str) else kernels,
            parameters=parameters or {},
            grid=grid or {},
            zipped=zipped,
            exclude=exclude,
            repeat=repeat,
        ),
        output=target,
        folder=absolute(folder) if folder else None,
        limits=Limits(
            startup=read_duration(startup_timeout),
            cell=_optional(read_duration, timeout),
            run=_optional(read_duration, run_timeout),
            memory=_optional(read_memory, memory),
        ),
    )
    outputs.writable(target)
    if junit is not None:  # before hours of running
        writable_folder(absolute(junit).parent)
    schedule = Schedule(
        jobs=jobs or 1,
        retries=retries,
        retry_cells=retry_cells,
        fail_fast=fail_fast,
        timeout=_optional(read_duration, total_timeout),
        force=force,
        failed=failed,
        measure=measure,
        fork=fork,
    )
    ended: list[Run] = []

    def keep(run: Run) -> None:
        ended.append(run)
        changed()
        if on_run is not None:
            on_run(run)

    alone = measuring(Root.find(None), progress=progress) if measure else nullcontext()
    with alone, listing.indexed(target, live=not measure) as changed:
        try:
            with _workers(executor, jobs) as workers:
                runs = in_a_thread(
                    lambda report: execute_all(tasks, schedule, workers=workers, on_run=keep, report=report), progress
                )
        finally:
            if junit is not None:
                from mambakernels.runs.junit import write_junit

                write_junit(ended, junit, not_begun=_not_begun(tasks, ended))
        if html:  # when all have run: nothing that is wrong with a page keeps a notebook from running
            for one in runs:
                if one.error is not None:
                    pages.write(one)
    return runs


def _workers(executor: ExecutorLike | None, jobs: int | None) -> AbstractContextManager[Workers | None]:
    if executor is None:
        return nullcontext()
    from mambakernels.runs import workers

    return workers.opened(executor, in_flight=jobs)


def _not_begun(tasks: Sequence[Task], ended: Sequence[Run]) -> list[Task]:
    taken = {run.path for run in ended}
    return [task for task in tasks if taken.isdisjoint(task.output / name for name in task.names)]


def _check_numbers(jobs: int, retries: int, *, measure: bool) -> None:
    if jobs < 1:
        raise InvalidRequestError(f"{jobs} runs cannot execute at once.", next_step="Give 1 or more.")
    if measure and jobs > 1:
        raise InvalidRequestError("Runs are measured one at a time.", next_step="Leave out measure or jobs.")
    if retries < 0:
        raise InvalidRequestError(f"A run cannot be repeated {retries} times.", next_step="Give 0 or more.")


def _optional(read: Callable[[Any], T], given: Any) -> T | None:
    return None if given is None else read(given)
