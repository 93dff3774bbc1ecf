"""JUnit reports of runs, which CI systems read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mambakernels.paths import PathLike, storage_errors
from mambakernels.runs.failures import details, marks, marks_in, middle_left_out, one_line
from mambakernels.runs.records import Failure, Run
from mambakernels.runs.tasks import Task
from mambakernels.system.files import write_atomically

if TYPE_CHECKING:
    from junitparser import TestCase, TestSuite
    from junitparser.junitparser import FinalResult

_ELSEWHERE = {"end of its output", "standard error"}  # JUnit has elements for them
# XML 1.0 has no other characters: not even escaped.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@storage_errors
def write_junit(runs: Iterable[Run], output: PathLike, *, not_begun: Iterable[Task] = ()) -> Path:
    """Write runs as a JUnit report and return its path.

    Each notebook on each kernel is a test suite, each run a test case that is named after the parameters in its
    record's name. A cell that raised is a failure; a kernel that died or did not start, a time-out and an interrupted
    run are errors; `not_begun`, what did not run, is skipped.
    """
    from junitparser import JUnitXml

    report = JUnitXml("mambakernels")
    suites: dict[tuple[Path, str], list[TestCase]] = {}
    timestamps: dict[tuple[Path, str], str] = {}
    for run in runs:
        key = (run.notebook, run.kernel)
        suites.setdefault(key, []).append(_case(run))
        timestamps.setdefault(key, run.started)
    for task in not_begun:
        suites.setdefault((task.notebook.path, task.kernel.name), []).append(_skipped(task))
    for (notebook, kernel), cases in suites.items():
        # not add_testsuite, which compares each with all others
        report.append(_suite(notebook, kernel, cases, timestamps.get((notebook, kernel))))  # type: ignore[no-untyped-call]
    written = io.BytesIO()
    report.write(written, pretty=True)
    target = Path(output).expanduser().absolute()
    write_atomically(target, written.getvalue())
    return target


def _suite(notebook: Path, kernel: str, cases: Sequence[TestCase], started: str | None) -> TestSuite:
    from junitparser import TestSuite

    suite = TestSuite(_xml(f"{notebook.name} on {kernel}"))
    if started:
        suite.timestamp = started
    suite.add_property("notebook", _xml(str(notebook)))
    suite.add_property("kernel", _xml(kernel))
    suite.add_testcases(list(cases))
    return suite


def _case(run: Run) -> TestCase:
    from junitparser import Error, TestCase

    case = TestCase(_xml(marks(run) or run.notebook.stem), _class_name(run.notebook, run.kernel), run.seconds)
    error = run.error
    if error is not None:
        case.result = _result(error)
    elif run.status != "ok":
        case.result = Error(f"The run is {run.status}.", run.status)
    printed = "" if error is None else middle_left_out(error.output)
    case.system_out = _xml("\n".join(filter(None, (printed, f"executed notebook: {run.path}"))))
    if error is not None and error.stderr:
        case.system_err = _xml(middle_left_out(error.stderr))
    return case


def _skipped(task: Task) -> TestCase:
    from junitparser import Skipped, TestCase

    notebook, kernel = task.notebook.path, task.kernel.name
    name = marks_in(PurePath(task.names[0]).name, notebook, kernel) or notebook.stem
    case = TestCase(_xml(name), _class_name(notebook, kernel), 0.0)
    case.result = Skipped("The run did not begin.")
    return case


def _result(error: Failure) -> FinalResult:
    """Return a failure for a cell that raised, and an error for all else: the notebook did not come to its end."""
    import junitparser

    raised = error.cell is not None and error.traceback
    result = (junitparser.Failure if raised else junitparser.Error)(_xml(one_line(str(error))), _xml(error.ename))
    shown = (f"--- {title}\n{text}" for title, text in details(error) if title not in _ELSEWHERE)
    result.text = _xml("\n".join(shown))
    return result


def _class_name(notebook: Path, kernel: str) -> str:
    return _xml(f"{notebook.stem}.{kernel}")


def _xml(text: str) -> str:
    """Return a text that XML can hold."""
    return _NOT_IN_XML.sub("\ufffd", text)
