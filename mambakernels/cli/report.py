"""The command that makes a page of runs: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mambakernels
from mambakernels.cli import bars
from mambakernels.cli.app import ParameterOption, Quiet, app
from mambakernels.runs.typed import typed_parameters


@app.command()
def report(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Executed notebooks, folders of them, or patterns.", show_default=False)
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="The title of the page.")] = "Runs",
    template: Annotated[
        Path | None, typer.Option(help="Make the page from this notebook of yours.", show_default=False)
    ] = None,
    parameter: ParameterOption = None,
    notebook: Annotated[
        Path | None,
        typer.Option(
            help="Only write the notebook that makes the page to this file, for changing.", show_default=False
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make a page of runs, failures first.

    It shows what ran where, results as a table and pictures, and links to the notebooks.
    """
    if notebook is not None:
        written = mambakernels.report_notebook(notebook)
        typer.echo(f"{written} makes the page. To use it: mambakernels report runs --template {notebook}")
        return
    with bars.progress(quiet=quiet) as progress:
        page = mambakernels.report(
            paths or ["runs"],
            output=output,
            title=title,
            template=template,
            parameters=typed_parameters(parameter or ()),
            progress=progress,
        )
    typer.echo(f"Report: {page}")
