"""Executing one notebook on kernels, one after another; each run leaves its executed notebook on disk."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import platform
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import msgspec

from mambakernels.errors import NotFoundError, RunError
from mambakernels.paths import storage_errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.runs import session
from mambakernels.runs.kernelspecs import Kernel, find_kernels
from mambakernels.runs.notebooks import FIRST_MINOR_WITH_IDS, Json, Notebook, prepare_nbformat, read_notebook, source_of
from mambakernels.runs.parameters import inject, read_parameters
from mambakernels.runs.records import (
    METADATA_KEY,
    Failure,
    Identity,
    Record,
    RecordedKernel,
    RecordedNotebook,
    Run,
    is_current,
    read_run,
    record_path,
)
from mambakernels.system.files import writable_folder, write_atomically

T = TypeVar("T")


@dataclass(frozen=True)
class _Plan:
    """One run before it starts."""

    notebook: Notebook
    content: Json
    kernel: Kernel
    identity: Identity
    path: Path
    folder: Path
    timeout: float | None
    startup_timeout: float


@storage_errors
def run(
    notebook: str | os.PathLike[str],
    *,
    kernels: str | Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    output: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    startup_timeout: float = 60.0,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> list[Run]:
    """Execute a notebook on each of the kernels, one after another, and return a `Run` for each, in their order.

    A failing cell or a dying kernel is a `Run` with status `failed`; the others go on.

    Parameters
    ----------
    notebook
        The notebook's path. It is not changed.
    kernels
        Names of kernelspecs, as Jupyter lists them.
    parameters
        Values for names that the notebook's `parameters` cell assigns.
    output
        The folder for the executed notebooks, `<notebook>.<kernel>.ipynb`; by default the current one.
    timeout
        The most seconds for one cell; by default there is no limit.
    startup_timeout
        The most seconds until a kernel answers.
    folder
        The kernels' working directory; by default the notebook's folder.
    resume
        Do not repeat a run whose record in `output` is current (`records.is_current`), but return it.
    progress
        Called in this thread, with `done` and `total` counting the cells of all runs.

    Raises
    ------
    NotFoundError
        There is no such notebook, kernel or folder. This and the next two are raised before any cell is executed.
    InvalidRequestError
        A parameter is not known, or its value does not fit.
    RunError
        The file is not a notebook.
    StorageError
        Nothing can be written to the output folder, or it became full.
    """
    source = read_notebook(notebook)
    values = read_parameters(source).resolve(parameters or {})
    content = inject(source.content, {name: values[name] for name in parameters or {}})
    recorded = json.loads(json.dumps(values))  # as the record holds them: tuples become lists
    chosen = find_kernels([kernels] if isinstance(kernels, str) else kernels)
    target = writable_folder(Path(output or ".").expanduser().absolute())
    working = _existing_folder(Path(folder).expanduser().absolute() if folder else source.path.parent)
    plans = [
        _Plan(
            notebook=source,
            content=content,
            kernel=kernel,
            identity=Identity(source.sha256, recorded, kernel.fingerprint),
            path=record_path(target, notebook=source.path, kernel=kernel.name, parameters=recorded),
            folder=working,
            timeout=timeout,
            startup_timeout=startup_timeout,
        )
        for kernel in chosen
    ]
    return in_a_thread(lambda report: _execute_all(plans, resume=resume, report=report), progress)


def _existing_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotFoundError("There is no such folder to run in.", where=str(folder))
    return folder


async def _execute_all(plans: Sequence[_Plan], *, resume: bool, report: Progress) -> list[Run]:
    cells = len(_code_cells(plans[0].content))
    runs: list[Run] = []
    for number, plan in enumerate(plans):
        meter = _Meter(
            report,
            name=plan.kernel.name,
            cells=cells,
            in_notebook=len(plan.content["cells"]),
            before=number * cells,
            total=len(plans) * cells,
        )
        if resume and is_current(plan.path, plan.identity):
            runs.append(read_run(plan.path))
            meter.finished("already done")
        else:
            runs.append(await _execute_one(plan, meter))
            meter.finished(runs[-1].status)
    return runs


async def _execute_one(plan: _Plan, meter: _Meter) -> Run:
    started, begin = dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds"), time.perf_counter()
    end: float | None = None  # of the last cell
    executed: Any = None
    error: Failure | None = None
    try:
        meter.starting()
        async with session.start(plan.kernel, plan.folder) as kernel:
            executed = _load(plan)  # while the kernel boots: importing nbformat and nbclient takes as long
            kernel.attach(executed)
            info = await kernel.ready(plan.startup_timeout)
            executed.metadata["language_info"] = info.get("language_info", {})
            try:
                for number, index in enumerate(_code_cells(plan.content)):
                    meter.cell(number, index)
                    await kernel.execute(index, plan.timeout)
            finally:
                end = time.perf_counter()
            kernel.keep_widgets()
    except session.RunStoppedError as failed:
        error = failed.failure
    kernelspec = plan.kernel
    record = Record(
        notebook=RecordedNotebook(str(plan.notebook.path), plan.identity.notebook_sha256),
        kernel=RecordedKernel(kernelspec.name, kernelspec.fingerprint, kernelspec.display_name, kernelspec.ours),
        parameters=plan.identity.parameters,
        started=started,
        seconds=round((end or time.perf_counter()) - begin, 3),
        status="failed" if error else "ok",
        error=error,
        version=version("mambakernels"),
        host=platform.node(),
    )
    _write(record, plan, _load(plan) if executed is None else executed)
    return record.run(plan.path)


def _load(plan: _Plan) -> Any:
    """Return the notebook as nbclient needs it: valid, every text joined, every cell with an id, no old outputs."""
    prepare_nbformat()
    import nbformat

    content = _with_ids(plan.content)
    try:
        nbformat.validate(content)
    except nbformat.ValidationError:
        _validate_leniently(content, plan.notebook.path)
    notebook = nbformat.v4.reads(json.dumps(content))  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        _forget_outputs(cell)
    return notebook


def _validate_leniently(content: Json, path: Path) -> None:
    """Accept a notebook with unknown fields, else raise RunError. Tried second, as each way compiles a schema."""
    import nbformat

    try:
        nbformat.validate(content, relax_add_props=True)
    except nbformat.ValidationError as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise RunError(f"This notebook is not valid: {reason}.", where=str(path)) from error


def _with_ids(content: Json) -> Json:
    """Return the notebook with a unique id for each cell, where its format has ids."""
    if content.get("nbformat_minor", 0) < FIRST_MINOR_WITH_IDS:
        return content
    seen: set[str] = set()
    return {**content, "cells": [_with_id(cell, seen) for cell in content["cells"]]}


def _with_id(cell: Json, seen: set[str]) -> Json:
    known = cell.get("id")
    fresh = known if known and known not in seen else uuid.uuid4().hex[:8]
    seen.add(fresh)
    return {**cell, "id": fresh}


def _forget_outputs(cell: Any) -> None:
    if cell.cell_type == "code":
        cell.outputs = []
        cell.execution_count = None
        cell.metadata.pop("execution", None)


def _write(record: Record, plan: _Plan, executed: Any) -> None:
    import nbformat

    kernel = plan.kernel
    executed.metadata["kernelspec"] = {
        "name": kernel.name,
        "display_name": kernel.display_name,
        "language": kernel.language,
    }
    executed.metadata[METADATA_KEY] = msgspec.to_builtins(record)
    text: str = nbformat.writes(executed)  # type: ignore[no-untyped-call]
    write_atomically(plan.path, f"{text}\n".encode())


def _code_cells(content: Json) -> list[int]:
    cells = enumerate(content["cells"])
    return [index for index, cell in cells if cell["cell_type"] == "code" and source_of(cell).strip()]


@dataclass(frozen=True)
class _Meter:
    """Reports the progress of one run, as part of all of them."""

    report: Progress
    name: str
    cells: int
    in_notebook: int
    before: int
    total: int

    def starting(self) -> None:
        self._say("starting", 0)

    def cell(self, number: int, index: int) -> None:
        """Report that code cell `number` begins; the text counts all cells, as errors do."""
        self._say(f"cell {index + 1} of {self.in_notebook}", number)

    def finished(self, how: str) -> None:
        self._say(how, self.cells)

    def _say(self, what: str, done: int) -> None:
        self.report(Event("run", f"{self.name}: {what}", done=self.before + done, total=self.total))


def in_a_thread(work: Callable[[Progress], Coroutine[Any, Any, T]], progress: Progress) -> T:
    """Run a coroutine on a loop in another thread (a notebook's thread has a loop already).

    Its events go to `progress` in this thread; an exception here, Ctrl-C included, cancels it and waits
    until it has cleaned up.
    """
    events: SimpleQueue[Event | None] = SimpleQueue()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Future[T]]] = Future()

    async def main() -> T:
        task = asyncio.ensure_future(work(events.put))
        begun.set_result((asyncio.get_running_loop(), task))
        return await task

    with ThreadPoolExecutor(1, "mambakernels run") as pool:
        outcome = pool.submit(lambda: asyncio.run(main()))
        outcome.add_done_callback(lambda _: events.put(None))
        try:
            for event in iter(events.get, None):
                progress(event)
        except BaseException:
            loop, task = begun.result()
            with contextlib.suppress(RuntimeError):  # it has just ended, and closed its loop
                loop.call_soon_threadsafe(task.cancel)
            raise
    return outcome.result()
