"""Executed notebooks as HTML pages, by nbconvert where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from mambakernels.errors import InvalidRequestError
from mambakernels.runs.notebooks import prepare_nbformat
from mambakernels.runs.records import Run
from mambakernels.system.files import write_atomically


def check() -> None:
    """Raise InvalidRequestError if no page can be written: before hours of running."""
    if find_spec("nbconvert") is None:
        raise InvalidRequestError("Pages need nbconvert, which is not installed.", next_step="pip install nbconvert")


def write(run: Run) -> Path:
    """Write the page of a run's executed notebook next to it and return its path."""
    check()
    prepare_nbformat()
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_filename(str(run.path))  # type: ignore[no-untyped-call]
    target = run.path.with_suffix(".html")
    write_atomically(target, page)
    return target
