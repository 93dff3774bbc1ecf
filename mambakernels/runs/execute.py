"""Executing one notebook on kernels, one after another; each run leaves its executed notebook on disk."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import platform
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.paths import PathLike, storage_errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.runs import pages, session
from mambakernels.runs.kernelspecs import Kernel, find_kernels
from mambakernels.runs.notebooks import (
    FIRST_MINOR_WITH_IDS,
    Json,
    Notebook,
    prepare_nbformat,
    read_notebook,
    source_of,
    tags_of,
)
from mambakernels.runs.parameters import inject, read_parameters
from mambakernels.runs.records import (
    METADATA_KEY,
    Failure,
    Identity,
    Record,
    RecordedKernel,
    RecordedNotebook,
    Run,
    Status,
    is_current,
    read_run,
    record_path,
)
from mambakernels.system.background import in_a_thread
from mambakernels.system.files import writable_folder, write_atomically

_WRITE_SECONDS = 2.0
_PAUSE_PER_WRITE = 20  # pause at least so many times as long as the last write took
SKIPPED = "skip-execution"
"""The tag of cells that are not executed; their outputs stay."""


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


class _Attempt:
    """One run while it goes on: its notebook as far as it got, its time, and its record on disk."""

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan
        self._started = _now()
        self._begin = time.perf_counter()
        self._end: float | None = None

    @functools.cached_property
    def notebook(self) -> Any:
        """The notebook that takes up the outputs."""
        return _load(self.plan)

    def stop_clock(self) -> None:
        """Count no further time; only the first call counts."""
        self._end = self._end or time.perf_counter()

    async def keep_writing(self) -> None:
        """Write the record every few seconds, so that little is lost if this process is killed."""
        pause = 0.0
        while True:
            await asyncio.sleep(max(_WRITE_SECONDS, pause))
            begin = time.perf_counter()
            self.write("running")
            pause = _PAUSE_PER_WRITE * (time.perf_counter() - begin)

    def write(self, status: Status, error: Failure | None = None) -> Run:
        """Write the record with this status and return the run that it describes."""
        plan = self.plan
        record = Record(
            notebook=RecordedNotebook(str(plan.notebook.path), plan.identity.notebook_sha256),
            kernel=RecordedKernel(
                plan.kernel.name, plan.kernel.fingerprint, plan.kernel.display_name, plan.kernel.ours
            ),
            parameters=plan.identity.parameters,
            started=self._started,
            seconds=round((self._end or time.perf_counter()) - self._begin, 3),
            status=status,
            error=error,
            version=version("mambakernels"),
            host=platform.node(),
        )
        _write(record, plan, self.notebook)
        return record.run(plan.path)


@storage_errors
def run(
    notebook: PathLike,
    *,
    kernels: str | Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    output: PathLike | None = None,
    timeout: float | None = None,
    startup_timeout: float = 60.0,
    folder: PathLike | None = None,
    resume: bool = False,
    html: bool = False,
    on_run: Callable[[Run], None] | None = None,
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
    html
        Also write the executed notebook of each failed run as a page next to it, by nbconvert.
    on_run
        Called with each run as soon as it has ended, in another thread.
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
        Nothing can be written to the output folder, or the disk filled up.
    """
    if min(startup_timeout, startup_timeout if timeout is None else timeout) <= 0:
        raise InvalidRequestError("A time-out must be more than 0 seconds.", next_step="Leave it out for none at all.")
    if html:
        pages.check()
    source = read_notebook(notebook)
    known = read_parameters(source)
    values = known.resolve(parameters or {})
    given = [known.get(name).name for name in parameters or {}]  # as Python normalises names
    changed = {name: values[name] for name in given}
    content = inject(source.content, changed, source.language)
    recorded = json.loads(json.dumps(values))  # as the record will hold it: tuples are lists there
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
    runs = in_a_thread(lambda report: _execute_all(plans, resume=resume, on_run=on_run, report=report), progress)
    if html:  # when all have run: nothing that is wrong with a page keeps a notebook from running
        for failed in (one for one in runs if one.error is not None):
            pages.write(failed)
    return runs


def _existing_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotFoundError("There is no such folder to run in.", where=str(folder))
    return folder


async def _execute_all(
    plans: Sequence[_Plan], *, resume: bool, on_run: Callable[[Run], None] | None, report: Progress
) -> list[Run]:
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
        if on_run is not None:
            on_run(runs[-1])
    return runs


async def _execute_one(plan: _Plan, meter: _Meter) -> Run:
    """Execute one run; whatever happens, its record is written, and the other runs go on."""
    attempt = _Attempt(plan)
    error: Failure | None = None
    try:
        await _execute(attempt, meter)
    except session.RunStoppedError as stopped:
        error = stopped.failure
    except asyncio.CancelledError:
        attempt.write("interrupted", Failure("Interrupted", "The run was interrupted."))
        raise
    except Exception as unforeseen:  # noqa: BLE001 (whatever it is, it is this run's failure alone)
        said = "".join(traceback.format_exception(unforeseen))
        error = Failure(type(unforeseen).__name__, str(unforeseen), traceback=said)
    return attempt.write("failed" if error else "ok", error)


async def _execute(attempt: _Attempt, meter: _Meter) -> None:
    plan = attempt.plan
    meter.starting()
    try:
        async with session.start(plan.kernel, plan.folder) as kernel:
            notebook = attempt.notebook  # while the kernel boots: importing nbformat and nbclient takes as long
            kernel.attach(notebook)
            info = await kernel.ready(plan.startup_timeout)
            notebook.metadata["language_info"] = info.get("language_info", {})
            keeping = asyncio.create_task(attempt.keep_writing())
            try:
                await _execute_cells(kernel, plan, meter, attempt)
            finally:
                keeping.cancel()
            kernel.keep_widgets()
    finally:
        attempt.stop_clock()


async def _execute_cells(kernel: session.Session, plan: _Plan, meter: _Meter, attempt: _Attempt) -> None:
    try:
        for number, index in enumerate(_code_cells(plan.content)):
            meter.cell(number, index)
            await kernel.execute(index, plan.timeout)
    finally:
        attempt.stop_clock()


def _load(plan: _Plan) -> Any:
    """Return the notebook as nbclient wants it: texts joined, every cell with an id, no output of an earlier run."""
    prepare_nbformat()
    import nbformat

    seen: set[str] = set()
    cells = [_fresh(cell, plan.content["nbformat_minor"], seen) for cell in plan.content["cells"]]
    return nbformat.from_dict({**plan.content, "cells": cells})  # type: ignore[no-untyped-call]


def _fresh(cell: Json, minor: int, seen: set[str]) -> Json:
    fresh: Json = {**cell, "source": source_of(cell)}
    if minor >= FIRST_MINOR_WITH_IDS:
        known = cell.get("id")
        fresh["id"] = known if isinstance(known, str) and known and known not in seen else uuid.uuid4().hex[:8]
        seen.add(fresh["id"])
    if cell["cell_type"] == "code":
        fresh.setdefault("execution_count", None)
        if not _is_skipped(cell):
            metadata = {name: value for name, value in cell["metadata"].items() if name != "execution"}
            fresh |= {"outputs": [], "execution_count": None, "metadata": metadata}
    return fresh


def _is_skipped(cell: Json) -> bool:
    return SKIPPED in tags_of(cell)


def _write(record: Record, plan: _Plan, executed: Any) -> None:
    kernel = plan.kernel
    executed.metadata["kernelspec"] = {
        "name": kernel.name,
        "display_name": kernel.display_name,
        "language": kernel.language,
    }
    executed.metadata[METADATA_KEY] = msgspec.to_builtins(record)
    write_atomically(plan.path, _as_text(executed))


def _as_text(executed: Any) -> str:
    """Return a notebook as its file; where a text holds a lone surrogate, all that is not ASCII is escaped."""
    import nbformat

    text: str = nbformat.v4.writes(executed)  # type: ignore[no-untyped-call]
    try:
        text.encode()
    except UnicodeEncodeError:
        text = nbformat.v4.writes(executed, ensure_ascii=True)  # type: ignore[no-untyped-call]
    return f"{text}\n"


def _code_cells(content: Json) -> list[int]:
    """Return the indices of the cells that are executed."""
    cells = enumerate(content["cells"])
    return [
        index
        for index, cell in cells
        if cell["cell_type"] == "code" and source_of(cell).strip() and not _is_skipped(cell)
    ]


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")


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
