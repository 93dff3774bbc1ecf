"""Turn conda environments into Jupyter kernels, and run one notebook on all of them.

`create` makes an environment and registers it as a kernel, `run` executes a notebook on kernels, `collect` reads
what it published into one DataFrame; `demo` does all of it for every BLAS that can be had here.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` would cost more than all of this file
if TYPE_CHECKING:
    from typing import Any

    from mambakernels.api import (
        bench,
        bootstrap,
        build_channel,
        call,
        check_bootstrap,
        clean,
        clean_channel,
        clone,
        collect,
        create,
        describe,
        examine,
        execute,
        export,
        get,
        info,
        init_shell,
        install,
        list_channel,
        list_environments,
        list_kernels,
        lock,
        open_shell,
        parse_parameters,
        plot,
        prune,
        register,
        remove,
        remove_bootstrap,
        rename,
        run,
        solve,
        sync,
        uninstall,
        unregister,
        update,
        verify,
    )
    from mambakernels.demo import clean_demo, demo

__all__ = [
    "bench",
    "bootstrap",
    "build_channel",
    "call",
    "check_bootstrap",
    "clean",
    "clean_channel",
    "clean_demo",
    "clone",
    "collect",
    "create",
    "demo",
    "describe",
    "examine",
    "execute",
    "export",
    "get",
    "info",
    "init_shell",
    "install",
    "list_channel",
    "list_environments",
    "list_kernels",
    "lock",
    "open_shell",
    "parse_parameters",
    "plot",
    "prune",
    "register",
    "remove",
    "remove_bootstrap",
    "rename",
    "run",
    "solve",
    "sync",
    "uninstall",
    "unregister",
    "update",
    "verify",
]
_DEMO = frozenset({"demo", "clean_demo"})


class _Facade(ModuleType):
    """The package as a module whose functions keep their names, next to rooms that are called the same."""

    def __setattr__(self, name: str, value: object) -> None:
        # Python sets a submodule as an attribute once it is imported; `bench`, `demo` and `doctor` stay functions.
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Facade


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import mambakernels` itself loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = import_module("mambakernels.demo" if name in _DEMO else "mambakernels.api")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
