"""One run, from its kernel's start to its record on disk."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import json
import math
import platform
import re
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mambakernels.runs import outputs, session
from mambakernels.runs.logs import RunLog, open_log
from mambakernels.runs.notebooks import FIRST_MINOR_WITH_IDS, Json, heading_above, prepare_nbformat, source_of, tags_of
from mambakernels.runs.outputs import Place
from mambakernels.runs.records import (
    METADATA_KEY,
    Failure,
    Record,
    RecordedKernel,
    RecordedNotebook,
    Run,
    Status,
)
from mambakernels.runs.tasks import Task
from mambakernels.system.files import digest

if TYPE_CHECKING:
    from mambakernels.runs.warm import Warm

SKIPPED = "skip-execution"
"""The tag of cells that are not executed; their outputs stay."""

LOST = "WorkerLost"
"""The name of the failure that each worker which had the run was lost."""

NOT_PROVIDED = "KernelNotProvided"
"""The name of the failure that a worker could not have the run's kernel."""

Report = Callable[[str, int], None]
"""Called with what a run does now, in words, and how many of its code cells have ended."""

Keep = Callable[[Place, str], None]
"""Called with the place of a record and its text, whenever the record changes."""

Turn = Callable[[], AbstractAsyncContextManager[None]]
"""Called when the kernel of a run is ready: entered when its cells may run, and left when they have ended."""

_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_WRITE_SECONDS = 2.0
_PAUSE_PER_WRITE = 20  # pause at least so many times as long as the last write took
_ANSWER_SECONDS = 5.0
_MAPS = "__import__('pathlib').Path('/proc/self/maps')"
# The files of the modules that a Python kernel has imported, but for Python's own, where those are, and with NumPy the
# libraries that the process has loaded (on Linux), as one text.
_LOADED = (
    "__import__('json').dumps([[f for f in (getattr(m, '__file__', None) "
    "for m in list(__import__('sys').modules.values())) if isinstance(f, str) "
    "and not f.startswith(tuple(__import__('os').path.join(getattr(__import__('sys'), p), '') "
    "for p in ('prefix', 'base_prefix')))], "
    "[__import__('sys').prefix, __import__('sys').base_prefix], "
    "sorted({line.split(None, 5)[5] for line in "
    f"{_MAPS}.read_text(errors='replace').splitlines() if '.so' in line}}) "
    f"if 'numpy' in __import__('sys').modules and {_MAPS}.exists() else []])"
)


async def execute(
    task: Task,
    path: Place,
    *,
    attempt: int,
    report: Report,
    keep: Keep = outputs.write,
    warm: Warm | None = None,
    turn: Turn = contextlib.nullcontext,
) -> Run:
    """Execute a task and return its run; whatever happens, `keep` gets its record (and by default writes it).

    Its kernel is forked from `warm` if that can be. The kernel starts ahead; the cells run while the run has its turn.
    Only a cancellation raises, after the record says `interrupted`; there is none of a run that never had its turn.
    """
    here = path if keep is outputs.write else None  # elsewhere, a log would stay on a worker's disk
    with contextlib.closing(open_log(task, here, attempt=attempt)) as log:
        return await _run_of(_Execution(task, path, attempt, keep, log), report, warm=warm, turn=turn)


async def _run_of(execution: _Execution, report: Report, *, warm: Warm | None, turn: Turn) -> Run:
    error: Failure | None = None
    try:
        await _execute(execution, report, warm=warm, turn=turn)
    except session.RunStoppedError as stopped:
        error = stopped.failure
    except asyncio.CancelledError:
        if execution.ended:  # and its kernel was shutting down
            execution.write("failed" if execution.failure else "ok", execution.failure)
        elif execution.begun:
            execution.log.note("interrupted")
            execution.write("interrupted", execution.interrupted())
        raise
    except Exception as unforeseen:  # noqa: BLE001 (whatever it is, it is this run's failure alone)
        said = "".join(traceback.format_exception(unforeseen))
        error = Failure(type(unforeseen).__name__, str(unforeseen), traceback=said)
    execution.log.end(error)
    return execution.write("failed" if error else "ok", error)


def give_up(task: Task, path: Place, error: Failure, *, attempt: int, keep: Keep = outputs.write) -> Run:
    """Return the run of a task that could not begin, as failed; `keep` gets its record."""
    log = open_log(task, None, attempt=attempt)
    return _Execution(task, path, attempt, keep, log).write("failed", error)


def code_cells(content: Json) -> list[int]:
    """Return the indices of the cells that are executed."""
    cells = enumerate(content["cells"])
    return [
        index
        for index, cell in cells
        if cell["cell_type"] == "code" and source_of(cell).strip() and not _is_skipped(cell)
    ]


class _Execution:
    """One run while it goes on: its notebook as far as it got, its time, and its record on disk."""

    def __init__(self, task: Task, path: Place, attempt: int, keep: Keep, log: RunLog) -> None:
        self.task = task
        self.log = log
        self.content = task.content()
        self.code: dict[str, str] = {}
        self.blas: str | None = None
        self._path = path
        self._attempt = attempt
        self._keep = keep
        self.begun = self.ended = False
        self.failure: Failure | None = None
        self.running: int | None = None
        self._started = _now()
        self._begin = time.perf_counter()
        self._end: float | None = None

    @functools.cached_property
    def notebook(self) -> Any:
        """The notebook that takes up the outputs."""
        return _load(self.content)

    def begin(self, *, waited: float) -> None:
        """Take note that its cells begin; the seconds that it waited for that do not count as its time."""
        self._begin += waited
        self.begun = True

    def interrupted(self) -> Failure:
        """Return the failure that an interruption now is, with the cell that was running."""
        failure = Failure("Interrupted", "The run was interrupted.")
        return failure if self.running is None else session.located(failure, self.notebook.cells, self.running)

    def stop_clock(self) -> None:
        """Count no further time; only the first call counts."""
        self._end = self._end or time.perf_counter()

    def limit(self) -> float | None:
        """Return the most seconds for the next cell: its own limit, or what is left of the run's."""
        limits = self.task.limits
        left = None if limits.run is None else max(0.0, limits.run - (time.perf_counter() - self._begin))
        return min((limit for limit in (limits.cell, left) if limit is not None), default=None)

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
        task, kernel, identity = self.task, self.task.kernel, self.task.identity
        record = Record(
            notebook=RecordedNotebook(str(task.notebook.path), task.notebook.sha256, identity.cells),
            kernel=RecordedKernel(
                kernel.name,
                kernel.fingerprint,
                kernel.display_name,
                kernel.ours,
                packages=identity.packages,
                packages_there=None if kernel.packages == identity.packages else kernel.packages,
            ),
            parameters=identity.parameters,
            started=self._started,
            seconds=round((self._end or time.perf_counter()) - self._begin, 3),
            status=status,
            error=error,
            version=own_version(),
            host=platform.node(),
            folder=str(task.folder),
            repeat=identity.repeat,
            attempts=self._attempt,
            code=self.code,
            blas=self.blas,
        )
        self.notebook.metadata["kernelspec"] = {
            "name": kernel.name,
            "display_name": kernel.display_name,
            "language": kernel.language,
        }
        self.notebook.metadata[METADATA_KEY] = msgspec.to_builtins(record)
        self._keep(self._path, _as_text(self.notebook))
        return record.run(self._path)


async def _execute(execution: _Execution, report: Report, *, warm: Warm | None, turn: Turn) -> None:
    task = execution.task
    report("starting", 0)
    try:
        async with session.start(task.kernel, task.folder, warm=warm, memory=task.limits.memory) as kernel:
            notebook = execution.notebook  # while the kernel boots: importing nbformat and nbclient takes as long
            kernel.attach(notebook, printed=execution.log.text)
            info = await kernel.ready(task.limits.startup)
            notebook.metadata["language_info"] = info.get("language_info", {})
            ready = time.perf_counter()
            async with turn():
                execution.begin(waited=time.perf_counter() - ready)
                await _execute_cells(kernel, execution, report)
                kernel.keep_widgets()
                await _observe(kernel, execution)
                execution.ended = True
    finally:
        execution.stop_clock()


async def _execute_cells(kernel: session.Session, execution: _Execution, report: Report) -> None:
    cells = execution.content["cells"]
    keeping = asyncio.create_task(execution.keep_writing())
    try:
        for number, index in enumerate(code_cells(execution.content)):
            cell = _cell_in_words(cells, index)
            report(cell, number)
            execution.log.note(cell)
            execution.running = index
            if not await kernel.execute(index, execution.limit()):
                break
    except session.RunStoppedError as stopped:
        execution.ended, execution.failure = True, stopped.failure
        raise
    finally:
        keeping.cancel()
        execution.stop_clock()
        execution.log.process(kernel.written())


def _cell_in_words(cells: list[Json], index: int) -> str:
    """Return the place of a cell among all cells, as errors count them, and the heading above it."""
    heading = heading_above(cells, index)
    return f"cell {index + 1} of {len(cells)}" + (f" ({heading})" if heading else "")


async def _observe(kernel: session.Session, execution: _Execution) -> None:
    """Take note of the code from the run's folder that the cells imported, and of the BLAS that the kernel loaded."""
    if not execution.task.kernel.is_ipykernel:
        return
    answer = await kernel.evaluate(_LOADED, timeout=_ANSWER_SECONDS)
    if answer:
        imported, prefixes, libraries = json.loads(answer)
        execution.code = _hashes(imported, prefixes, execution.task.folder.resolve())
        if libraries:
            from mambakernels.kernels.blas import loaded_blas

            execution.blas = loaded_blas(libraries)


def _hashes(names: list[str], prefixes: list[str], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each Python file in a folder, by its path there, but not of Python's own."""
    files = sorted({file for file in (Path(name).resolve() for name in names) if file.is_relative_to(folder)})
    local = [file for file in files if file.is_file() and not any(file.is_relative_to(prefix) for prefix in prefixes)]
    return {file.relative_to(folder).as_posix(): digest(file) for file in local}


def _load(content: Json) -> Any:
    """Return the notebook as nbclient wants it: texts joined, every cell with an id, no output of an earlier run."""
    prepare_nbformat()
    import nbformat

    seen: set[str] = set()
    cells = [_fresh(cell, content["nbformat_minor"], seen) for cell in content["cells"]]
    return nbformat.from_dict({**content, "cells": cells})  # type: ignore[no-untyped-call]


def _fresh(cell: Json, minor: int, seen: set[str]) -> Json:
    fresh: Json = {**cell, "source": source_of(cell)}
    if minor >= FIRST_MINOR_WITH_IDS:
        known = cell.get("id")
        is_valid = isinstance(known, str) and _ID.fullmatch(known) and known not in seen
        fresh["id"] = known if is_valid else uuid.uuid4().hex[:8]
        seen.add(fresh["id"])
    if cell["cell_type"] == "code":
        fresh.setdefault("execution_count", None)
        if not _is_skipped(cell):
            metadata = {name: value for name, value in cell["metadata"].items() if name != "execution"}
            fresh |= {"outputs": [], "execution_count": None, "metadata": metadata}
    return fresh


def _is_skipped(cell: Json) -> bool:
    return SKIPPED in tags_of(cell)


def _as_text(executed: Any) -> str:
    """Return a notebook as its file; where a text holds a lone surrogate, all that is not ASCII is escaped."""
    import nbformat

    try:
        text: str = nbformat.v4.writes(executed, allow_nan=False)  # type: ignore[no-untyped-call]
    except ValueError:  # a number that JSON does not have: papermill writes such parameters
        executed = nbformat.from_dict(_without_nan(executed))  # type: ignore[no-untyped-call]
        text = nbformat.v4.writes(executed, allow_nan=False)  # type: ignore[no-untyped-call]
    try:
        text.encode()
    except UnicodeEncodeError:
        text = nbformat.v4.writes(executed, ensure_ascii=True)  # type: ignore[no-untyped-call]
    return f"{text}\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@functools.cache
def own_version() -> str:
    """Return the version of mambakernels."""
    return version("mambakernels")


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")
