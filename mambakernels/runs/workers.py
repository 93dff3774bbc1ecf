"""Runs on the workers of an executor: a pool of processes, Dask, or any other `concurrent.futures.Executor`."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from mambakernels.errors import InvalidRequestError, RunError
from mambakernels.runs import outputs
from mambakernels.runs.execution import LOST, Report, give_up
from mambakernels.runs.jobs import Answer, Job, compressed, execute_job, job_of, record_text
from mambakernels.runs.outputs import Place
from mambakernels.runs.provision import KernelOrigin, origin_of
from mambakernels.runs.records import Failure, Run
from mambakernels.runs.tasks import Task

ExecutorLike = Executor | Callable[[], Executor] | str
"""An executor, a function that makes one (another, if it broke), or a Dask scheduler's address, or `local`."""

_AGAIN = 2  # times that a run begins again after its worker was lost
_PER_WORKER = 2  # jobs in flight: one that runs, and one that waits, so that no worker idles
_FEWEST = 4  # jobs in flight, also before there is any worker: a cluster that grows with its load needs some
_CONNECT_SECONDS = 30
_LOCAL = "local"
_Make = Callable[[], Executor]


class Workers:
    """An executor's workers, which get a few jobs at a time."""

    def __init__(self, executor: Executor, *, make: _Make | None = None, in_flight: int | None = None) -> None:
        self._executor = executor
        self._make = make or _maker_like(executor)
        self._in_flight = in_flight
        self._replacements: list[Executor] = []
        self._alone = asyncio.Lock()
        self._origins: dict[str, KernelOrigin] = {}
        self._contents: dict[str, bytes] = {}

    async def room(self) -> int:
        """Return how many jobs may be in flight now."""
        if self._in_flight is not None:
            return self._in_flight
        client = getattr(self._executor, "_client", None)
        if client is None:
            return int(getattr(self._executor, "_max_workers", _FEWEST)) + 1
        try:
            threads: dict[str, int] = await asyncio.to_thread(client.nthreads)
        except Exception as error:
            raise _over(self._executor, error) from error
        return max(_FEWEST, _PER_WORKER * sum(threads.values()))

    async def execute(self, task: Task, path: Place, *, attempt: int, report: Report) -> Run:
        """Execute a task on a worker, and again if that is lost; its record is written in any case.

        Only a cancellation leaves no record, or the RunError that the executor takes no more jobs.
        """
        failure, lost = Failure(LOST, ""), 0
        report("waiting for a worker", 0)
        for lost in range(_AGAIN + 1):
            job = self._job(task, path, attempt + lost)
            try:
                answer = await (self._answer_alone(job) if lost == _AGAIN else self._answer(job))
            except _losses() as error:
                failure = Failure(LOST, f"Each of {lost + 1} workers ended while it had this run. The last: {error!r}.")
                report("starting again, as its worker ended", 0)
            except RunError:
                raise
            except Exception as error:  # noqa: BLE001 (of this job alone: its worker lacks a module, or the like)
                said = "".join(traceback.format_exception(error))
                failure = Failure(type(error).__name__, str(error), traceback=said)
                break
            else:
                if answer.record is not None:
                    outputs.write(path, record_text(answer))
                return answer.run
        return give_up(task, path, failure, attempt=attempt + lost)

    def close(self) -> None:
        """End the executors that replaced broken ones."""
        for executor in self._replacements:
            _end(executor)

    def _job(self, task: Task, path: Place, attempt: int) -> Job:
        name, notebook = task.kernel.name, str(task.notebook.path)
        if name not in self._origins:
            self._origins[name] = origin_of(task.kernel)
        if notebook not in self._contents:
            self._contents[notebook] = compressed(task.notebook)
        return job_of(task, path, self._origins[name], self._contents[notebook], attempt=attempt)

    async def _answer(self, job: Job) -> Answer:
        executor = self._executor
        try:
            future = executor.submit(execute_job, job)
        except BrokenExecutor:
            if executor is self._executor:
                self._executor = self._another(executor)
            return await self._answer(job)
        except Exception as error:
            raise _over(executor, error) from error
        return await _result(executor, future)

    async def _answer_alone(self, job: Job) -> Answer:
        """Return the answer to a job that lost its workers; where one worker breaks a pool, it gets a pool alone.

        So it fails only for what it does itself.
        """
        if self._make is None:
            return await self._answer(job)
        async with self._alone:
            executor = self._make()
            if executor is self._executor:  # a reusable one
                return await self._answer(job)
            try:
                return await _result(executor, executor.submit(execute_job, job))
            finally:
                _end(executor)

    def _another(self, broken: Executor) -> Executor:
        if self._make is None:
            raise RunError(
                "A worker ended, and the executor is broken since.",
                where=repr(broken),
                next_step="Give a function that makes one, such as executor=lambda: get_reusable_executor(4).",
            )
        self._replacements.append(self._make())
        return self._replacements[-1]


@contextmanager
def opened(executor: ExecutorLike, *, in_flight: int | None = None) -> Iterator[Workers]:
    """Yield the workers of an executor; what is opened or made for that is closed at the end."""
    if isinstance(executor, str):
        with _dask(executor, in_flight) as client:
            yield Workers(client.get_executor(), in_flight=in_flight)
        return
    made = not isinstance(executor, Executor)
    if made and not callable(executor):
        raise InvalidRequestError(
            f"{executor!r} is not an executor.",
            next_step="Give a concurrent.futures.Executor, a function that makes one, or a Dask scheduler's address.",
        )
    first = executor() if callable(executor) else executor
    workers = Workers(first, make=executor if callable(executor) else None, in_flight=in_flight)
    try:
        yield workers
    finally:
        workers.close()
        if made:
            _end(first)


@contextmanager
def _dask(address: str, workers: int | None) -> Iterator[Any]:
    """Yield a client of the Dask scheduler at an address, or of a cluster of this machine's processes."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InvalidRequestError(
            "Dask is not installed here.", next_step="pip install 'mambakernels[cluster]'"
        ) from error
    if address == _LOCAL:
        count = workers or os.cpu_count() or 1
        with (
            LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0") as cluster,  # type: ignore[no-untyped-call]
            Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]
        ):
            yield client
        return
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:  # of which a time-out is one
        raise RunError(
            f"No Dask scheduler answers: {error}.", where=address, next_step="Start one: dask scheduler"
        ) from error
    with client:
        yield client


async def _result(executor: Executor, future: futures.Future[Answer]) -> Answer:
    """Return the result of a job; if this call is cancelled, so is the job."""
    ended = asyncio.wrap_future(future)
    try:
        await asyncio.wait({ended})
    except asyncio.CancelledError:
        client = getattr(executor, "_client", None)
        if client is None or client.status == "running":  # a closed one can cancel nothing
            ended.cancel()
        raise
    if ended.cancelled():  # not by us: the connection to the worker was lost
        raise futures.CancelledError
    return ended.result()


def _end(executor: Executor) -> None:
    """End an executor that was made here, with the jobs that it still has."""
    processes = dict(getattr(executor, "_processes", None) or {})  # shutdown() forgets them
    executor.shutdown(wait=False)
    for process in processes.values():
        process.terminate()


def _over(executor: Executor, error: Exception) -> RunError:
    return RunError(
        f"The executor takes no more jobs: {str(error).rstrip('.') or type(error).__name__}.",
        where=type(executor).__name__,
        next_step="What has ended is kept. The same call does the rest.",
    )


def _losses() -> tuple[type[BaseException], ...]:
    """Return the exceptions that say that a worker was lost, and nothing of its job."""
    losses: list[type[BaseException]] = [BrokenExecutor, futures.CancelledError]
    if "distributed" in sys.modules:
        from distributed import KilledWorker

        losses.append(KilledWorker)
    return tuple(losses)


def _maker_like(executor: Executor) -> _Make | None:
    """Return a function that makes another pool of the same kind; None for an executor that no worker's end breaks."""
    if type(executor) is not ProcessPoolExecutor:
        return None
    names = {
        "max_workers": "_max_workers",
        "mp_context": "_mp_context",
        "initializer": "_initializer",
        "initargs": "_initargs",
    }
    options = {name: getattr(executor, attribute) for name, attribute in names.items()}
    return lambda: ProcessPoolExecutor(**options)
