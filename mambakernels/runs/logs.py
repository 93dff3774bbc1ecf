"""A log for each run, for `tail -f`: its cells, what they print as it comes, and what becomes of them."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Literal

from mambakernels.runs.outputs import Place
from mambakernels.runs.records import Failure
from mambakernels.runs.tasks import Task

FOLDER = "logs"


def log_of(record: str) -> str:
    """Return the path of a record's log; both are relative to the output folder."""
    return f"{FOLDER}/{record.removesuffix('.ipynb')}.log"


def open_log(task: Task, path: Place | None, *, attempt: int) -> RunLog:
    """Return the log of a run whose record is at `path`; that of a second attempt goes on where the first ended.

    Without a path on this machine there is no log.
    """
    title = f"{task.notebook.path} on {task.kernel.name}, attempt {attempt}"
    if not (isinstance(path, Path) and isinstance(task.output, Path)):
        return RunLog(None, title)
    file = task.output / log_of(path.relative_to(task.output).as_posix())
    return RunLog(file, title, goes_on=attempt > 1)


class RunLog:
    """A file that grows with a run, from its first text on; nothing if there is no file. No write waits."""

    def __init__(self, file: Path | None, title: str, *, goes_on: bool = False) -> None:
        self._file = file
        self._title = title
        self._mode: Literal["ab", "wb"] = "ab" if goes_on else "wb"
        self._stream: io.FileIO | None = None
        self._in_line = False

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def note(self, text: str) -> None:
        """Write a line that begins with the time."""
        if self._file is not None:
            self._begin()
            self._write(f"{chr(10) * self._in_line}[{dt.datetime.now():%H:%M:%S}] {text}\n")  # noqa: DTZ005 (wall clock)

    def text(self, text: str) -> None:
        """Write what a cell or a process has printed, as it is."""
        if self._file is not None and text:
            self._begin()
            self._write(text)

    def _begin(self) -> None:
        if self._stream is None and self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._file.open(self._mode, buffering=0)
            self._write(f"{dt.datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z} {self._title}\n")

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text.encode(errors="replace"))
            self._in_line = not text.endswith("\n")

    def process(self, text: str) -> None:
        """Write what the kernel's process has written on its own."""
        if text.strip():
            self.note(f"output of the kernel's process\n{text.rstrip()}")

    def end(self, error: Failure | None) -> None:
        """Write how the run has ended."""
        if error is not None and error.traceback:
            self.note(f"traceback\n{error.traceback}")
        self.note("ok" if error is None else f"failed: {error}")
