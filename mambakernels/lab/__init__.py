"""JupyterLab's side of mambakernels: panels for notebooks, and JupyterLab with the lessons in a folder.

Nothing here has logic of its own: it calls the same public functions as the command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambakernels.lab.jupyterlab import copy_notebooks, start_jupyterlab

__all__ = ["copy_notebooks", "start_jupyterlab"]

# Each public name's module: imported at its first use, as the panels need ipywidgets.
_HOMES = {"copy_notebooks": "jupyterlab", "start_jupyterlab": "jupyterlab"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
