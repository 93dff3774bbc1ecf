"""The tables of the report: columns that say what they mean, and cells that sort as numbers where they are numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from mambakernels.bench.comparison import Comparison
from mambakernels.bench.ranking import fastest
from mambakernels.bench.summaries import KEY, libraries
from mambakernels.numeric.formatting import seconds, three_digits
from mambakernels.runs.records import Run
from mambakernels.runs.report import link
from mambakernels.system.quantities import moment_in_words

_MISSING = "-"
_KEYS = ["asked", *KEY]


@dataclass(frozen=True)
class Cell:
    """What a cell shows, the number it sorts by (None: its text), its class, and the address of its link."""

    text: str
    value: float | None = None
    look: str = ""
    link: str = ""


Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column: its title, what it means, and its cell in a row."""

    title: str
    meaning: str
    cell: Callable[[Row], Cell]
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """Columns, and the rows that they take their cells from; `about` is for those who cannot see the table."""

    about: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    @property
    def cells(self) -> list[list[Cell]]:
        """The cells, row by row."""
        return [[column.cell(row) for column in self.columns] for row in self.rows]

    @property
    def legend(self) -> Mapping[str, str]:
        """The titles of the columns, those with the same meaning together, and what they mean."""
        titles: dict[str, list[str]] = {}
        for column in self.columns:
            titles.setdefault(column.meaning, []).append(column.title)
        return {", ".join(names): meaning for meaning, names in titles.items()}


def of_kernels(frame: DataFrame) -> Table:
    """Return what really ran, a row per kernel."""
    columns = (
        _text("kernel", "Kernel", "name of the kernel, as Jupyter lists it"),
        _text("blas", "BLAS", "the library that was mapped into the kernel's memory when it measured"),
        _text("blas_version", "Version", "of that library, as it reports it"),
        _text("architecture", "Code path", "the processor that the library's code was chosen for"),
        _number("threads", "Threads", "that the library uses, as it reports them"),
        _text("lapack", "LAPACK", "the library with the decompositions"),
        _text("library", "File", "the mapped file", look="path"),
    )
    return Table("The library that each kernel ran", columns, _rows(libraries(frame)))


def of_rates(found: Comparison) -> Table:
    """Return the operations with a column per kernel: GFLOP/s, and its place among the others if they can be ranked."""
    meaning = "GFLOP/s, or the time where operations are not counted"
    if found.conclusion.trusted:
        meaning += "; in brackets, the time relative to the best kernel's, or why it is not compared"
    ranked = found.ranking.assign(fastest=fastest(found.ranking))
    return _side_by_side("Operations by kernel", ranked, meaning, _place)


def of_controls(found: Comparison) -> Table:
    """Return the controls with a column per kernel: the time."""
    controls = found.table[found.table["control"]]
    meaning = "the time, which should be the same in all kernels"
    return _side_by_side(
        "Controls by kernel", controls, meaning, lambda row: Cell(seconds(row["seconds"]), row["seconds"])
    )


def of_figures(found: Comparison) -> Table:
    """Return a row per kernel and operation."""
    ratio = _number("ratio", "Ratio", "time relative to the best kernel's", three_digits)
    columns = (
        *_case(found.table),
        _text("kernel", "Kernel", "name of the kernel"),
        _number("threads", "Threads", "that the library uses"),
        _number("seconds", "Time", "per call: the estimate of how long it takes while nothing else runs", seconds),
        _text("estimator", "Estimated from", "the samples that the time is the lower quartile of"),
        Column(
            "Disturbed samples",
            "those during which other programs took a core away, of all samples",
            lambda row: _counted(row["disturbed"], row["samples"]),
            is_number=True,
        ),
        _number("gflops", "GFLOP/s", "10⁹ floating-point operations per second", three_digits),
        *((ratio,) if found.conclusion.trusted else ()),
        _number("residual", "Residual", "how wrong the result is, relative to its operands", "{:.1e}".format),
        Column("Result", "whether it is as accurate as it must be", _result),
    )
    places = found.ranking[[*_KEYS, "kernel", "ratio"]]
    rows = found.table.merge(places, on=[*_KEYS, "kernel"], how="left")
    return Table("Each kernel and operation", columns, _rows(rows))


def of_runs(runs: Sequence[Run], folder: Path) -> Table:
    """Return a row per run, with links relative to `folder`."""
    columns = (
        _text("kernel", "Kernel", "name of the kernel"),
        Column("Status", "ok, or how the run ended", _status),
        _number("seconds", "Took", "from the kernel's start to the end of the last cell", "{:.1f} s".format),
        _text("started", "Started", "date and time in UTC"),
        Column("Executed notebook", "the notebook with all outputs", lambda row: Cell(row["name"], link=row["link"])),
    )
    rows = [
        {
            "kernel": run.kernel,
            "status": run.status,
            "seconds": run.seconds,
            "started": moment_in_words(run.started),
            "name": run.path.name,
            "link": link(str(run.path), folder),
        }
        for run in runs
    ]
    return Table("Runs", columns, rows)


def _text(name: str, title: str, meaning: str, *, look: str = "") -> Column:
    return Column(title, meaning, lambda row: Cell(_MISSING if row[name] is None else str(row[name]), look=look))


def _number(name: str, title: str, meaning: str, form: Callable[[float], str] = str) -> Column:
    def cell(row: Row) -> Cell:
        value = row[name]
        return Cell(_MISSING) if value is None else Cell(form(value), value)

    return Column(title, meaning, cell, is_number=True)


def _case(table: DataFrame) -> tuple[Column, ...]:
    """Return the columns of what was measured; threads only if several numbers were asked for."""
    asked = _number("asked", "Threads asked for", "how many threads the kernels were started with")
    return (
        _text("operation", "Operation", "what was timed, as mambakernels.numeric.operations defines it"),
        _text("dtype", "dtype", "type of the numbers"),
        _number("size", "n", "matrices are n by n, vectors have n² numbers"),
        *((asked,) if len(set(table["asked"].dropna())) > 1 else ()),
    )


def _side_by_side(about: str, table: DataFrame, meaning: str, cell: Callable[[Row], Cell]) -> Table:
    """Return a row per case and a column per kernel."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _rows(table):
        case = {name: row[name] for name in _KEYS}
        rows.setdefault(tuple(case.values()), {**case, "kernels": {}})["kernels"][row["kernel"]] = row

    def of(kernel: str) -> Callable[[Row], Cell]:
        return lambda row: cell(row["kernels"][kernel]) if kernel in row["kernels"] else Cell(_MISSING)

    kernels = [Column(name, meaning, of(name), is_number=True) for name in dict.fromkeys(map(str, table["kernel"]))]
    return Table(about, (*_case(table), *kernels), list(rows.values()))


def _place(row: Row) -> Cell:
    """Return a row of the ranking as a cell."""
    rate, place = row["gflops"], row["place"]
    text = seconds(row["seconds"]) if rate is None else three_digits(rate)
    if place == "untrusted":
        return Cell(text, rate)
    known = place in {"best", "equal", "slower"}
    look = "best" if row["fastest"] else "bad" * (place == "failed")
    return Cell(f"{text} ({three_digits(row['ratio']) if known else place})", rate, look)


def _counted(disturbed: int | None, samples: int) -> Cell:
    return Cell(_MISSING) if disturbed is None else Cell(f"{disturbed} of {samples}", disturbed / samples)


def _result(row: Row) -> Cell:
    return Cell("right", look="good") if row["correct"] else Cell("wrong", look="bad")


def _status(row: Row) -> Cell:
    return Cell(row["status"], look="good" if row["status"] == "ok" else "bad")


def _rows(table: DataFrame) -> list[Row]:
    """Return the rows as dicts, None where a value is missing."""
    objects = table.astype(object)
    return [
        {str(name): value for name, value in row.items()}
        for row in objects.where(pd.notna(table), None).to_dict("records")
    ]
