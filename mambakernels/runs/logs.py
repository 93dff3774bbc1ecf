"""A log for each run, for `tail -f`: its cells, what they print as it comes, and what becomes of them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from mambakernels.runs.outputs import Place
from mambakernels.runs.records import Failure
from mambakernels.runs.tasks import Task
from mambakernels.system.quantities import duration_in_words

FOLDER = "logs"


def log_of(record: str) -> str:
    """Return the path of a record's log; both are relative to the output folder."""
    return f"{FOLDER}/{record.removesuffix('.ipynb')}.log"


def open_log(task: Task, path: Place | None, *, attempt: int) -> RunLog:
    """Begin the log of a run whose record is at `path`, or go on with it for a second attempt.

    Without a path on this machine there is no log.
    """
    if not (isinstance(path, Path) and isinstance(task.output, Path)):
        return RunLog(None)
    file = task.output / log_of(path.relative_to(task.output).as_posix())
    file.parent.mkdir(parents=True, exist_ok=True)
    if attempt == 1:
        file.unlink(missing_ok=True)
    log = RunLog(file)
    log.note(f"{dt.date.today()} {task.notebook.path} on {task.kernel.name}, attempt {attempt}")  # noqa: DTZ011 (here)
    return log


class RunLog:
    """A file that grows with a run; nothing if there is no file. Each write is there at once."""

    def __init__(self, file: Path | None) -> None:
        self._stream = file.open("ab", buffering=0) if file else None
        self._in_line = False

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def note(self, text: str) -> None:
        """Write a line that begins with the time."""
        now = dt.datetime.now()  # noqa: DTZ005 (here, as the clock on the wall)
        self.text(f"{chr(10) * self._in_line}[{now:%H:%M:%S}] {text}\n")

    def text(self, text: str) -> None:
        """Write what a cell or a process has printed, as it is."""
        if text and self._stream is not None:
            self._stream.write(text.encode(errors="replace"))
            self._in_line = not text.endswith("\n")

    def end(self, error: Failure | None, seconds: float) -> None:
        """Write how the run has ended."""
        if error is not None and error.traceback:
            self.note(f"traceback\n{error.traceback}")
        self.note(
            f"{'ok' if error is None else 'failed'} in {duration_in_words(seconds)}" + (f": {error}" if error else "")
        )
