"""Commands that read executed notebooks: collect, measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mambakernels
from mambakernels.cli import bars, tables
from mambakernels.cli.app import AsJson, Quiet, app, print_json
from mambakernels.paths import storage_errors
from mambakernels.system.quantities import amount


@app.command()
def collect(
    paths: Annotated[list[str], typer.Argument(help="Executed notebooks, folders of them, or patterns.")],
    *,
    to: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the table to a .csv, .parquet or .duckdb file.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show the runs of any notebooks as one table.

    It has their status, parameters and recorded results.
    """
    from mambakernels.runs import results

    with bars.progress(quiet=quiet) as progress:
        if to is not None:
            frame = mambakernels.collect(paths, to=to, progress=progress)
        else:
            found = results.rows(paths, progress=progress)
    if to is not None:
        typer.echo(f"{amount(len(frame), 'run')} in {results.target(to)}")
    elif as_json:
        print_json([{name: results.as_json(value) for name, value in row.items()} for row in found])
    else:
        tables.print_runs(found)


@app.command()
@storage_errors
def measurements(
    paths: Annotated[list[str], typer.Argument(help="Executed notebooks, folders of them, or patterns.")],
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .csv or .parquet file to write.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what executed notebooks measured.

    These are the measurements that they published, as a table or as a file.
    """
    frame = mambakernels.measurements(paths)
    if output is not None:
        from mambakernels.bench import published

        published.save(frame, output)
        typer.echo(f"{amount(len(frame), 'measurement')} in {output}")
    elif as_json:
        typer.echo(frame.to_json(orient="records"))
    else:
        tables.print_results(frame)
