"""Environments as Jupyter kernels: registered, listed, kept up to date with their environment, removed."""

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
list = list_kernels  # noqa: A001 (the public name: mambakernels.kernels.list)
