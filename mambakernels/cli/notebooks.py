"""Commands around the lessons' measurements: demo, measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import mambakernels
from mambakernels.cli import bars, tables
from mambakernels.cli.app import AsJson, EngineOption, ParameterOption, Quiet, RootOption, app, print_json
from mambakernels.paths import storage_errors
from mambakernels.runs.typed import typed_parameters
from mambakernels.system.quantities import amount

if TYPE_CHECKING:
    from mambakernels.demo import Demo


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
    clean: Annotated[bool, typer.Option("--clean", help="Remove the environments and kernels of a demo.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare NumPy on every BLAS available here. Makes their environments and kernels, and a report."""
    if clean:
        removed = mambakernels.clean_demo(root=root)
        typer.echo(f"Removed {', '.join(removed)} and their kernels." if removed else "There was nothing to remove.")
        return
    clock = bars.Clock()
    with bars.progress(quiet=quiet) as progress:
        result = mambakernels.demo(
            output=output,
            blas=blas or (),
            engine=engine,
            channel=channel,
            root=root,
            parameters=typed_parameters(parameter or ()),
            progress=progress,
        )
    _show_demo(result, clock)
    result.check()


@app.command()
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
    """Show the runs of any notebooks as one table: status, parameters and recorded results."""
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
    """Show the measurements that executed notebooks published, or write them to a file."""
    frame = mambakernels.measurements(paths)
    if output is not None:
        from mambakernels.bench import published

        published.save(frame, output)
        typer.echo(f"{len(frame)} measurements in {output}")
    elif as_json:
        typer.echo(frame.to_json(orient="records"))
    else:
        tables.print_results(frame)


def _show_demo(result: Demo, clock: bars.Clock) -> None:
    tables.print_results(result.frame)
    for name, reason in result.missing.items():
        typer.echo(f"Without {name}: {reason}.")
    typer.echo(f"Done in {clock}. Notebooks and results are in {next(iter(result.files.values())).parent}:")
    for path in result.files.values():
        typer.echo(f"  {path.name}")
    typer.echo("Open JupyterLab and choose a kernel: jupyter lab   (if missing: pip install jupyterlab)")
