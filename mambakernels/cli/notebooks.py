"""Commands that execute notebooks and read their results: demo, run, measurements."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import mambakernels
from mambakernels.cli import bars, tables
from mambakernels.cli.app import (
    AsJson,
    EngineOption,
    KernelsOption,
    ParameterOption,
    Quiet,
    RootOption,
    amount,
    app,
    kernel_names,
    plain,
    print_json,
)
from mambakernels.paths import storage_errors
from mambakernels.runs.values import encode_value

if TYPE_CHECKING:
    from mambakernels.demo import Demo
    from mambakernels.runs.records import Run


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
    from mambakernels.demo import notebook

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
            parameters=mambakernels.parse_parameters(notebook(), parameter or ()),
            progress=progress,
        )
    _show_demo(result, clock)
    result.check()


@app.command()
def run(
    notebooks: Annotated[list[Path], typer.Argument(help="Notebooks or folders of them; they are not changed.")],
    *,
    kernel: KernelsOption = None,
    parameter: ParameterOption = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The folder for the executed notebooks, or its address (s3://…).")
    ] = "runs",
    timeout: Annotated[float | None, typer.Option(help="Seconds that one cell may take.")] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="How many runs execute at once.", show_default="1")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Run on the workers of a Dask scheduler (tcp://…), or local."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Repeat the runs that are done, too.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write each failed notebook as a page, too.")] = False,
    junit: Annotated[Path | None, typer.Option(help="A file for a JUnit report, which CI systems read.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Execute a notebook on each of several kernels. The executed notebooks are kept."""
    kernels = kernel_names(kernel)
    finished: list[Run] = []
    try:
        with bars.progress(quiet=quiet or as_json) as progress:
            runs = mambakernels.run(
                notebooks,
                kernels=kernels,
                parameters=mambakernels.parse_parameters(notebooks[0], parameter or ()),
                output=output,
                jobs=jobs,
                executor=dask,
                timeout=timeout,
                force=force,
                html=html,
                junit=junit,
                on_run=finished.append,
                progress=progress,
            )
    except SystemExit:  # a signal; what is finished stays
        _show_runs(finished, as_json=as_json)
        ended = [run for run in finished if run.status != "interrupted"]
        typer.echo(f"{len(ended)} of {len(kernels)} runs finished. The same command does the rest.", err=as_json)
        raise
    _show_runs(runs, as_json=as_json)
    if any(item.status != "ok" for item in runs):
        raise typer.Exit(1)


@app.command()
def collect(
    paths: Annotated[list[str], typer.Argument(help="Executed notebooks, folders of them, or patterns.")],
    *,
    to: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the table to a .csv, .parquet or .duckdb file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the runs of any notebooks as one table: status, parameters and recorded results."""
    from mambakernels.runs import results

    if to is not None:
        typer.echo(f"{amount(len(mambakernels.collect(paths, to=to)), 'run')} in {results.target(to)}")
        return
    found = results.rows(paths)
    if as_json:
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


def _show_runs(runs: Sequence[Run], *, as_json: bool) -> None:
    from mambakernels.runs.failures import explain_failures

    _show_on_github(runs)
    if as_json:
        print_json([plain(item) | {"parameters": encode_value(item.parameters)} for item in runs])
        return
    rows = [(item.kernel, item.status, f"{item.seconds:.1f} s", str(item.path)) for item in runs]
    tables.print_table(("kernel", "status", "time", "executed notebook"), rows)
    if explained := explain_failures(runs):
        typer.echo(f"\n{explained}", err=True)


def _show_on_github(runs: Sequence[Run]) -> None:
    """Show the runs on the page of the step, and failures at the notebooks' lines, in a step of GitHub Actions."""
    from mambakernels.runs import github

    file = os.environ.get(github.SUMMARY)
    if file:
        github.append_summary(runs, Path(file))
    if os.environ.get(github.ACTIONS) == "true":
        for command in github.error_commands(runs, workspace=Path(os.environ.get("GITHUB_WORKSPACE", Path.cwd()))):
            typer.echo(command, err=True)


def _show_demo(result: Demo, clock: bars.Clock) -> None:
    tables.print_results(result.frame)
    for name, reason in result.missing.items():
        typer.echo(f"Without {name}: {reason}.")
    typer.echo(f"Done in {clock}. Notebooks and results are in {next(iter(result.files.values())).parent}:")
    for path in result.files.values():
        typer.echo(f"  {path.name}")
    typer.echo("Open JupyterLab and choose a kernel: jupyter lab   (if missing: pip install jupyterlab)")
