"""Commands that compare kernels and draw results: bench, plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import mambakernels
from mambakernels.cli import bars, tables
from mambakernels.cli.app import AsJson, KernelsOption, Quiet, app, kernel_names, print_json

if TYPE_CHECKING:
    from mambakernels.bench.comparison import Comparison


@app.command()
def bench(
    *,
    kernel: KernelsOption = None,
    operations: Annotated[str, typer.Option(help="Operations, such as gemm,svd.")] = "gemm,solve,svd",
    code: Annotated[str | None, typer.Option(help="Code of your own to measure instead, such as 'a @ a'.")] = None,
    setup: Annotated[
        str | None, typer.Option(help="What runs before the code and is not measured; n is the size there.")
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="256,512 or 256:4096:log2 or 100:500:100; by default 256, for --code none.")
    ] = None,
    dtypes: Annotated[str, typer.Option(help="Any of float32,float64,complex64,complex128.")] = "float64",
    threads: Annotated[
        str, typer.Option(help="Thread counts, such as 1,2 (0: the libraries choose); by default as registered.")
    ] = "",
    budget: Annotated[str, typer.Option(help="Seconds, or 2m, for the whole comparison.")] = "60",
    margin: Annotated[
        str, typer.Option(help="The difference that does not matter: kernels within it are equal.")
    ] = "5%",
    seed: Annotated[int, typer.Option(help="The seed of the numbers and of the order of measuring.")] = 0,
    save: Annotated[Path | None, typer.Option(help="A .parquet or .json file for the measurements.")] = None,
    against: Annotated[Path | None, typer.Option(help="A saved file to compare with.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare even with a file that is not comparable.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare kernels: which is faster, how surely, and why. Operations are measured in rounds, in all kernels in turn.

    The first kernel is the one that the others are compared with.
    The exit status is 1 if a result is wrong, if another library or thread count ran than requested, or if something
    became slower than in the saved comparison.
    """
    kernels, share = kernel_names(kernel), _share(margin)
    if code is None and setup is not None:
        raise typer.BadParameter("there is no --code that it would run before", param_hint="--setup")
    if code is not None and against is not None:
        raise typer.BadParameter("code of your own cannot be compared with a saved file yet", param_hint="--against")
    with bars.progress(quiet=quiet or as_json) as progress:
        common: dict[str, Any] = {
            "threads": threads, "budget": budget, "seed": seed, "save": save, "margin": share, "progress": progress,
        }  # fmt: skip
        if code is None:
            found = mambakernels.bench(
                kernels,
                operations=_words(operations),
                sizes=sizes or "256",
                dtypes=_words(dtypes),
                against=against,
                force=force,
                **common,
            )
        else:
            found = mambakernels.compare(code, kernels=kernels, setup=setup, sizes=sizes or (), **common)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def plot(
    sources: Annotated[list[str], typer.Argument(help="A file of measurements or bench, or executed notebooks.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the figures.")] = Path(),
    figure: Annotated[
        list[str] | None,
        typer.Option(help="gflops, ratios, threads, roofline, accuracy, paths or summary; repeat for several."),
    ] = None,
    theme: Annotated[Literal["light", "dark"], typer.Option(help="The page that the figures are for.")] = "light",
    format: Annotated[Literal["png", "pdf", "svg"], typer.Option(help="The kind of file.")] = "png",  # noqa: A002
) -> None:
    """Draw results as figures. There are seven: see --figure."""
    drawn = mambakernels.plot(*sources, output=output, figures=figure or (), theme=theme, format=format)
    for file in drawn.files.values():
        typer.echo(str(file))
    for name, why in drawn.left_out.items():
        typer.echo(f"Without {name}: {why}", err=True)


def _share(text: str) -> float:
    """Read `5%` or `0.05`."""
    number = text.strip().removesuffix("%")
    try:
        return float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a share, such as 5% or 0.05", param_hint="--margin") from None


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _show(found: Comparison) -> None:
    content = found.as_dict()
    tables.print_table(
        (
            "operation",
            "n",
            "threads",
            "kernel",
            "time",
            "from",
            "disturbed",
            "GFLOP/s",
            "of peak",
            "of best",
            "residual",
            "error",
            "bits",
        ),
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
    for sentence in found.sentences:
        typer.echo(sentence)


def _show_regression(rows: Sequence[Mapping[str, Any]]) -> None:
    tables.print_table(
        ("operation", "n", "threads", "kernel", "then", "now", "ratio", "verdict"),
        [
            (*_case(row), row["kernel"], _time(row["before"]), _time(row["now"]), f"{row['ratio']:.2f}", row["verdict"])
            for row in rows
        ],
    )


def _case(row: Mapping[str, Any]) -> tuple[str, str, str]:
    asked = row.get("threads") if "asked" not in row else row["asked"]
    return *_what(row), _or_dash(asked, "{}")


def _what(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return an operation with its dtype, and its size; code of the user's own may have neither."""
    dtype = "" if row["dtype"] == "-" else f" {row['dtype']}"
    return f"{row['operation']}{dtype}", _or_dash(row["size"] or None, "{}")


def _figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    from mambakernels.numeric.formatting import threads_used

    bits = "same" if row["same_bits"] else "other"
    return (
        *_what(row),
        threads_used(row["asked"], row["threads"]),
        row["kernel"],
        _time(row["seconds"]),
        row["estimator"],
        "-" if row["disturbed"] is None else f"{row['disturbed']} of {row['samples']}",
        "-" if row["gflops"] is None else _rate(row["gflops"]),
        _or_dash(row["of_peak"], "{:.0%}"),
        _or_dash(row["of_best"], "{:.0%}"),
        f"{row['residual']:.1e}" + ("" if row["correct"] else " WRONG"),
        _or_dash(row["error"], "{:.2g} eps"),
        bits + (", changing" if row["reproducible"] is False else ""),
    )


def _or_dash(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)


def _rate(gflops: float) -> str:
    from mambakernels.numeric.formatting import three_digits

    return three_digits(gflops)


def _time(seconds: float) -> str:
    from mambakernels.numeric.formatting import seconds as written

    return written(seconds)
