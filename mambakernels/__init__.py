"""Turn conda environments into Jupyter kernels, and run one notebook on all of them.

`create` makes an environment and registers it as a kernel, `run` executes a notebook on kernels, `collect` reads the
results into one DataFrame. `bench` compares kernels with each other, and `demo` does all of it for every BLAS
available here.
"""

from __future__ import annotations

import sys
from types import ModuleType

# The public names are stated twice: here for type checkers and editors, which read no table, and in `_HOMES`, which
# imports a name at its first use. A test keeps the two equal: tests/test_imports.py, test_types_and_table_agree.
TYPE_CHECKING = False  # type checkers take it for true; importing `typing` would cost more than the rest of this file
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mambakernels import bootstrap as bootstrap
    from mambakernels import errors as errors
    from mambakernels import kernels as kernels
    from mambakernels import lab as lab
    from mambakernels import plots as plots
    from mambakernels.activation.programs import call as call
    from mambakernels.activation.programs import exec as exec  # noqa: A004
    from mambakernels.activation.programs import shell as shell
    from mambakernels.activation.shell_init import shell_init as shell_init
    from mambakernels.bench.comparing import compare as compare
    from mambakernels.bench.comparison import bench as bench
    from mambakernels.bench.published import measurements as measurements
    from mambakernels.channels import channel as channel
    from mambakernels.demo import demo as demo
    from mambakernels.demo.belongings import clean_demo as clean_demo
    from mambakernels.demo.belongings import demo_belongings as demo_belongings
    from mambakernels.doctor.examination import doctor as doctor
    from mambakernels.environments import list as list  # noqa: A004
    from mambakernels.environments.creation import solve as solve
    from mambakernels.environments.environment import Environment as Environment
    from mambakernels.environments.environment import get as get
    from mambakernels.environments.exports import export as export
    from mambakernels.environments.exports import lock as lock
    from mambakernels.environments.information import info as info
    from mambakernels.environments.verification import verify as verify
    from mambakernels.kernels.lifecycle import clean as clean
    from mambakernels.kernels.lifecycle import clone as clone
    from mambakernels.kernels.lifecycle import create as create
    from mambakernels.kernels.lifecycle import describe as describe
    from mambakernels.kernels.lifecycle import install as install
    from mambakernels.kernels.lifecycle import remove as remove
    from mambakernels.kernels.lifecycle import rename as rename
    from mambakernels.kernels.lifecycle import uninstall as uninstall
    from mambakernels.kernels.lifecycle import update as update
    from mambakernels.lab.magics import load_ipython_extension as load_ipython_extension
    from mambakernels.lab.magics import unload_ipython_extension as unload_ipython_extension
    from mambakernels.plots.plotting import plot as plot
    from mambakernels.projects.sync import sync as sync
    from mambakernels.record import record as record
    from mambakernels.runs.execute import run as run
    from mambakernels.runs.matrix_toml import read_matrix as read_matrix
    from mambakernels.runs.parameters import parameters as parameters
    from mambakernels.runs.preview import plan as plan
    from mambakernels.runs.report import report as report
    from mambakernels.runs.report import report_notebook as report_notebook
    from mambakernels.runs.results import collect as collect
    from mambakernels.sessions.kernel_session import session as session

    __version__: str

# Public name → its home: a module, or an attribute of one.
_HOMES = {
    # environments
    "Environment": "environments.environment:Environment",
    "create": "kernels.lifecycle:create",
    "solve": "environments.creation:solve",
    "get": "environments.environment:get",
    "list": "environments:list",
    "describe": "kernels.lifecycle:describe",
    "install": "kernels.lifecycle:install",
    "update": "kernels.lifecycle:update",
    "uninstall": "kernels.lifecycle:uninstall",
    "clone": "kernels.lifecycle:clone",
    "rename": "kernels.lifecycle:rename",
    "remove": "kernels.lifecycle:remove",
    "verify": "environments.verification:verify",
    "export": "environments.exports:export",
    "lock": "environments.exports:lock",
    "clean": "kernels.lifecycle:clean",
    "sync": "projects.sync:sync",
    "exec": "activation.programs:exec",
    "call": "activation.programs:call",
    "shell": "activation.programs:shell",
    "shell_init": "activation.shell_init:shell_init",
    # kernels: register, list, unregister, prune
    "kernels": "kernels",
    "doctor": "doctor.examination:doctor",
    "session": "sessions.kernel_session:session",  # kernels that stay alive side by side
    # runs and results
    "run": "runs.execute:run",
    "plan": "runs.preview:plan",
    "read_matrix": "runs.matrix_toml:read_matrix",
    "parameters": "runs.parameters:parameters",
    "record": "record:record",
    "collect": "runs.results:collect",
    "report": "runs.report:report",
    "report_notebook": "runs.report:report_notebook",
    "measurements": "bench.published:measurements",
    "bench": "bench.comparison:bench",
    "compare": "bench.comparing:compare",
    "plot": "plots.plotting:plot",
    "plots": "plots",
    "demo": "demo:demo",
    "clean_demo": "demo.belongings:clean_demo",
    "demo_belongings": "demo.belongings:demo_belongings",
    # JupyterLab's side
    "lab": "lab",  # manager, start_jupyterlab, copy_notebooks
    "load_ipython_extension": "lab.magics:load_ipython_extension",  # %load_ext mambakernels
    "unload_ipython_extension": "lab.magics:unload_ipython_extension",
    # where packages and programs come from
    "bootstrap": "bootstrap",  # install, check, remove
    "channel": "channels.channel",  # build, list, clean
    "info": "environments.information:info",
    "errors": "errors",
}
_SHADOWING = {"exec", "list"}  # builtins: for attribute access, not for a star import
_FUNCTIONS = {name for name, home in _HOMES.items() if ":" in home}

__all__ = [  # noqa: PLE0604 (all are strings)
    "__version__",
    *sorted(_HOMES.keys() - _SHADOWING),
]


class _Facade(ModuleType):
    """The package as a module whose functions keep their names, next to subpackages of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        # Python sets a submodule as an attribute once it is imported; `bench`, `demo` and `doctor` stay functions.
        if not (name in _FUNCTIONS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Facade


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import mambakernels` itself loads nothing."""
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version  # slow: not for every name

        return version("mambakernels")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    home = import_module(f"{__name__}.{module}")
    return getattr(home, attribute) if attribute else home


def __dir__() -> Iterable[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
