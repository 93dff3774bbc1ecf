"""The tables of the report: columns that say what they mean, and cells that sort as numbers where they are numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from mambakernels.bench.summaries import libraries, summary, wide
from mambakernels.numeric.formatting import seconds, three_digits
from mambakernels.runs.records import Run
from mambakernels.runs.report import link

_MISSING = "-"


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


def of_rates(frame: DataFrame, *, ranked: bool) -> Table:
    """Return the operations with a column per kernel: GFLOP/s, and if `ranked` the ratio to the fastest."""
    rates, ratios, times = (wide(frame, value) for value in ("gflops", "ratio", "seconds"))
    kernels = [str(name) for name in rates.columns[len(_CASE) :]]
    meaning = "GFLOP/s (the time, where operations are not counted)" + (
        ", then the time relative to the fastest kernel with a right result, which has 1.00" if ranked else ""
    )
    joined = [
        {**rate, "ratio": ratio, "time": time}
        for rate, ratio, time in zip(*map(_rows, (rates, ratios, times)), strict=True)
    ]
    columns = [Column(name, meaning, _rate(name, ranked=ranked), is_number=True) for name in kernels]
    return Table("Operations by kernel", (*_CASE, *columns), joined)


def of_figures(frame: DataFrame, *, ranked: bool) -> Table:
    """Return a row per kernel and operation."""
    columns = (
        *_CASE,
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
        *([_number("ratio", "Ratio", "time relative to the fastest kernel", "{:.2f}".format)] if ranked else []),
        Column("Result", "whether it is as accurate as it must be", _result),
    )
    return Table("Each kernel and operation", columns, _rows(summary(frame)))


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
            "started": _moment(run.started),
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


_CASE = (
    _text("operation", "Operation", "what was timed; `mambakernels.numeric.operations` has its definition"),
    _text("dtype", "dtype", "type of the numbers"),
    _number("size", "n", "matrices are n by n, vectors have n² numbers"),
)


def _rate(kernel: str, *, ranked: bool) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        rate, ratio, time = row[kernel], row["ratio"][kernel], row["time"][kernel]
        if time is None:
            return Cell(_MISSING)
        text = seconds(time) if rate is None else three_digits(rate)
        if not ranked or ratio is None:
            return Cell(text, rate)
        return Cell(f"{text} ({ratio:.2f})", rate, "best" if ratio == 1 else "")

    return cell


def _counted(disturbed: int | None, samples: int) -> Cell:
    return Cell(_MISSING) if disturbed is None else Cell(f"{disturbed} of {samples}", disturbed / samples)


def _result(row: Row) -> Cell:
    return Cell("right", look="good") if row["correct"] else Cell("wrong", look="bad")


def _status(row: Row) -> Cell:
    return Cell(row["status"], look="good" if row["status"] == "ok" else "bad")


def _moment(started: str) -> str:
    """Return an ISO 8601 time in UTC, as people write it."""
    return f"{dt.datetime.fromisoformat(started).astimezone(dt.timezone.utc):%Y-%m-%d %H:%M:%S}"


def _rows(table: DataFrame) -> list[Row]:
    """Return the rows as dicts, None where a value is missing."""
    objects = table.astype(object)
    return [
        {str(name): value for name, value in row.items()}
        for row in objects.where(pd.notna(table), None).to_dict("records")
    ]
