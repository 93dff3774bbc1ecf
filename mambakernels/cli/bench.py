"""Commands that measure kernels against each other, and draw results: bench, plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mambakernels.cli import tables
from mambakernels.cli.app import AsJson, Quiet, app, print_json

if TYPE_CHECKING:
    from mambakernels.bench.comparison import Comparison
    from mambakernels.plots import Theme

_INTERRUPTED = 130


class Format(str, Enum):
    """Kinds of picture files."""

    png = "png"
    pdf = "pdf"
    svg = "svg"


@app.command()
def bench(
    *,
    kernels: Annotated[str, typer.Option("--kernels", "-k", help="Kernels, the one to compare with first: a,b,c.")],
    ops: Annotated[str, typer.Option("--ops", help="Operations: gemm,svd.")] = "gemm,solve,svd",
    sizes: Annotated[str, typer.Option("--sizes", help="256,512 or 256:4096:log2 or 100:500:100.")] = "256",
    dtypes: Annotated[str, typer.Option("--dtypes", help="float32,float64,complex64,complex128.")] = "float64",
    threads: Annotated[
        str,
        typer.Option("--threads", help="Thread counts: 1,2 (0: as the libraries choose). By default as registered."),
    ] = "",
    budget: Annotated[float, typer.Option("--budget", help="Seconds for everything.")] = 60.0,
    seed: Annotated[int, typer.Option("--seed", help="Of numbers, and of the order of measuring.")] = 0,
    save: Annotated[Path | None, typer.Option("--save", help="A .parquet or .json file for the measurements.")] = None,
    against: Annotated[Path | None, typer.Option("--against", help="A saved file to compare with.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare with what is not comparable.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure operations on several kernels in rounds, and say which is faster, how surely, and why.

    The exit status is 1 if a result is wrong, another library or other threads ran than asked for, or something became
    slower than in the saved comparison.
    """
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet or as_json) as progress:
        found: Comparison = mambakernels.bench(
            _words(kernels),
            operations=_words(ops),
            sizes=sizes,
            dtypes=_words(dtypes),
            threads=threads,
            budget=budget,
            seed=seed,
            save=save,
            against=against,
            force=force,
            progress=progress,
        )
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)
    if found.measured.interrupted:
        raise typer.Exit(_INTERRUPTED)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def plot(
    sources: Annotated[list[str], typer.Argument(help="A file of collect or bench, or executed notebooks.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the pictures.")] = Path(),
    figure: Annotated[
        list[str] | None,
        typer.Option(help="gflops, ratios, threads, roofline, accuracy, paths or summary; may be given again."),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For dark pages.")] = False,
    form: Annotated[Format, typer.Option("--format", help="What kind of file.")] = Format.png,
) -> None:
    """Draw results: rates by size, ratios, threads, roofline, accuracy, code paths, and all of it on a page."""
    import mambakernels

    theme: Theme = "dark" if dark else "light"
    drawn = mambakernels.plot(*sources, output=output, figures=figure or (), theme=theme, format=form.value)
    for file in drawn.files.values():
        typer.echo(str(file))
    for name, why in drawn.left_out.items():
        typer.echo(f"Without {name}: {why}", err=True)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _show(found: Comparison) -> None:
    content = found.as_dict()
    tables.print_table(
        ("operation", "n", "threads", "kernel", "time", "GFLOP/s", "of peak", "of best", "residual", "error", "bits"),
        [_figures(row) for row in content["table"]],
        empty="Nothing was measured.",
    )
    if paired := content["pairs"]:
        tables.print_table(
            ("operation", "n", "threads", "kernel", f"against {paired[0]['reference']}"),
            [(*_case(row), row["kernel"], row["text"]) for row in paired],
        )
    if content["regression"]:
        _show_regression(content["regression"]["rows"])
    for sentence in _sentences(found):
        typer.echo(sentence)


def _show_regression(rows: Sequence[Mapping[str, Any]]) -> None:
    tables.print_table(
        ("operation", "n", "threads", "kernel", "then", "now", "ratio", "verdict"),
        [
            (*_case(row), row["kernel"], _time(row["before"]), _time(row["now"]), f"{row['ratio']:.2f}", row["verdict"])
            for row in rows
        ],
    )


def _sentences(found: Comparison) -> list[str]:
    measured = found.measured
    regression = found.regression
    return [
        f"{measured.rounds} rounds in {measured.seconds:.0f} seconds.",
        *([found.controls.text] if len(found.pairs) else []),
        *(
            []
            if regression is None
            else [regression.text, *(f"Not the same: {text}." for text in regression.differences)]
        ),
        *(item.text for item in found.diagnosis),
        *(f"FAILED ({gate.rule}): {gate.text}" for gate in found.gates),
        *([] if found.saved is None else [f"Saved: {found.saved}"]),
    ]


def _case(row: Mapping[str, Any]) -> tuple[str, str, str]:
    asked = row.get("threads") if "asked" not in row else row["asked"]
    return f"{row['operation']} {row['dtype']}", str(row["size"]), _or_dash(asked, "{}")


def _figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    bits = "same" if row["same_bits"] else "other"
    return (
        f"{row['operation']} {row['dtype']}",
        str(row["size"]),
        _threads(row["asked"], row["threads"]),
        row["kernel"],
        _time(row["seconds"]),
        _or_dash(row["gflops"], "{:.1f}"),
        _or_dash(row["of_peak"], "{:.0%}"),
        _or_dash(row["of_best"], "{:.0%}"),
        f"{row['residual']:.1e}" + ("" if row["correct"] else " WRONG"),
        _or_dash(row["error"], "{:.2g} eps"),
        bits + (", changing" if row["reproducible"] is False else ""),
    )


def _threads(asked: int | None, used: int | None) -> str:
    """Write the threads asked for, and those used where that is something else."""
    if not asked or used is None or asked == used:
        return _or_dash(asked or used, "{}")
    return f"{asked} ({used} used)"


def _or_dash(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)


def _time(seconds: float) -> str:
    from mambakernels.numeric.formatting import seconds as written

    return written(seconds)
