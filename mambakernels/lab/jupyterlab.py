"""JupyterLab, started on a folder that has the lessons."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from mambakernels import errors, paths
from mambakernels.paths import ROOT_VARIABLE, PathLike, Root, storage_errors
from mambakernels.system import process
from mambakernels.system.files import writable_folder, write_atomically

START_PAGE = "00_start_here.ipynb"


@storage_errors
def start_jupyterlab(
    folder: PathLike = ".",
    *,
    port: int | None = None,
    browser: bool = True,
    options: Sequence[str] = (),
    root: PathLike | None = None,
) -> int:
    """Start JupyterLab on a folder, which gets the notebooks first if it is empty, and open the start page.

    On POSIX, JupyterLab becomes this process and nothing returns; elsewhere its exit status is returned. Ctrl-C ends it
    without a question. `port` and `options`, such as `--ip=0.0.0.0`, are passed to it; with `browser=False`, it prints
    its address and opens nothing. Its notebooks use this `root`. Raises NotFoundError if JupyterLab is not installed.
    """
    if find_spec("jupyterlab") is None:
        raise errors.NotFoundError(
            "JupyterLab is not installed in this Python.",
            where=sys.executable,
            next_step='To install it: python -m pip install "mambakernels[lab]"',
        )
    place = paths.absolute(folder)
    copy_notebooks(place)
    words = [f"--ServerApp.root_dir={place}", "--ServerApp.answer_yes=True"]
    if (place / START_PAGE).is_file():
        words.append(f"--LabApp.default_url=/lab/tree/{quote(START_PAGE)}")
    words += [] if port is None else [f"--ServerApp.port={port}"]
    words += [] if browser else ["--no-browser"]
    command = process.module_command("jupyterlab", *words, *options)
    variables = {**os.environ, ROOT_VARIABLE: str(Root.find(root).path)}
    return process.take_over(Path(sys.executable), command, env=variables)


@storage_errors
def copy_notebooks(folder: PathLike) -> int:
    """Copy the notebooks to a folder that is empty or missing, all or none; return the number of files copied."""
    folder = writable_folder(paths.absolute(folder))
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        return 0
    sources = [path for path in sorted(paths.notebooks().iterdir()) if path.is_file()]
    try:
        for source in sources:
            write_atomically(folder / source.name, source.read_bytes())
    except BaseException:
        for source in sources:
            (folder / source.name).unlink(missing_ok=True)
        raise
    return len(sources)
