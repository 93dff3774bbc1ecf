"""Commands that execute notebooks and read what they published: demo, run, collect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mambakernels.cli import tables
from mambakernels.cli.app import (
    AsJson,
    EngineChoice,
    EngineOption,
    ParameterOption,
    Quiet,
    RootOption,
    app,
    plain,
    print_json,
)

if TYPE_CHECKING:
    from mambakernels.demo import Demo
    from mambakernels.runs.records import Run


@app.command()
def demo(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where results go.")] = Path("mambakernels-demo"),
    blas: Annotated[list[str] | None, typer.Option(help="Only this BLAS; may be given again.")] = None,
    engine: EngineOption = EngineChoice.auto,
    channel: Annotated[str, typer.Option("--channel", "-c", help="auto, wheels, conda-forge, a URL.")] = "auto",
    root: RootOption = None,
    parameter: ParameterOption = None,
    clean: Annotated[bool, typer.Option("--clean", help="Remove what an earlier demo made.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare NumPy on every BLAS that can be had here: environments, kernels, one notebook on all, a report."""
    import mambakernels
    from mambakernels.cli import bars
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
            engine=engine.value,
            channel=channel,
            root=root,
            parameters=mambakernels.parse_parameters(notebook(), parameter or ()),
            progress=progress,
        )
    _show_demo(result, clock)
    result.check()


@app.command()
def run(
    notebook: Path,
    *,
    kernel: Annotated[list[str], typer.Option("--kernel", "-k", help="A kernel to run it on; may be given again.")],
    parameter: ParameterOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the executed notebooks go.")] = Path(),
    timeout: Annotated[float | None, typer.Option(help="Seconds that one cell may take.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out runs whose record is there.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Execute a notebook on each kernel, with parameters, and keep the executed notebooks."""
    import mambakernels
    from mambakernels.cli import bars

    with bars.progress(quiet=quiet or as_json) as progress:
        runs = mambakernels.run(
            notebook,
            kernels=kernel,
            parameters=mambakernels.parse_parameters(notebook, parameter or ()),
            output=output,
            timeout=timeout,
            resume=resume,
            progress=progress,
        )
    if as_json:
        print_json([plain(item) for item in runs])
    else:
        _show_runs(runs)
    if any(item.status != "ok" for item in runs):
        raise typer.Exit(1)


@app.command()
def collect(
    notebooks: Annotated[list[str], typer.Argument(help="Executed notebooks, folders of them, or patterns.")],
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .csv or .parquet file to write.")] = None,
    as_json: AsJson = False,
) -> None:
    """Collect the measurements of executed notebooks into one table."""
    import mambakernels

    frame = mambakernels.collect(*notebooks)
    if output is not None:
        from mambakernels.bench import measurements

        measurements.save(frame, output)
        typer.echo(f"{len(frame)} measurements in {output}")
    elif as_json:
        typer.echo(frame.to_json(orient="records"))
    else:
        tables.print_results(frame)


def _show_runs(runs: Sequence[Run]) -> None:
    rows = [(item.kernel, item.status, f"{item.seconds:.1f} s", str(item.path)) for item in runs]
    tables.print_table(("kernel", "status", "time", "executed notebook"), rows, empty="")
    for item in runs:
        if item.error is not None:
            typer.echo(f"{item.kernel}: {item.error}", err=True)
            if item.error.stderr:
                typer.echo(f"{item.kernel} said on stderr:\n{item.error.stderr}", err=True)


def _show_demo(result: Demo, clock: Any) -> None:
    tables.print_results(result.frame)
    for name, reason in result.missing.items():
        typer.echo(f"Without {name}: {reason}.")
    typer.echo(f"Done in {clock}. Notebooks and results are in {next(iter(result.files.values())).parent}:")
    for path in result.files.values():
        typer.echo(f"  {path.name}")
    typer.echo("Open JupyterLab and choose a kernel: jupyter lab   (if missing: pip install jupyterlab)")
