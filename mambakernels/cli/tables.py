"""Tables on stdout: folded to the width of a terminal, unlimited in a pipe, never cut off."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

_ENDLESS = 10_000  # columns of a pipe
_ROW_NAME_WIDTH, _CELL_WIDTH = 26, 36  # an operation with its n, and one kernel's figures


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "") -> None:
    """Print aligned columns, or the sentence `empty` if there are no rows; wide cells fold."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = _console()
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in header:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(table if table.rows else empty, markup=False, highlight=False)


def print_results(frame: DataFrame) -> None:
    """Print each kernel's library, each operation's time, rate and ratio to the best, and a verdict."""
    from mambakernels.bench import agreement, summaries

    if frame.empty:
        print_table((), (), empty="There are no measurements.")
        return
    ran = summaries.libraries(frame).drop(columns=["numpy", "python"])
    known = ran.astype(object).where(ran.notna(), None)
    libraries = [[_shown(str(name), value) for name, value in row.items()] for row in known.to_dict(orient="records")]
    print_table([_TITLES.get(str(name), str(name)) for name in known], libraries)
    groups = list(summaries.summary(frame).groupby(["operation", "dtype", "size"], sort=False))
    for kernels in _side_by_side(list(dict.fromkeys(frame["kernel"]))):
        rows = [
            (f"{operation} {dtype}", str(size), *(_cell(group, kernel) for kernel in kernels))
            for (operation, dtype, size), group in groups
        ]
        print_table(("operation", "n", *kernels), rows)
    print_table((), (), empty=summaries.estimate_in_words(frame))
    print_table((), (), empty=agreement.check_controls(frame).text)


def print_runs(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a row per run: what it is, its parameters and results; columns without a value are left out."""
    hidden = {"path", "host", "started", *(() if any(row["repeat"] != 1 for row in rows) else ("repeat",))}
    names = [name for name in (rows[0] if rows else ()) if name not in hidden]
    shown = [name for name in names if any(row[name] is not None for row in rows)]
    cells = ([_result(name, row[name]) for name in shown] for row in rows)
    print_table(shown, cells, empty="No notebook there was executed.")


def _result(name: str, value: Any) -> str:
    """Return a value of a run for people; a table or a long list by its size."""
    from mambakernels.runs.results import Table

    if value is None:
        return "-"
    if isinstance(value, Table):
        return f"{len(value.data)} by {len(value.columns)}"
    if isinstance(value, list | dict) and len(str(value)) > _CELL_WIDTH:
        return f"{len(value)} values"
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_TITLES = {"blas_version": "version", "architecture": "code path", "lapack": "LAPACK", "blas": "BLAS"}


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_ENDLESS)


def _side_by_side(kernels: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the kernels in groups that fit next to each other."""
    fitting = max(1, (_console().width - _ROW_NAME_WIDTH) // _CELL_WIDTH)
    for first in range(0, len(kernels), fitting):
        yield kernels[first : first + fitting]


def _shown(column: str, value: Any) -> str:
    """Return a value for people: a file by its name, a dash for an unknown value."""
    if value is None:
        return "-"
    return Path(value).name if column == "library" else str(value)


def _cell(group: DataFrame, kernel: str) -> str:
    """Return a kernel's time, rate and ratio to the best, for one operation and size."""
    from mambakernels.numeric.formatting import seconds, three_digits

    found = group[group["kernel"] == kernel].dropna(axis="columns")
    if found.empty:
        return "-"
    row = found.iloc[0]
    rate = f"{three_digits(row['gflops']):>7} GFLOP/s" if "gflops" in row else " " * 15
    ratio = f"{row['ratio']:6.2f}" if "ratio" in row else " " * 6
    return f"{seconds(row['seconds']):>7} {rate} {ratio}" + ("" if row["correct"] else " WRONG")
