"""JupyterLab's side of mambakernels: panels for notebooks, and JupyterLab with the lessons in a folder.

Nothing here has logic of its own: it calls the same public functions as the command line.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambakernels.lab.explorer import explorer
    from mambakernels.lab.jupyterlab import copy_notebooks, start_jupyterlab
    from mambakernels.lab.manager import manager

__all__ = ["copy_notebooks", "explorer", "manager", "start_jupyterlab"]

# Each public name's module: imported at its first use, as the panels need ipywidgets.
_HOMES = {
    "copy_notebooks": "jupyterlab",
    "explorer": "explorer",
    "manager": "manager",
    "start_jupyterlab": "jupyterlab",
}


class _Facade(ModuleType):
    """The package as a module whose functions keep their names, next to modules of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        # Python sets a module as an attribute once it is imported; they stay functions.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Facade


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
