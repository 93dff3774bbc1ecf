"""The public functions: what the command line does, each as one call. They report progress and never print."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mambakernels import channels, engines, environments, errors, kernels, paths
from mambakernels.engines import EngineName
from mambakernels.environments import Environment, EnvironmentSpec
from mambakernels.kernels import KernelSpec
from mambakernels.paths import Root
from mambakernels.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from mambakernels.runs.records import Run

PathLike = str | os.PathLike[str]
P = ParamSpec("P")
R = TypeVar("R")


def _translated(function: Callable[P, R]) -> Callable[P, R]:
    """Turn operating-system errors (a full or read-only disk) into StorageError, which says what to do."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            raise errors.from_os_error(error) from error

    return wrapper


@_translated
def create(
    name: str,
    specs: Sequence[str] = (),
    *,
    file: PathLike | None = None,
    engine: EngineName = "auto",
    channel: str | Sequence[str] = (),
    root: PathLike | None = None,
    register: bool = True,
    progress: Progress = silent,
) -> Environment:
    """Make an environment from match specs, an `environment.yml` or both, and register it as Jupyter kernels.

    An environment of that name made from the same specs is returned as it is. `channel` is `auto`, `wheels`,
    `conda-forge`, a URL or a folder, or several of these, the first one first. Raises InvalidRequestError,
    SolveError, ChannelError, EngineError, ActivationError or KernelError; nothing half-made is left then.
    """
    given = environments.read_file(Path(file)) if file is not None else EnvironmentSpec(name, ())
    asked = (channel,) if isinstance(channel, str) else tuple(channel)
    spec = EnvironmentSpec(name or given.name, (*given.specs, *specs), asked or given.channels, engine)
    place = Root.find(root)
    environment = environments.create(spec, root=place, progress=progress)
    if register:
        with environments.held(environment.name, place) as environment:
            kernels.register(environment)
    return environment


@_translated
def get(name: str, *, root: PathLike | None = None) -> Environment:
    """Return the environment of that name; NotFoundError if there is none."""
    return environments.get(name, Root.find(root))


@_translated
def list_environments(*, root: PathLike | None = None) -> list[Environment]:
    """Return all environments under the root, by name."""
    return environments.list_environments(Root.find(root))


@_translated
def remove(name: str, *, root: PathLike | None = None) -> None:
    """Remove an environment and the kernelspecs that point to it, those first."""
    with environments.held(name, Root.find(root)) as environment:
        kernels.unregister(environment=environment)
        environments.discard(environment)


@_translated
def register(
    name: str,
    *,
    kernel: str | None = None,
    display_name: str | None = None,
    env: Mapping[str, str] | None = None,
    root: PathLike | None = None,
) -> list[KernelSpec]:
    """Register an environment's kernels with Jupyter, activated; again after its activation changed.

    `kernel` is the kernelspec's name, by default the environment's; `env` are variables set on top.
    """
    with environments.held(name, Root.find(root)) as environment:
        return kernels.register(environment, name=kernel, display_name=display_name, env=env)


@_translated
def unregister(*names: str) -> None:
    """Remove kernelspecs that mambakernels wrote; the environments stay."""
    kernels.unregister(names)


@_translated
def list_kernels() -> list[KernelSpec]:
    """Return the kernelspecs that mambakernels wrote, by name."""
    return kernels.list_kernels()


@_translated
def run(
    notebook: PathLike,
    *,
    kernels: str | Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    output: PathLike | None = None,
    timeout: float | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> list[Run]:
    """Execute one notebook on each kernel, one after another; see `mambakernels.runs.execute.run`."""
    from mambakernels.runs import execute

    return execute.run(
        notebook,
        kernels=kernels,
        parameters=parameters,
        output=output,
        timeout=timeout,
        resume=resume,
        progress=progress,
    )


@_translated
def parse_parameters(notebook: PathLike, assignments: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` texts as values for a notebook's parameters; InvalidRequestError if one does not fit."""
    from mambakernels.runs import notebooks, parameters

    known = parameters.read_parameters(notebooks.read_notebook(notebook)) if assignments else None
    return {} if known is None else dict(parameters.parse_assignment(text, known) for text in assignments)


@_translated
def collect(*notebooks: PathLike) -> pd.DataFrame:
    """Read executed notebooks (files, folders, patterns) into one DataFrame, a row per measurement."""
    from mambakernels.runs import results

    return results.collect(notebooks)


@_translated
def build_channel(
    specs: Sequence[str] = (), *, update: bool = False, root: PathLike | None = None, progress: Progress = silent
) -> str:
    """Build the `wheels` channel, or add packages to it, and return its URL; `update` looks for newer versions."""
    from mambakernels.channels import wheels

    place = Root.find(root)
    wheels.ensure(place, specs, update=update, progress=progress)
    return wheels.url(place)


@_translated
def list_channel(*, root: PathLike | None = None) -> list[dict[str, Any]]:
    """Return the records of the `wheels` channel's packages (name, version, build, license, size in bytes, …)."""
    from mambakernels.channels import packages, wheels

    found = packages.records(wheels.folder(Root.find(root)), paths.subdir())
    return sorted(({"file": name, **record} for name, record in found.items()), key=lambda item: str(item["file"]))


@_translated
def clean_channel(*, root: PathLike | None = None) -> int:
    """Remove the `wheels` channel and the package cache; return the bytes freed. Environments keep working."""
    from mambakernels.channels import wheels

    return wheels.clean(Root.find(root))


@_translated
def info(*, root: PathLike | None = None) -> dict[str, Any]:
    """Return what mambakernels would use here: places, engine, channels, and which BLAS can be had."""
    import importlib.metadata

    from mambakernels.channels import blas, wheels

    place = Root.find(root)
    engine, why = engines.choose()
    state = wheels.load(place)
    return {
        "version": importlib.metadata.version("mambakernels"),
        "python": platform.python_version(),
        "subdir": paths.subdir(),
        "root": str(place.path),
        "kernels": str(paths.jupyter_data() / "kernels"),
        "engine": f"{engine.name} {engine.version} ({why})",
        "conda_forge": channels.conda_forge(),
        "wheels_channel": wheels.url(place) if state else None,
        "wheels_packages": len(state.files) if state else 0,
        "blas": {item.name: blas.why_not(item) or "available" for item in blas.TABLE},
        "environments": len(environments.list_environments(place)),
    }
