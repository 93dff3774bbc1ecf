"""The report on runs: a page made from a notebook that people can change."""

from __future__ import annotations

import itertools
import math
import os
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mambakernels.errors import InvalidRequestError, RunError
from mambakernels.paths import PathLike, absolute, path_list, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.runs import pages
from mambakernels.runs.failures import SameFailure, explain, group_failures
from mambakernels.runs.in_memory import execute_in_memory
from mambakernels.runs.kernelspecs import Kernel
from mambakernels.runs.notebooks import Notebook, cells_sha256, notebook_files, read_notebook
from mambakernels.runs.parameters import read_parameters
from mambakernels.runs.records import Failure, Identity, Run, read_run
from mambakernels.runs.tasks import Limits, Task
from mambakernels.system.files import write_atomically

TEMPLATE = Path(__file__).with_name("report.ipynb")
"""The notebook that makes the report."""

_EVEN = 0.2  # how much the steps between values may differ, relative to their mean, to count as equal
_FEWEST = 3  # values that show how they are spaced


@storage_errors
def report(
    paths: PathLike | Iterable[PathLike],
    *,
    output: PathLike = "report.html",
    template: PathLike | None = None,
    parameters: Mapping[str, Any] | None = None,
    title: str = "Runs",
    timeout: float | None = None,
    progress: Progress = silent,
) -> Path:
    """Write a page on executed notebooks and return its path: failures first, what ran where, results and pictures.

    The page is the executed template, without its code. The template runs on this Python, in the folder of the page,
    to which the links to the executed notebooks are relative.

    Parameters
    ----------
    paths
        Executed notebooks, folders of them or glob patterns, or several of them.
    output
        The page's file.
    template
        A notebook of yours in place of ours; `report_notebook` writes ours out for changing. It needs the parameter
        `paths`, and gets `title` and `folder` (of the page) if it has them.
    parameters
        Values for other parameters of the template.
    title
        The page's title.
    timeout
        The most seconds for one cell of the template.
    progress
        Called with `done` and `total` counting the template's cells.

    Raises
    ------
    NotFoundError
        A path matches nothing, or there is no such template.
    InvalidRequestError
        The template does not have a parameter.
    RunError
        The template is not a notebook, or a cell of it failed.
    StorageError
        The page cannot be written.
    """
    places = [str(place) if "://" in str(place) else str(absolute(place)) for place in path_list(paths)]
    notebook_files(place for place in places if "://" not in place)  # raises for what is not there, at once
    page = absolute(output)
    notebook = read_notebook(TEMPLATE if template is None else template)
    known = read_parameters(notebook)
    ours = {"title": title, "folder": str(page.parent)}
    needed = {"paths": places, **(parameters or {})}
    given = known.resolve({**{name: value for name, value in ours.items() if known.has(name)}, **needed})
    page.parent.mkdir(parents=True, exist_ok=True)
    executed = _execute(_task(notebook, given, folder=page.parent, timeout=timeout), progress)
    write_atomically(page, pages.without_code(executed, title=title, offline=template is None))
    return page


@storage_errors
def report_notebook(output: PathLike) -> Path:
    """Write the notebook that makes the report to a file, for changing, and return its path.

    It runs in any kernel that has mambakernels, on the records in `runs/`; `report(…, template=…)` makes a page of it.
    Raises `InvalidRequestError` if the file is there already.
    """
    target = absolute(output)
    if target.exists():
        raise InvalidRequestError(
            "This file is there already, and may hold your changes.", where=str(target), next_step="Name another one."
        )
    write_atomically(target, TEMPLATE.read_bytes())
    return target


def failures_in(rows: Iterable[Mapping[str, Any]]) -> list[SameFailure]:
    """Return the runs of rows of `collect` that have an error, in groups that failed in the same way."""
    return group_failures(map(_run, rows))


def link(path: str, folder: PathLike) -> str:
    """Return the address of an executed notebook in a page of a folder: relative, or the address that it has."""
    return path if "://" in path else quote(Path(os.path.relpath(path, folder)).as_posix())


def is_log_spaced(values: Iterable[float]) -> bool:
    """Whether numbers are spaced evenly on a logarithmic axis, and less so on a linear one."""
    different = sorted(set(map(float, values)))
    if len(different) < _FEWEST or different[0] <= 0:
        return False
    return _unevenness(list(map(math.log, different))) < min(_EVEN, _unevenness(different))


def _unevenness(values: Sequence[float]) -> float:
    """Return the standard deviation of the steps between sorted values, relative to their mean."""
    steps = [after - before for before, after in itertools.pairwise(values)]
    return statistics.pstdev(steps) / statistics.fmean(steps)


def _run(row: Mapping[str, Any]) -> Run:
    """Return the run of a row; of what another program executed as much as is known of it."""
    try:
        return read_run(row["path"])
    except RunError:
        ename, _, evalue = row["error"].partition(": ")
        error = Failure(ename, evalue)
        return Run(Path(row["notebook"]), str(row["kernel"]), {}, Path(row["path"]), "failed", 0.0, "", error)


def _task(notebook: Notebook, given: Mapping[str, Any], *, folder: Path, timeout: float | None) -> Task:
    kernel = _this_python()
    identity = Identity(cells_sha256(notebook.content), given, kernel.fingerprint)
    return Task(notebook, kernel, given, identity, (notebook.path.name,), folder, folder, Limits(cell=timeout))


def _execute(task: Task, progress: Progress) -> str:
    """Execute a notebook and return what it became; `RunError` if it failed."""
    run, executed = execute_in_memory(task, progress)
    if run.error is not None:
        raise RunError(
            f"The notebook that makes the report failed: {explain(run.error)}",
            where=str(task.notebook.path),
            next_step="Open it in JupyterLab, where it runs too.",
        )
    return executed


def _this_python() -> Kernel:
    """Return a kernel of the Python that runs this, which need not be registered."""
    from jupyter_client.kernelspec import KernelSpec

    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return Kernel("python3", KernelSpec(argv=argv, display_name="Python 3", language="python"), fingerprint="")
