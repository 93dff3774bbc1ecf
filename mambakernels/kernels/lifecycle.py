"""Environments with their kernels: each change of an environment updates its kernelspecs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mambakernels import environments, errors
from mambakernels.engines import EngineName
from mambakernels.environments import Change, Environment
from mambakernels.kernels import folders, registered, registration
from mambakernels.kernels.packaged_kernelspecs import has_kernel
from mambakernels.kernels.specs import KernelSpec
from mambakernels.paths import PathLike, Root, same_place, storage_errors
from mambakernels.progress import Progress, silent


@storage_errors
def create(
    name: str = "",
    specs: Sequence[str] = (),
    *,
    file: PathLike | None = None,
    locked: PathLike | None = None,
    environment: str | None = None,
    prefix: PathLike | None = None,
    engine: EngineName = "auto",
    channel: str | Sequence[str] = (),
    root: PathLike | None = None,
    register: bool = True,
    progress: Progress = silent,
) -> Environment:
    """Make an environment from match specs, a file or both, and register it as Jupyter kernels.

    `file` is an `environment.yml` (also with a `pip:` section and `variables`), a list of specs, an `@EXPLICIT` file or
    a lockfile; `locked` is a lockfile whose exact packages are linked, those of `environment` if it has several.
    `prefix` is the environment's folder, by default that of its name under the root. If the environment exists and was
    made from the same request, it is returned as it is. `channel` is `auto`, `wheels`, `conda-forge`, a URL, a folder,
    or a sequence of these by priority. Raises InvalidRequestError, SolveError, ChannelError, EngineError,
    ActivationError or KernelError, and leaves nothing half-made.
    """
    at = Root.find(root)
    name = name or (Path(prefix).name if prefix is not None else "")
    spec = environments.requested(
        name, specs, file=file, locked=locked, environment=environment, channel=channel, engine=engine
    )
    folder = None if prefix is None else Path(prefix)
    if register:
        where = environments.Location.at(folder, at) if folder else environments.Location.named(spec.name, at)
        registered.check_name(where.name, where.prefix)
    fresh: list[Environment] = []

    def register_fresh(made: Environment) -> None:
        fresh.append(made)
        _register_new(made)

    made = environments.create_environment(
        spec, root=at, prefix=folder, then=register_fresh if register else None, progress=progress
    )
    if register and not fresh:
        with environments.held(folder or made.name, at) as made:
            _register_new(made)
    return made


@storage_errors
def remove(name: PathLike, *, root: PathLike | None = None) -> None:
    """Remove the kernelspecs that point to an environment, then the environment."""
    with environments.held(name, Root.find(root)) as environment:
        environments.check_unused(environments.owned(environment).place)
        registered.unregister_all(environment)
        environments.discard_environment(environment)


@storage_errors
def install(
    name: PathLike,
    specs: Sequence[str],
    *,
    channel: str | Sequence[str] = (),
    engine: EngineName = "auto",
    dry_run: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Change:
    """Add match specs to an environment with as few other changes as possible, and register its kernels again.

    `channel` is searched before the channels that the environment came from. Raises as `create` does; after an error or
    an interruption, the environment is as it was before.
    """
    return _change_and_refresh(
        name, environments.installing(specs), channel, engine, root, specs=specs, dry_run=dry_run, progress=progress
    )


@storage_errors
def update(
    name: PathLike,
    names: Sequence[str] = (),
    *,
    channel: str | Sequence[str] = (),
    engine: EngineName = "auto",
    dry_run: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Change:
    """Update packages (by default all) and their dependencies to the newest versions that the specs allow.

    Python keeps its minor version unless it is named. Raises as `install` does.
    """
    return _change_and_refresh(
        name, environments.updating(names), channel, engine, root, dry_run=dry_run, progress=progress
    )


@storage_errors
def uninstall(
    name: PathLike,
    names: Sequence[str],
    *,
    engine: EngineName = "auto",
    dry_run: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Change:
    """Remove packages and the dependencies that only they needed; InvalidRequestError if others need them."""
    return _change_and_refresh(
        name, environments.uninstalling(names), (), engine, root, dry_run=dry_run, progress=progress
    )


@storage_errors
def clone(
    name: PathLike,
    new_name: str,
    *,
    engine: EngineName = "auto",
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Environment:
    """Make another environment of the same packages and files, and register the same kernels for it."""
    at = Root.find(root)
    source = environments.get(name, at)
    environments.clone_environment(name, new_name, root=at, engine=engine, progress=progress)
    with environments.held(new_name, at) as made:
        registered.copy(source, made)
    return made


@storage_errors
def rename(
    name: PathLike,
    new_name: str,
    *,
    engine: EngineName = "auto",
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Environment:
    """Give an environment another name: its files are linked again at their new place, its kernels move with it.

    After an interruption it exists under both names; renaming again completes it. InvalidRequestError on Windows while
    a program of the environment is running, such as a kernel.
    """
    at = Root.find(root)
    environments.check_unused(environments.get(name, at).place)
    environments.clone_environment(name, new_name, root=at, engine=engine, progress=progress)
    with environments.held(name, at) as source, environments.held(new_name, at) as made:
        registered.move(source, made)
        environments.discard_environment(source)
    return made


@storage_errors
def describe(name: PathLike, *, root: PathLike | None = None) -> dict[str, Any]:
    """Return an environment's manifest, its size in bytes, the packages that pip added, and its kernels.

    Its own size is what removing it frees; the other files are shared with the package cache.
    """
    environment = environments.get(name, Root.find(root))
    used = environment.disk_usage()
    kernel_names = [
        item.name
        for item in registered.list_kernels(root=environment.root)
        if same_place(item.prefix, environment.prefix)
    ]
    return {
        "name": environment.name,
        "prefix": str(environment.prefix),
        "managed": environment.managed,
        "engine": environment.engine,
        "created": environment.created,
        "blas": environment.blas,
        "size": used.total,
        "own_size": used.own,
        "specs": list(environment.specs),
        "channels": list(environment.channels),
        "variables": dict(environment.variables),
        "kernels": kernel_names,
        "pip": sorted(environments.pip_installed(environment.prefix)),
        "packages": [package.identity for package in environment.packages],
    }


@storage_errors
def register(
    name: PathLike,
    *,
    kernel: str | None = None,
    display_name: str | None = None,
    variant: str | None = None,
    env: Mapping[str, str] | None = None,
    threads: int | None = None,
    jupyter: PathLike = "user",
    add_ipykernel: bool = False,
    numeric: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> list[KernelSpec]:
    """Register an environment's kernels with Jupyter, to start activated; call it again when the activation changes.

    `name` is an environment's, or the path of one that conda, mamba or pixi made. `kernel` is the kernelspec's name,
    by default the environment's; a `variant` adds a dash and its name, for one more kernel of the environment.
    `display_name` is a template; the default is `{environment} · {language} {version} · {blas} · {variant}`;
    `{threads}` and `{kernel}` work too. `env` are variables that override those of the activation. `threads` is the
    number of threads of all numeric libraries; 0 leaves it to them; None allows no more than a container's CPU quota,
    and gives BLIS, which would use one thread, all cores.
    `jupyter` is `user`, `sys-prefix` or a Jupyter data folder. `add_ipykernel` installs ipykernel in an environment
    without a kernel. `numeric` lets the kernel import `mambakernels.numeric` and `mambakernels.lessons`, so that
    lessons run on it; it changes nothing in the environment, as the kernel finds them by its PYTHONPATH.
    """
    at = Root.find(root)
    if numeric:
        env = {**(env or {}), "PYTHONPATH": _with_numeric(env or {}, at)}
    if add_ipykernel:
        _add_ipykernel(name, at, progress)
    with environments.held(name, at) as environment:
        return registration.register_kernels(
            environment,
            name=kernel,
            display_name=display_name,
            variant=variant,
            env=env,
            threads=threads,
            data_dir=folders.data_folder(jupyter),
        )


def clean(
    root: PathLike | None = None, *, everything: bool = False, dry_run: bool = False, progress: Progress = silent
) -> list[environments.Cleaned]:
    """Delete the package cache and the leftovers of killed processes, and return them; environments keep working.

    With `everything`, also what is made or downloaded again when it is needed: the `wheels` channel, micromamba, and
    the code for lessons that no registered kernel uses. Only environments are left, with their kernels and locks;
    without any, nothing is. Waits for processes that use these folders.
    """
    place = Root.find(root)
    unused = _unused_numeric(place) if everything else []
    return environments.clean_root(place, everything=everything, dry_run=dry_run, unused=unused, progress=progress)


def _unused_numeric(root: Root) -> list[Path]:
    paths = {spec.variables.get("PYTHONPATH", "") for spec in registered.list_kernels(root=root)}
    used = {entry for path in paths for entry in path.split(os.pathsep)}
    there = sorted(root.numeric.iterdir()) if root.numeric.is_dir() else []
    return [folder for folder in there if not any(same_place(folder, Path(entry)) for entry in used if entry)]


def _with_numeric(env: Mapping[str, str], root: Root) -> str:
    """Return a PYTHONPATH with the code that lessons and measurements import, before what was asked for."""
    from mambakernels.channels import numeric_package

    asked = env.get("PYTHONPATH")
    return os.pathsep.join([str(numeric_package.importable(root)), *([asked] if asked else [])])


def _add_ipykernel(name: PathLike, root: Root, progress: Progress) -> None:
    """Install ipykernel in one of our environments that has no kernel."""
    environment = environments.get(name, root)
    if not has_kernel(environment):
        environments.owned(environment)
        environments.change(name, environments.installing(["ipykernel"]), root=root, progress=progress)


def _register_new(environment: Environment) -> None:
    """Register the kernels of a new environment; an error adds that the environment exists.

    An interruption leaves no kernels.
    """
    try:
        registration.register_kernels(environment)
    except errors.MambakernelsError as error:
        again = f"The environment exists; once that is repaired: mambakernels register {environment.place.argument}"
        error.next_step = "\n".join(filter(None, (error.next_step, again)))
        raise
    except (KeyboardInterrupt, SystemExit):
        registered.unregister_all(environment)
        raise


def _change_and_refresh(
    name: PathLike,
    planner: environments.Planner,
    channel: str | Sequence[str],
    engine: EngineName,
    root: PathLike | None,
    *,
    specs: Sequence[str] = (),
    dry_run: bool,
    progress: Progress,
) -> Change:
    """Change an environment, then register its kernels again, in any case: an earlier call may have been killed."""
    at = Root.find(root)
    change = environments.change(
        name, planner, root=at, channel=channel, specs=specs, engine=engine, dry_run=dry_run, progress=progress
    )
    if not dry_run:
        with environments.held(name, at) as environment:
            registered.refresh(environment)
    return change
