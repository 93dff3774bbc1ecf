"""One run on a worker: the job that travels there, its execution, and the answer that comes back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import signal
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mambakernels.errors import MambakernelsError
from mambakernels.paths import Root
from mambakernels.runs import outputs
from mambakernels.runs.execution import NOT_PROVIDED, SKIPPED, Keep, execute, give_up, own_version
from mambakernels.runs.notebooks import Json, Notebook, tags_of
from mambakernels.runs.outputs import Place
from mambakernels.runs.provision import KernelOrigin, provide
from mambakernels.runs.records import Failure, Identity, Run
from mambakernels.runs.tasks import Limits, Task
from mambakernels.system import background
from mambakernels.system.scratch import scratch_folder

_WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """A run as it travels to a worker, in a few kilobytes that can be pickled.

    `content` is the notebook as compressed JSON. A record at an address is written by the worker; any other is sent
    back.
    """

    notebook: str
    sha256: str
    content: bytes
    kernel: KernelOrigin
    given: Mapping[str, Any]
    identity: Identity
    path: Place
    output: Place
    folder: str
    limits: Limits
    attempt: int
    version: str

    def task(self, notebook: Notebook, folder: Path) -> Task:
        """Return the task of this machine, with the kernel of the machine that planned it."""
        names = (self.path.name,)
        return Task(notebook, self.kernel.kernel, self.given, self.identity, names, self.output, folder, self.limits)


@dataclass(frozen=True)
class Answer:
    """A run that ended on a worker, and its record as compressed text, unless the worker has written that."""

    run: Run
    record: bytes | None


def job_of(task: Task, path: Place, origin: KernelOrigin, content: bytes, *, attempt: int) -> Job:
    """Return the job of a task; `content` is that of `compressed`."""
    return Job(
        notebook=str(task.notebook.path),
        sha256=task.notebook.sha256,
        content=content,
        kernel=origin,
        given=dict(task.given),
        identity=task.identity,
        path=path,
        output=task.output,
        folder=str(task.folder),
        limits=task.limits,
        attempt=attempt,
        version=own_version(),
    )


def compressed(notebook: Notebook) -> bytes:
    """Return a notebook's content as it travels: without the outputs that its run will replace."""
    cells = [{**cell, "outputs": []} if _is_executed(cell) else cell for cell in notebook.content["cells"]]
    return zlib.compress(json.dumps({**notebook.content, "cells": cells}).encode(), 9)


def _is_executed(cell: Json) -> bool:
    return cell["cell_type"] == "code" and SKIPPED not in tags_of(cell)


def execute_job(job: Job) -> Answer:
    """Execute a job in this process; whatever happens to its run is in the answer."""
    if job.version != own_version():
        raise RuntimeError(f"{platform.node()} has mambakernels {own_version()}, and the job is of {job.version}")
    kept: dict[Place, str] = {}
    sends = isinstance(job.path, Path)
    keep = kept.__setitem__ if sends else outputs.write
    run = _until_stopped(_execute(job, keep))
    return Answer(run, zlib.compress(kept[job.path].encode()) if sends else None)


def record_text(answer: Answer) -> bytes:
    """Return the record that an answer brings, as its file."""
    assert answer.record is not None
    return zlib.decompress(answer.record)


def _until_stopped(work: Coroutine[Any, Any, Run]) -> Run:
    """Run a coroutine to its end; cancel it when nobody waits for it any more, or when SIGTERM ends this process."""
    is_wanted, stopping = _asked_of_dask(), False

    async def watch(task: asyncio.Future[Run]) -> None:
        while is_wanted():  # noqa: ASYNC110 (Dask has no event for it)
            await asyncio.sleep(_WATCH_SECONDS)
        task.cancel()

    async def main() -> Run:
        task = asyncio.ensure_future(work)

        def stop() -> None:
            nonlocal stopping
            stopping = True
            task.cancel()

        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        watching = asyncio.create_task(watch(task))
        try:
            return await task
        finally:
            watching.cancel()

    try:
        return background.run(main())
    finally:
        if stopping:
            os.kill(os.getpid(), signal.SIGTERM)


def _asked_of_dask() -> Callable[[], bool]:
    """Return a function that says whether Dask still wants the task of this thread; elsewhere it always does."""
    if "distributed" not in sys.modules:
        return lambda: True
    from distributed import get_worker

    try:
        worker = get_worker()
        key = worker.get_current_task()
    except (ValueError, AttributeError):  # not in a task of Dask's
        return lambda: True
    tasks = worker.state.tasks
    return lambda: key in tasks and tasks[key].state != "cancelled"


async def _execute(job: Job, keep: Keep) -> Run:
    notebook = Notebook(Path(job.notebook), job.sha256, json.loads(zlib.decompress(job.content)))
    with _working_folder(job) as folder:
        task = job.task(notebook, folder)
        try:
            kernel = await asyncio.to_thread(provide, job.kernel, Root.find(None))
        except Exception as error:  # noqa: BLE001 (as in a run: whatever it is, it is this one's failure alone)
            return give_up(task, job.path, _not_provided(error), attempt=job.attempt, keep=keep)
        task = Task(notebook, kernel, job.given, job.identity, task.names, job.output, folder, job.limits)
        return await execute(task, job.path, attempt=job.attempt, report=_nothing, keep=keep)


def _not_provided(error: Exception) -> Failure:
    if isinstance(error, MambakernelsError):
        return Failure(NOT_PROVIDED, str(error))
    said = "".join(traceback.format_exception(error))
    return Failure(NOT_PROVIDED, f"{platform.node()}: {error!r}", traceback=said)


@contextlib.contextmanager
def _working_folder(job: Job) -> Iterator[Path]:
    """Yield the run's folder if this machine has it too, else one for this run alone.

    A notebook's own folder counts as the same one if the notebook is in it with the same content.
    """
    folder, notebook = Path(job.folder), Path(job.notebook)
    same = notebook.parent != folder or (
        notebook.is_file() and hashlib.sha256(notebook.read_bytes()).hexdigest() == job.sha256
    )
    if same and folder.is_dir():
        yield folder
        return
    with scratch_folder() as scratch:
        yield scratch


def _nothing(_what: str, _cells: int) -> None:
    """Report nothing: what a run does stays on the worker."""
