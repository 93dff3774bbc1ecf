"""One HTML file that tells a whole comparison: the machine, what ran, how fast, how trustworthy, and what failed."""

from __future__ import annotations

import base64
import datetime as dt
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mambakernels.bench.controls import check_controls
from mambakernels.bench.summaries import libraries, summary, wide
from mambakernels.runs.records import Run
from mambakernels.system.files import write_atomically

if TYPE_CHECKING:
    from pandas import DataFrame

    from mambakernels.plots import SheetName, Theme

Row = Mapping[str, Any]
Cells = Sequence[str]

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))

_FACTS = {
    "cpu": "Processor",
    "cores": "Cores",
    "system": "System",
    "host": "Host",
    "numpy": "NumPy",
    "python": "Python",
    "threads": "Threads",
    "notebook": "Notebook",
}
_LIBRARY = {
    "kernel": "Kernel",
    "blas": "BLAS",
    "blas_version": "Version",
    "architecture": "Code path",
    "threads": "Threads",
    "lapack": "LAPACK",
    "library": "File",
}
_NUMBERS = frozenset({"n", "Threads", "Time", "GFLOP/s", "Ratio", "Took"})
_NARROW = "(max-width: 600px)"
_DARK = "(prefers-color-scheme: dark)"
# The first that fits is shown; else the light, wide one.
_SOURCES: tuple[tuple[str, Theme, SheetName], ...] = (
    (f"{_DARK} and {_NARROW}", "dark", "narrow"),
    (_DARK, "dark", "wide"),
    (_NARROW, "light", "narrow"),
)
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #fff; --faint: #d5d9df; --soft: #f5f6f8; --bad: #b3261e;
  --good: #00694d; --link: #0b57a4; --line: #8c959f; --muted: #59636e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #15191e; --faint: #3a424c; --soft: #1d232a;
  --bad: #ff8a80; --good: #2fd6a8; --link: #7cc0ff; --line: #6e7781; --muted: #9da7b3; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem; }
a { color: var(--link); }
h1 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
.scroll th, .scroll td { white-space: nowrap; }
.scroll td.path { font-size: .875rem; }
@media (max-width: 600px) { wbr { display: none; } }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .9rem 1.5rem; }
dt { font-size: .875rem; color: var(--muted); }
dd { margin: 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid var(--faint); vertical-align: top; }
th { background: var(--soft); }
td.number, th.number { text-align: right; }
tbody + tbody { border-top: 2px solid var(--line); }
td.best { font-weight: 700; color: var(--good); }
summary { cursor: pointer; margin-bottom: .5rem; }
.bad { color: var(--bad); font-weight: 600; }
.good { color: var(--good); font-weight: 600; }
img { max-width: 100%; height: auto; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; font-size: .85rem; }
"""


def write_report(frame: DataFrame, runs: Sequence[Run], path: str | os.PathLike[str]) -> Path:
    """Write a self-contained HTML report on the measurements and the runs they come from; return its path.

    It needs nothing from the network; its links lead to the executed notebooks, relative to its own place.
    Raises `StorageError` if it cannot be written; it is there whole or not at all.
    """
    file = Path(path).expanduser().absolute()
    write_atomically(file, render(frame, runs, folder=file.parent).encode())
    return file


def render(frame: DataFrame, runs: Sequence[Run], *, folder: Path) -> str:
    """Return the report as HTML, with links relative to `folder`."""
    title = "BLAS libraries compared"
    measured = (_machine, _libraries, _controls, _plot, _ratios, _figures)
    sections = [part(frame) for part in measured] if len(frame) else ["<p>No measurement was published.</p>"]
    sections += [_runs(runs, folder), _failures(runs)]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n" + "\n".join(sections) + "\n</body>\n</html>\n"
    )


def _machine(frame: DataFrame) -> str:
    facts = {label: ", ".join(map(str, frame[column].dropna().unique())) for column, label in _FACTS.items()}
    known = {label: value for label, value in facts.items() if value}
    items = "".join(f"<div><dt>{label}</dt><dd>{escape(value)}</dd></div>" for label, value in known.items())
    return _section("Machine", f"<dl>{items}</dl>")


def _libraries(frame: DataFrame) -> str:
    rows = [[_fact(name, _text(row[name])) for name in _LIBRARY] for row in _records(libraries(frame))]
    intro = "<p>Read from the running kernel: the libraries it had mapped into memory.</p>"
    return _section("What really ran", intro + _table(_LIBRARY.values(), [rows]))


def _fact(name: str, text: str) -> str:
    """Return a cell; a path may be broken after a slash."""
    if name == "library":
        return f'<td class="path">{escape(text).replace("/", "/<wbr>")}</td>'
    return _td(text, "number" if name == "threads" else "")


def _controls(frame: DataFrame) -> str:
    verdict = check_controls(frame)
    look = {"agree": "good", "differ": "bad", "unknown": ""}[verdict.verdict]
    return _section("Controls", f'<p class="{look}">{escape(verdict.text)}</p>')


def _plot(frame: DataFrame) -> str:
    rated = frame[frame["gflops"].notna()]
    if not len(rated):
        return ""
    sources = "".join(
        f'<source media="{media}" srcset="{_picture(rated, theme, sheet)}">' for media, theme, sheet in _SOURCES
    )
    alt = "GFLOP/s against n, a panel per operation, a line per kernel"
    picture = f'<picture>{sources}<img src="{_picture(rated, "light", "wide")}" alt="{alt}"></picture>'
    return _section("Rates", picture)


def _picture(frame: DataFrame, theme: Theme, sheet: SheetName) -> str:
    from mambakernels.plots import gflops_by_size, png

    picture = png(gflops_by_size(frame, theme=theme, sheet=sheet))
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _ratios(frame: DataFrame) -> str:
    table = wide(frame, "ratio")
    kernels = list(table.columns[3:])
    rows = [[*_key(row), *(_ratio(row[kernel]) for kernel in kernels)] for row in _records(table)]
    intro = "<p>Time over that of the fastest kernel with a right result: 1.00 is the best.</p>"
    return _section(
        "Ratio to the best", intro + _table(["Operation", "dtype", "n", *kernels], _grouped(rows), numbers=kernels)
    )


def _figures(frame: DataFrame) -> str:
    head = ["Operation", "dtype", "n", "Kernel", "Threads", "Time", "GFLOP/s", "Ratio", "Result"]
    rows = [
        [
            *_key(row),
            _td(row["kernel"]),
            _td(_text(row["threads"]), "number"),
            _td(_duration(row["seconds"]), "number"),
            _td(_number(row["gflops"], "{:.3g}"), "number"),
            _ratio(row["ratio"]),
            _td("right", "good") if row["correct"] else _td("wrong", "bad"),
        ]
        for row in _records(summary(frame))
    ]
    return _section(
        "All figures", f"<details><summary>{len(rows)} rows</summary>{_table(head, _grouped(rows))}</details>"
    )


def _runs(runs: Sequence[Run], folder: Path) -> str:
    rows = [
        [
            _td(run.kernel),
            _td(run.status, "good" if run.status == "ok" else "bad"),
            _td(f"{run.seconds:.1f} s", "number"),
            _td(_moment(run.started)),
            f'<td><a href="{_link(run.path, folder)}">{escape(run.path.name)}</a></td>',
        ]
        for run in runs
    ]
    head = ["Kernel", "Status", "Took", "Started (UTC)", "Executed notebook"]
    return _section("Runs", _table(head, [rows])) if rows else ""


def _failures(runs: Sequence[Run]) -> str:
    return "".join(_failure(run) for run in runs if run.error)


def _failure(run: Run) -> str:
    error = run.error
    assert error is not None
    parts = {"The cell": error.source, "Traceback": error.traceback, "The kernel's standard error": error.stderr}
    shown = "".join(f"<h3>{name}</h3><pre>{escape(text)}</pre>" for name, text in parts.items() if text)
    return _section(f"Failed: {run.kernel}", f'<p class="bad">{escape(str(error))}</p>{shown}')


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def _table(head: Iterable[str], groups: Iterable[Sequence[Cells]], *, numbers: Collection[str] = ()) -> str:
    """Return a table with a line between groups of rows; the columns titled `numbers` are to the right, too."""
    titles = "".join(_th(title, number=title in _NUMBERS or title in numbers) for title in head)
    body = "\n".join(f"<tbody>\n{''.join(map(_tr, rows))}</tbody>" for rows in groups)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead>\n{body}</table></div>'


def _grouped(rows: Iterable[Cells]) -> list[list[Cells]]:
    """Return the rows in groups with the same first cell."""
    return [list(group) for _, group in groupby(rows, key=lambda cells: cells[0])]


def _tr(cells: Cells) -> str:
    return f"<tr>{''.join(cells)}</tr>\n"


def _th(title: str, *, number: bool) -> str:
    return f'<th class="number">{escape(title)}</th>' if number else f"<th>{escape(title)}</th>"


def _key(row: Row) -> list[str]:
    return [_td(row["operation"]), _td(row["dtype"]), _td(str(row["size"]), "number")]


def _ratio(value: float | None) -> str:
    shown = _number(value, "{:.2f}")
    return _td(shown, "number best" if shown == "1.00" else "number")


def _td(text: str, look: str = "") -> str:
    return f'<td class="{look}">{escape(text)}</td>' if look else f"<td>{escape(text)}</td>"


def _link(path: Path, folder: Path) -> str:
    return escape(quote(Path(os.path.relpath(path, folder)).as_posix()))


def _records(table: DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dicts, None where a value is missing."""
    objects = table.astype(object)
    rows = objects.where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _moment(started: str) -> str:
    """Return a time in ISO 8601 as people write it, in UTC."""
    return f"{dt.datetime.fromisoformat(started).astimezone(dt.timezone.utc):%Y-%m-%d %H:%M:%S}"


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _duration(seconds: float) -> str:
    """Return a time with three digits in the unit that suits it."""
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if seconds >= scale), _UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"
