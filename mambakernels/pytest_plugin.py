"""Notebooks as tests of pytest: `pytest --mambakernels 'np-*' notebooks/` makes one of each notebook on each kernel.

pytest imports this in every project of an environment that has mambakernels: what costs time is imported in functions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mambakernels.errors import InvalidRequestError, MambakernelsError

if TYPE_CHECKING:
    from mambakernels.runs.notebooks import Notebook
    from mambakernels.runs.records import Failure, Run
    from mambakernels.runs.tasks import Task

EXPECTED_TO_FAIL = "xfail"
"""The tag of cells that are expected to raise: a notebook that fails in one of them is an expected failure."""


class NotebookFailedError(Exception):
    """A notebook failed on a kernel; `failure` says why, `line` where in the notebook's file, if that is known."""

    def __init__(self, failure: Failure, line: int | None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.line = line


class ExpectedFailureError(NotebookFailedError):
    """A notebook failed in a cell that is tagged `xfail`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; without the first, the others do nothing."""
    group = parser.getgroup("mambakernels", "notebooks on Jupyter kernels (mambakernels)")
    group.addoption(
        "--mambakernels",
        action="append",
        default=[],
        metavar="KERNEL,…",
        help="Run each notebook on each of these kernels as a test: names, patterns such as 'np-*', or all.",
    )
    group.addoption(
        "--mambakernels-parameter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="A parameter, for the notebooks that have it; repeat for several.",
    )
    group.addoption("--mambakernels-timeout", metavar="TIME", help="The most time for one cell: 90, 10m or 2h.")
    group.addoption("--mambakernels-output", metavar="FOLDER", help="Keep the executed notebooks there.")


def pytest_configure(config: pytest.Config) -> None:
    """Check the options, before anything is collected."""
    if config.getoption("mambakernels"):
        from mambakernels.runs.kernelspecs import find_kernels
        from mambakernels.system.quantities import read_duration

        timeout = config.getoption("mambakernels_timeout")
        try:
            find_kernels(_kernels(config))
            if timeout is not None:
                read_duration(timeout)
        except MambakernelsError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folder of executed notebooks."""
    output = config.getoption("mambakernels_output")
    is_output = output is not None and collection_path == _absolute(config, output)
    return True if is_output else None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect notebooks, if kernels are named."""
    if file_path.suffix != ".ipynb" or not parent.config.getoption("mambakernels"):
        return None
    collected: NotebookFile = NotebookFile.from_parent(parent, path=file_path)
    return collected


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a parameter that no collected notebook has."""
    runs = [item for item in session.items if isinstance(item, NotebookTest)]
    used = {name for item in runs for name in item.task.given}
    unknown = [name for name in _assignments(session.config) if name not in used]
    if not runs or not unknown:
        return
    refusal = f"--mambakernels-parameter: no collected notebook has a parameter '{unknown[0]}'."
    if not hasattr(session.config, "workerinput"):
        raise pytest.UsageError(refusal)
    for item in runs:  # a worker of pytest-xdist cannot end the session
        item.refusal = refusal


class NotebookFile(pytest.File):
    """A notebook; its tests are its runs."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each kernel that can run the notebook."""
        from mambakernels.runs.matrix import Matrix, expand
        from mambakernels.runs.notebooks import read_notebook
        from mambakernels.runs.tasks import Limits
        from mambakernels.system.quantities import read_duration

        timeout = self.config.getoption("mambakernels_timeout")
        limits = Limits(cell=None if timeout is None else read_duration(timeout))
        try:
            notebook = read_notebook(self.path)
            matrix = Matrix([self.path], _kernels(self.config), parameters=_fitting(self.config, notebook))
            tasks = expand(matrix, output=self._output(), folder=None, limits=limits)
        except MambakernelsError as error:
            raise self.CollectError(str(error)) from error
        for task in tasks:
            item: NotebookTest = NotebookTest.from_parent(self, name=task.kernel.name, task=task)
            yield item

    def _output(self) -> Path:
        """Return the folder for the records: below the one that keeps them, as the notebook is below the root."""
        kept, root, here = self.config.getoption("mambakernels_output"), self.config.rootpath, self.path.parent
        if kept is None:
            return here  # where none is written
        return _absolute(self.config, kept) / (here.relative_to(root) if here.is_relative_to(root) else "")


class NotebookTest(pytest.Item):
    """A notebook on one kernel."""

    def __init__(self, *, task: Task, **fields: Any) -> None:
        super().__init__(**fields)
        self.task = task
        self.refusal = ""
        for mark in _marks(task.notebook):
            self.add_marker(mark)
        if any(EXPECTED_TO_FAIL in tags for tags in _tags(task.notebook.content)):
            self.add_marker(pytest.mark.xfail(raises=ExpectedFailureError, reason="a cell is tagged xfail"))

    def runtest(self) -> None:
        """Execute the notebook; an interruption shuts its kernel down first."""
        from mambakernels.runs import outputs
        from mambakernels.runs.in_memory import execute_in_memory

        if self.refusal:
            raise InvalidRequestError(self.refusal)
        run, executed = execute_in_memory(self.task)
        if self.config.getoption("mambakernels_output") is not None:
            record, _ = self.task.place()
            outputs.write(record, executed)
            self.user_properties.append(("executed notebook", str(record)))
        if run.error is not None:
            raise _error(run, run.error, json.loads(executed))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **options: Any) -> Any:
        """Return the failing cell with its source, its traceback and the end of its output."""
        from mambakernels.runs import failures

        if isinstance(excinfo.value, MambakernelsError):
            return str(excinfo.value)
        if not isinstance(excinfo.value, NotebookFailedError):
            return super().repr_failure(excinfo, *args, **options)
        failure = excinfo.value.failure
        shown = excinfo.getrepr(style="native")  # pytest-xdist and --junitxml take apart what this returns
        shown.reprtraceback.reprentries[0].lines = [failures.explain(failure), "\n"]
        if shown.reprcrash is not None:
            shown.reprcrash.path = str(self.path)
            shown.reprcrash.lineno = excinfo.value.line or 1
            shown.reprcrash.message = failures.one_line(str(failure))
        return shown

    def reportinfo(self) -> tuple[os.PathLike[str], int, str]:
        """Return the place of the test, and its title."""
        return self.path, 0, f"{self.path.name} on {self.name}"


def _kernels(config: pytest.Config) -> list[str]:
    names = ",".join(config.getoption("mambakernels")).split(",")
    return [name.strip() for name in names if name.strip()]


def _assignments(config: pytest.Config) -> dict[str, str]:
    """Return each parameter that was given, as it was typed."""
    return {text.partition("=")[0].strip(): text for text in config.getoption("mambakernels_parameter")}


def _fitting(config: pytest.Config, notebook: Notebook) -> dict[str, Any]:
    """Return the values of the parameters that a notebook has."""
    from mambakernels.runs.parameters import read_parameters
    from mambakernels.runs.typed import typed_parameters

    known = read_parameters(notebook)
    return dict(typed_parameters(text for name, text in _assignments(config).items() if known.has(name)))


def _tags(content: Mapping[str, Any]) -> list[frozenset[str]]:
    from mambakernels.runs.notebooks import tags_of

    return [tags_of(cell) for cell in content["cells"]]


def _marks(notebook: Notebook) -> Iterable[str]:
    """Return the marks of a notebook, as nbmake has them: `execution.markers` in its metadata, a list or one text."""
    execution = notebook.content["metadata"].get("execution")
    marks = execution.get("markers", ()) if isinstance(execution, dict) else ()
    return [mark.strip() for mark in (marks.split(",") if isinstance(marks, str) else marks)]


def _error(run: Run, failure: Failure, executed: Mapping[str, Any]) -> NotebookFailedError:
    from mambakernels.runs.github import line_of

    expected = failure.cell is not None and EXPECTED_TO_FAIL in _tags(executed)[failure.cell - 1]
    return (ExpectedFailureError if expected else NotebookFailedError)(failure, line_of(run, dict(executed)))


def _absolute(config: pytest.Config, path: str) -> Path:
    return config.invocation_params.dir / Path(path).expanduser()
