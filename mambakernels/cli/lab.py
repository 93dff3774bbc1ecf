"""The command that starts JupyterLab with the lessons: lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mambakernels
from mambakernels.cli.app import Quiet, RootOption, app


@app.command()
def lab(
    folder: Annotated[
        Path, typer.Argument(help="The folder to serve; if it is empty or new, it gets the notebooks.")
    ] = Path(),
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTION…]", help="More options for JupyterLab, after --.", show_default=False),
    ] = None,
    *,
    port: Annotated[
        int | None, typer.Option(help="The port; by default 8888, or the next free one.", show_default=False)
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the start page in a browser.")] = True,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Start JupyterLab with the lessons.

    It opens their start page. Ctrl-C ends it.
    """
    if str(folder).startswith("-"):
        raise typer.BadParameter(f"Name the folder before the options for JupyterLab: lab . -- {folder}")
    copied = mambakernels.lab.copy_notebooks(folder)
    if not quiet:
        typer.echo(
            f"The notebooks are in {folder}."
            if copied
            else f"{folder} is not empty, so nothing was copied to it. For the notebooks: mambakernels lab NEW_FOLDER",
            err=True,
        )
    raise typer.Exit(
        mambakernels.lab.start_jupyterlab(folder, port=port, browser=browser, options=options or (), root=root)
    )
