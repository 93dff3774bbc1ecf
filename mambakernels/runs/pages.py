"""Executed notebooks as HTML pages, by nbconvert where it is installed."""

from __future__ import annotations

import io
from importlib.util import find_spec

from mambakernels.errors import InvalidRequestError
from mambakernels.runs import outputs
from mambakernels.runs.notebooks import prepare_nbformat
from mambakernels.runs.outputs import Place
from mambakernels.runs.records import Run


def check() -> None:
    """Raise InvalidRequestError if no page can be written: before hours of running."""
    if find_spec("nbconvert") is None:
        raise InvalidRequestError("Pages need nbconvert, which is not installed.", next_step="pip install nbconvert")


def write(run: Run) -> Place:
    """Write the page of a run's executed notebook next to it and return its path."""
    check()
    prepare_nbformat()
    from nbconvert import HTMLExporter

    name = run.path.name.removesuffix(".ipynb")
    executed = io.StringIO(run.path.read_bytes().decode())
    page, _ = HTMLExporter().from_file(executed, resources={"metadata": {"name": name}})  # type: ignore[no-untyped-call]
    target = run.path.parent / f"{name}.html"
    outputs.write(target, page)
    return target
