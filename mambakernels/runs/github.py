"""Runs as GitHub Actions shows them: a summary of a step in Markdown, and annotations of notebooks' files."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mambakernels.errors import MambakernelsError
from mambakernels.runs.failures import SameFailure, details, group_failures, one_line
from mambakernels.runs.notebooks import Json, read_content, read_notebook, source_of, tags_of
from mambakernels.runs.parameters import INJECTED_TAG
from mambakernels.runs.records import Failure, Run

SUMMARY = "GITHUB_STEP_SUMMARY"
ACTIONS = "GITHUB_ACTIONS"

_MOST_BYTES = 1024 * 1024  # of a step's summary: GitHub shows nothing of a longer one
_ROOM = 4096  # for the sentence that says what was left out, and for what others write
_ANNOTATIONS = 10  # of one kind in one step: GitHub drops the others
_TICKS = re.compile("`+")
# The lines of a traceback of IPython that name a cell by its number, and the line in it.
_LINE_IN_CELL = re.compile(r"Cell In\[(\d+)\], line (\d+)")


def append_summary(runs: Sequence[Run], file: Path) -> None:
    """Append a summary of the runs to the step's file, within the size that GitHub takes."""
    room = _MOST_BYTES - _ROOM - (file.stat().st_size if file.exists() else 0)
    with file.open("a", encoding="utf-8", errors="replace") as stream:
        stream.write(summary(runs, most_bytes=max(0, room)))


def summary(runs: Sequence[Run], *, most_bytes: int = _MOST_BYTES) -> str:
    """Return Markdown of at most so many bytes: notebooks by kernels, and the failures with their tracebacks."""
    return "".join(_fitting(_blocks(runs), most_bytes))


def error_commands(runs: Iterable[Run], *, workspace: Path) -> Iterator[str]:
    """Yield a workflow command for each failed run that GitHub shows; files are relative to the `workspace`.

    What failed in the same way is one annotation.
    """
    failed = (run for run in runs if run.status == "failed")  # an interrupted job needs no annotation
    for group in group_failures(failed)[:_ANNOTATIONS]:
        notebook = group.runs[0].notebook
        inside = notebook.is_relative_to(workspace)
        where = {"file": str(notebook.relative_to(workspace) if inside else notebook)}
        line = line_of(group.runs[0])
        if line is not None:
            where["line"] = str(line)
        where["title"] = one_line(group.title)
        properties = ",".join(f"{name}={_property(value)}" for name, value in where.items())
        yield f"::error {properties}::{_data(_message(group.error))}"


def line_of(run: Run, executed: Json | None = None) -> int | None:
    """Return the line in the notebook's file where the run failed; None if it cannot be found.

    The content of the executed notebook is read from the run's record if it is not given.
    """
    error = run.error
    if error is None or error.cell is None:
        return None
    try:
        original, executed = read_notebook(run.notebook), executed or read_content(run.path)
    except MambakernelsError:
        return None
    failed = _in_original(original.content["cells"], executed["cells"], error.cell - 1)
    if failed is None:
        return None
    lines = original.path.read_text(encoding="utf-8", errors="replace")
    return _line_in_file(lines, original.content["cells"], failed, _line_in_cell(error))


def _blocks(runs: Sequence[Run]) -> Iterator[str]:
    counts = Counter(run.status for run in runs)
    said = ", ".join(f"{counts[status]} {status}" for status in sorted(counts, key=lambda one: one == "ok"))
    yield f"## Notebooks\n\n{len(runs)} runs: {said}\n\n" if len(runs) != 1 else f"## Notebooks\n\n1 run: {said}\n\n"
    kernels = list(dict.fromkeys(run.kernel for run in runs))
    yield "| |" + "".join(f" {_cell(kernel)} |" for kernel in kernels) + "\n|---|" + "---|" * len(kernels) + "\n"
    groups: dict[Path, dict[str, list[Run]]] = {}
    for run in runs:
        groups.setdefault(run.notebook, {}).setdefault(run.kernel, []).append(run)
    for notebook, of_kernel in groups.items():
        results = (_outcome(of_kernel.get(kernel, [])) for kernel in kernels)
        yield f"| {_cell(notebook.name)} |" + "".join(f" {result} |" for result in results) + "\n"
    yield from map(_failure_block, group_failures(runs))


def _outcome(runs: Sequence[Run]) -> str:
    failed = [run for run in runs if run.status != "ok"]
    if not runs:
        return ""
    if not failed:
        return f"✅ {len(runs)}" if len(runs) > 1 else f"✅ {runs[0].seconds:.1f} s"
    return f"❌ {len(failed)} of {len(runs)}" if len(runs) > 1 else f"❌ {failed[0].status}"


def _failure_block(group: SameFailure) -> str:
    head = f"{html.escape(one_line(group.title))}<br><code>{html.escape(one_line(str(group.error)))}</code>"
    parts = "".join(f"\n{title}\n\n{_fenced(text)}\n" for title, text in details(group.error))
    return f"\n<details><summary>{head}</summary>\n{parts}\n</details>\n"


def _fitting(blocks: Iterable[str], most_bytes: int) -> Iterator[str]:
    left_out, room = 0, most_bytes
    for block in blocks:
        room -= len(block.encode(errors="replace"))
        if left_out or room < 0:
            left_out += 1
        else:
            yield block
    if left_out:
        yield f"\n{left_out} more are not shown: a summary has at most 1 MiB. The executed notebooks hold them all.\n"


def _cell(text: str) -> str:
    """Return a text as Markdown that fits into a table's cell and means only itself."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~<>&-])", r"\\\1", one_line(text))


def _fenced(text: str) -> str:
    ticks = max((len(found) for found in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}\n{text}\n{fence}"


def _message(error: Failure) -> str:
    return "\n".join([one_line(str(error)), *(text for title, text in details(error) if title == "traceback")])


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _in_original(original: Sequence[Json], executed: Sequence[Json], failed: int) -> int | None:
    """Return the index of an executed notebook's cell in the original, which has not the cell with our parameters."""
    if failed >= len(executed) or INJECTED_TAG in tags_of(executed[failed]):
        return None
    position = sum(INJECTED_TAG not in tags_of(cell) for cell in executed[:failed])
    own = [index for index, cell in enumerate(original) if INJECTED_TAG not in tags_of(cell)]
    same = position < len(own) and source_of(original[own[position]]) == source_of(executed[failed])
    return own[position] if same else None


def _line_in_cell(error: Failure) -> int:
    """Return how many lines of the cell precede the one that failed, as far as the traceback says it."""
    lines = [int(line) for prompt, line in _LINE_IN_CELL.findall(error.traceback) if int(prompt) == error.prompt]
    return lines[-1] - 1 if lines else 0


def _line_in_file(text: str, cells: Sequence[Mapping[str, Any]], wanted: int, offset: int) -> int | None:
    """Return the number of the line of a notebook's file that holds a line of a cell's source."""
    position = 0
    for cell in cells[: wanted + 1]:
        first = source_of(cell).splitlines()[:1]
        start = rf'"source"\s*:\s*\[?\s*"(?:{_json(first)})' if first else r'"source"\s*:'
        found = re.compile(start).search(text, position)
        if found is None:
            return None
        position = found.end()
    number = text.count("\n", 0, position) + 1
    source, lines = source_of(cells[wanted]).splitlines(), text.splitlines()
    there = number + offset <= len(lines) and offset < len(source)
    exact = there and re.search(_json(source[offset : offset + 1]), lines[number + offset - 1])
    return number + offset if exact else number


def _json(lines: Sequence[str]) -> str:
    """Return a pattern for a line of source as JSON writes it, with letters that are not ASCII as such or escaped."""
    forms = {json.dumps("".join(lines), ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return "|".join(map(re.escape, sorted(forms)))
