"""The command `demo`, and what it prints: one table and a few sentences, in at most 40 lines of 80 columns."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import mambakernels
from mambakernels.cli import bars
from mambakernels.cli.app import EngineOption, ParameterOption, Quiet, RootOption, app
from mambakernels.runs.typed import typed_parameters
from mambakernels.system.quantities import amount, moment_in_words

if TYPE_CHECKING:
    from mambakernels.bench.comparison import Comparison
    from mambakernels.demo import Demo

_WIDEST, _NARROWEST = 79, 40
_CELL = 17  # a rate, and its ratio or "undecided"
_RATE = 5
_MOST_ALARMS = 4
_AGAIN = "To measure again: mambakernels demo --again"


@app.command()
def demo(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder for notebooks, results and report.")
    ] = Path("mambakernels-demo"),
    blas: Annotated[list[str] | None, typer.Option(help="Only this BLAS; repeat for several.")] = None,
    engine: EngineOption = "auto",
    channel: Annotated[str, typer.Option("--channel", "-c", help="auto, wheels, conda-forge or a URL.")] = "auto",
    root: RootOption = None,
    parameter: ParameterOption = None,
    budget: Annotated[str, typer.Option(help="The most seconds of measuring, or 2m.")] = "30",
    again: Annotated[bool, typer.Option("--again", help="Measure again, even if there are results.")] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what demos made: environments, kernels, and the output folder.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compare NumPy on every BLAS available here. Makes their environments and kernels, and a report."""
    if clean:
        _clean(output, root)
        return
    clock = bars.Clock()
    with _saying_what_is_there(output, root), bars.progress(quiet=quiet) as progress:
        result = mambakernels.demo(
            output=output,
            blas=blas or (),
            engine=engine,
            channel=channel,
            root=root,
            parameters=typed_parameters(parameter or ()),
            budget=budget,
            again=again,
            progress=progress,
        )
    for line in [*lines(result), f"Done in {clock}."]:
        typer.echo(line)
    if not result.comparison.measured.interrupted:
        result.check()


def lines(result: Demo) -> Iterator[str]:
    """Yield what a demo found, in lines that a terminal of 80 columns holds."""
    comparison = result.comparison
    conclusion, measured = comparison.conclusion, comparison.measured
    yield ""
    for text in result.alarms[:_MOST_ALARMS]:
        yield from _wrapped(f"PROBLEM: {text}")
    if more := len(result.alarms[_MOST_ALARMS:]):
        yield f"… and {amount(more, 'more problem')}; report.html has all of them."
    if not conclusion.trusted:
        yield from _wrapped("\n".join(conclusion.sentences))
        yield _AGAIN
    yield from _table(comparison)
    if conclusion.trusted:
        for text in conclusion.sentences:
            yield from _wrapped(f"- {text}", "  ")
    yield ""
    yield from _wrapped(" ".join(_circumstances(comparison)))
    for name, reason in result.missing.items():
        yield from _wrapped(f"Without {name}: {reason}.")
    if result.measured_before:
        yield f"Measured at {moment_in_words(measured.started)} UTC."
        yield _AGAIN
    if measured.interrupted:
        yield from _wrapped(f"It was interrupted. These figures are in {_short(result.files['comparison'])}.")
        yield _AGAIN
        return
    folder = result.files["report"].parent
    names = [path.name for name, path in result.files.items() if name != "comparison"]
    yield from _wrapped(
        f"In {_short(folder)}: {', '.join(names)}, and {amount(len(result.runs), 'executed notebook')}."
    )
    yield from _wrapped("Open JupyterLab and choose a kernel: jupyter lab   (pip install jupyterlab)")


def _table(comparison: Comparison) -> Iterator[str]:
    """Yield the operations, with a column per kernel: GFLOP/s, and the ratio to the best or why there is none."""
    from mambakernels.bench.ranking import resolved

    ranked = resolved(comparison.ranking)
    shown = ranked[ranked["gflops"].notna() & ~ranked["place"].isin(["disturbed"])]
    kernels = list(dict.fromkeys(shown["kernel"]))
    if not kernels:
        yield "No operation could be measured: other programs disturbed every sample."
        return
    first = shown.iloc[0]
    ratio = ", then the time relative to the best" * comparison.conclusion.trusted
    yield from _wrapped(f"GFLOP/s{ratio}; n = {first['size']}, {first['dtype']}")
    yield ""
    label = max(map(len, shown["operation"])) + 2
    width = _width()
    fitting = max(1, (width - label) // _CELL)
    facts = {kernel.kernel: kernel for kernel in comparison.measured.kernels}
    for start in range(0, len(kernels), fitting):
        chosen = kernels[start : start + fitting]
        for header in zip(*(_header(kernel, facts[kernel].library) for kernel in chosen), strict=True):
            yield _row("", header, label)
        yield "─" * min(width, label + _CELL * len(chosen))
        for operation, rows in shown.groupby("operation", sort=False):
            cells = {str(row["kernel"]): _cell(row) for row in rows.to_dict(orient="records")}
            yield _row(str(operation), [cells.get(kernel, "    -") for kernel in chosen], label)
        yield ""


def _row(name: str, cells: Sequence[str], label: int) -> str:
    return (name.ljust(label) + "".join(cell.ljust(_CELL) for cell in cells)).rstrip()


def _header(kernel: str, library: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what ran in a kernel: its name, the library's version, code path and threads."""
    threads = library.get("threads")
    facts = (
        kernel,
        library.get("version"),
        library.get("architecture"),
        amount(threads, "thread") if threads else None,
    )
    return tuple(str(fact or "-")[: _CELL - 2] for fact in facts)


def _cell(row: Mapping[Any, Any]) -> str:
    from mambakernels.numeric.formatting import three_digits

    rate = three_digits(row["gflops"]).rjust(_RATE)
    if row["place"] == "untrusted":
        return rate
    known = row["place"] in {"best", "equal", "slower"}
    return f"{rate}  {three_digits(row['ratio']) if known else row['place']}"


def _circumstances(comparison: Comparison) -> Iterator[str]:
    """Yield how it was measured, and what kept it from being measured better."""
    from mambakernels.bench.summaries import estimate_in_words

    measured = comparison.measured
    yield f"{amount(measured.rounds, 'round')} in {measured.seconds:.0f} s."
    yield estimate_in_words(comparison.frame)
    yield from measured.notes


def _width() -> int:
    """Return the columns to fill: fewer on a narrow terminal."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns - 1))


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _short(folder: Path) -> str:
    """Return a folder's path relative to where the user is, if it is below."""
    here = Path(os.path.realpath("."))
    real = Path(os.path.realpath(folder))
    if not real.is_relative_to(here) or real == here:
        return str(folder)
    return f"{real.relative_to(here)}{os.sep if real.is_dir() else ''}"


@contextmanager
def _saying_what_is_there(output: Path, root: Path | None) -> Iterator[None]:
    """If a demo is interrupted, say what it has made so far."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        found = mambakernels.demo_belongings(output=output, root=root)
        made = [item.name for item in mambakernels.list(root=root) if item.name in found.environments]
        count = sum(file.suffix == ".ipynb" for file in found.files)
        there = [*made, *([f"{amount(count, 'executed notebook')} in {_short(output)}"] if count else [])]
        typer.echo(f"So far there is: {', '.join(there) or 'nothing'}.", err=True)
        typer.echo("The same command goes on from there; mambakernels demo --clean removes it.", err=True)
        raise


def _clean(output: Path, root: Path | None) -> None:
    """Say what will be removed, and remove it."""
    found = mambakernels.demo_belongings(output=output, root=root)
    if found.environments:
        typer.echo(f"Removing {', '.join(found.environments)}, and their kernels.")
    if found.files:
        typer.echo(f"Removing {amount(len(found.files), 'file')} of the demo in {_short(found.folder)}.")
    if not (found.environments or found.files):
        typer.echo("There is nothing to remove.")
    mambakernels.clean_demo(output=output, root=root)
    if found.kept:
        names = ", ".join(path.relative_to(found.folder).as_posix() for path in found.kept)
        typer.echo(f"Kept in {_short(found.folder)}, as no demo wrote it or it was changed since: {names}")
    for folder in found.elsewhere:
        typer.echo(f"Results of another demo stay in {folder}; to remove them: mambakernels demo --clean -o {folder}")
