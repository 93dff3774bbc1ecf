"""Failed runs in words: for terminals, the logs of CI systems and test reports. Each text is bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mambakernels.runs.records import Failure, Run

_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_LINES = 80  # of a traceback or an output; tracebacks of endless recursion have thousands
_CHARACTERS = 8000
_LINE = 300  # characters of a text that has to fit into one line
_RUNS_NAMED = 20
_IN_FULL = 20  # failures of different kinds that are shown in full, and then in one line each
_IN_SHORT = 100


def one_line(text: str) -> str:
    """Return a text's words in one line, shortened."""
    words = " ".join(_printable(text[: 10 * _LINE]).split())
    return words if len(words) <= _LINE else words[: _LINE - 1] + "…"


def middle_left_out(text: str) -> str:
    """Return a text, of a long one its beginning and its end: what it is, and what went wrong."""
    lines = _printable(text).splitlines()
    text = "\n".join(lines)
    if len(lines) > _LINES:
        first = _LINES // 4
        left_out = f"… {len(lines) - _LINES} lines …"
        text = "\n".join([*lines[:first], left_out, *lines[first - _LINES :]])
    if len(text) > _CHARACTERS:
        first = _CHARACTERS // 4
        text = f"{text[:first]}\n… {len(text) - _CHARACTERS} characters …\n{text[first - _CHARACTERS :]}"
    return text


def _printable(text: str) -> str:
    """Return a text in which nothing controls the terminal, and that can be encoded."""
    return _CONTROL.sub("\ufffd", text)


def details(error: Failure) -> Iterator[tuple[str, str]]:
    """Yield what a reader needs to see of a failure, with titles: source, traceback, ends of outputs."""
    parts = (
        (error.place or "the cell", error.source),
        ("traceback", error.traceback),
        ("end of its output", error.output),
        ("standard error", error.stderr),
    )
    yield from ((title, middle_left_out(text)) for title, text in parts if text.strip())


def explain_failures(runs: Iterable[Run]) -> str:
    """Return all that a reader of a log needs to see of failed runs: once what failed in the same way."""
    groups = group_failures(runs)
    full = [f"{group.title}: {explain(group.error)}" for group in groups[:_IN_FULL]]
    short = [f"{group.title}: {one_line(str(group.error))}" for group in groups[_IN_FULL : _IN_FULL + _IN_SHORT]]
    more = len(groups) - len(full) - len(short)
    last = [f"and {more} more failures, which are in the executed notebooks"] if more else []
    return "\n\n".join([*full, "\n".join([*short, *last])]).rstrip()


def explain(error: Failure) -> str:
    """Return all that a reader of a log needs to see of a failure, after a line that says where and what."""
    return "\n".join([one_line(str(error)), *(f"--- {title}\n{text}" for title, text in details(error))])


@dataclass(frozen=True)
class SameFailure:
    """Runs of one notebook that failed in the same way: in the same cell, with the same exception and traceback."""

    runs: Sequence[Run]

    @property
    def error(self) -> Failure:
        """The failure of the first of them."""
        error = self.runs[0].error
        assert error is not None
        return error

    @property
    def title(self) -> str:
        """The notebook and the runs: `study.ipynb failed in 2 runs: np-mkl n=1, np-mkl n=2`."""
        notebook, count = self.runs[0].notebook.name, len(self.runs)
        named = [" ".join(filter(None, (run.kernel, marks(run)))) for run in self.runs[:_RUNS_NAMED]]
        which = ("; " if any("," in name for name in named) else ", ").join(named)
        verb = "was interrupted" if self.runs[0].status == "interrupted" else "failed"
        if count == 1:
            return f"{notebook} {verb} on {which}"
        more = f" and {count - _RUNS_NAMED} more" if count > _RUNS_NAMED else ""
        return f"{notebook} {verb} in {count} runs: {which}{more}"


def group_failures(runs: Iterable[Run]) -> list[SameFailure]:
    """Return the failed and interrupted runs in groups of those that failed in the same way, in order."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        if run.error is not None:
            error = run.error
            key = (run.notebook, error.cell, error.ename, error.evalue, error.source, error.traceback)
            groups.setdefault(key, []).append(run)
    return [SameFailure(group) for group in groups.values()]


def marks(run: Run) -> str:
    """Return what distinguishes a run from others of its notebook and kernel, such as `n=512,dtype=f4`."""
    return marks_in(run.path.name, run.notebook, run.kernel)


def marks_in(name: str, notebook: Path, kernel: str) -> str:
    """Return what is left of a record's name without its notebook and kernel."""
    return name.removesuffix(".ipynb").removeprefix(f"{notebook.stem}.{kernel}").removeprefix(".")
