"""Environments as Jupyter kernels: registered, listed, kept up to date with their environment, removed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambakernels.kernels.lifecycle import register
    from mambakernels.kernels.registered import (
        check_name,
        copy,
        list_kernels,
        move,
        prune,
        refresh,
        unregister,
        unregister_all,
    )
    from mambakernels.kernels.specs import KernelSpec

__all__ = [
    "KernelSpec",
    "check_name",
    "copy",
    "move",
    "prune",
    "refresh",
    "register",
    "unregister",
    "unregister_all",
]

# Each name's module and its name there. Imported at the first use: `run` needs none of what registers kernels.
_HOMES = {
    **{name: ("registered", name) for name in __all__},
    "KernelSpec": ("specs", "KernelSpec"),
    "register": ("lifecycle", "register"),
    "list": ("registered", "list_kernels"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _HOMES[name]
    return getattr(import_module(f"{__name__}.{module}"), there)


if TYPE_CHECKING:
    # The public name, mambakernels.kernels.list; mypy meets it in a cycle.
    list = list_kernels  # type: ignore[has-type]  # noqa: A001
