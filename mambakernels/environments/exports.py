"""An environment as text, to be made elsewhere: `environment.yml`, `@EXPLICIT` file or lockfile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mambakernels import channels, engines, errors, paths
from mambakernels.channels import spec_channels
from mambakernels.engines import Engine, EngineName, Package, Request, explicit, lockfile, virtual_packages
from mambakernels.engines.lockfile import Lockfile
from mambakernels.environments.environment import Environment, NameOrPath, get, owned
from mambakernels.environments.linker import NUMERIC
from mambakernels.environments.spec import EnvironmentSpec, requested
from mambakernels.environments.staging import pip_installed
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.system.credentials import Secrets, public

Format = Literal["yml", "specs", "explicit", "lock"]


@storage_errors
def export(name: NameOrPath, *, format: Format = "yml", root: PathLike | None = None) -> str:  # noqa: A002 (as --format)
    """Return an environment as text: `yml` with exact builds, `specs` as requested, `explicit`, or `lock`."""
    environment = get(name, root)
    if format == "lock":
        return lockfile.text(lock_of(environment))
    packages = _packages(environment)
    if format == "explicit":
        return explicit.text(packages, paths.subdir(), notes=_left_out(environment))
    exact = [f"{item.name}={item.version}={item.build}" for item in packages]
    return _yaml(environment, list(environment.specs) if format == "specs" and environment.specs else exact)


@storage_errors
def lock(
    name: NameOrPath = "",
    specs: Sequence[str] = (),
    *,
    output: PathLike,
    file: PathLike | None = None,
    subdirs: Sequence[str] = (),
    engine: EngineName = "auto",
    channel: str | Sequence[str] = (),
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Lockfile:
    """Write a lockfile: of an environment as it is, or of specs or a file, solved for each of `subdirs`.

    If `subdirs` names another platform than this one, the environment's specs are solved again.
    """
    place = Root.find(root)
    if file is not None or specs:
        wanted = {
            subdir: requested(os.fspath(name), specs, file=file, subdir=subdir, channel=channel, engine=engine)
            for subdir in subdirs or (paths.subdir(),)
        }
        locked = _solved(wanted, place, progress)
    elif set(subdirs) <= {paths.subdir()}:
        locked = lock_of(get(name, place))
    else:
        environment = owned(get(name, place))
        spec = requested(environment.name, environment.specs, channel=channel or environment.channels, engine=engine)
        locked = _solved(dict.fromkeys(subdirs, spec), place, progress)
    lockfile.write(Path(output), locked)
    return locked


def lock_of(environment: Environment) -> Lockfile:
    """Return the lock of an environment as it is; InvalidRequestError if pip installed packages into it."""
    if extra := pip_installed(environment.prefix):
        raise errors.InvalidRequestError(
            f"pip installed {', '.join(sorted(extra))} into {environment.name!r}, "
            "and a lockfile cannot list pip packages.",
            where=str(environment.prefix),
            next_step=f"Export it instead: mambakernels export {environment.place.argument} --format yml",
        )
    urls = environment.channels or tuple(dict.fromkeys(item.url.rsplit("/", 2)[0] for item in _packages(environment)))
    return Lockfile(urls, {paths.subdir(): _packages(environment)}, {})


def _left_out(environment: Environment) -> list[str]:
    """Return notes on what a list of packages cannot hold."""
    found = {"by pip": sorted(pip_installed(environment.prefix)), "variables": sorted(environment.variables)}
    return [f"not in this list, {kind}: {' '.join(names)}" for kind, names in found.items() if names]


def _solved(wanted: Mapping[str, EnvironmentSpec], root: Root, progress: Progress) -> Lockfile:
    """Solve the request for each subdir, assuming the usual virtual packages of the others."""
    specs = {subdir: spec.completed() for subdir, spec in wanted.items()}
    spec = next(iter(specs.values()))
    spec.report(progress)
    if spec.pip:
        raise errors.InvalidRequestError(
            "A `pip:` section cannot be locked.", next_step="Name those packages as match specs, or leave them out."
        )
    everything = tuple(dict.fromkeys(text for item in specs.values() for text in item.specs))
    chosen = spec_channels.with_named(channels.choose_all(spec.channels, root), everything, root)
    secrets = Secrets.of(channel.url for channel in chosen)
    progress = secrets.hidden_in(progress)
    with secrets.hidden_in_errors():
        engine, why = engines.choose(spec.engine, root, progress=progress)
        progress(Event("engine", why))
        for channel in chosen:
            progress(Event("channel", channel.why))
            channels.provide(channel, root, everything, progress=progress)
        packages: dict[str, tuple[Package, ...]] = {}
        with closing(engine):
            for subdir, here in specs.items():
                progress(Event("lock", subdir))
                assumed = virtual_packages.assumed(subdir)
                if assumed:
                    progress(Event("note", virtual_packages.said(subdir, assumed)))
                request = Request(
                    spec_channels.resolved(here.specs, root),
                    tuple(item.url for item in chosen),
                    subdir,
                    assumed,
                )
                packages[subdir] = _solved_for(engine, request, root, progress)
    return Lockfile(tuple(public(channel.url) for channel in chosen), _public(packages, secrets), {})


def _solved_for(engine: Engine, request: Request, root: Root, progress: Progress) -> tuple[Package, ...]:
    """Solve for one subdir, which an error names."""
    try:
        return engine.solve(request, cache=root.packages, progress=progress)
    except errors.SolveError as error:
        place = f"{request.subdir} of {', '.join(request.channels)}"
        raise errors.SolveError(
            error.what, where=place, next_step="Add a channel that has these packages for that platform: --channel."
        ) from error


def _packages(environment: Environment) -> tuple[Package, ...]:
    """Return the packages with their records, without the one that mambakernels adds itself."""
    return tuple(item for item in engines.installed(environment.prefix) if item.name != NUMERIC)


def _public(packages: dict[str, tuple[Package, ...]], secrets: Secrets) -> dict[str, tuple[Package, ...]]:
    return {
        subdir: tuple(replace(item, url=secrets.hide(item.url)) for item in found) for subdir, found in packages.items()
    }


def _yaml(environment: Environment, specs: Sequence[str]) -> str:
    from mambakernels.system import yaml

    pip = sorted(
        f"{name}=={_version(environment, folder)}" for name, folder in pip_installed(environment.prefix).items()
    )
    content: dict[str, object] = {"name": environment.name}
    if environment.channels:
        content["channels"] = list(environment.channels)
    content["dependencies"] = [*specs, {"pip": pip}] if pip else list(specs)
    if environment.variables:
        content["variables"] = dict(environment.variables)
    return yaml.dump(content)


def _version(environment: Environment, folder: str) -> str:
    """Return the version in the name of a `NAME-VERSION.dist-info` folder."""
    return Path(environment.prefix / folder).name.removesuffix(".dist-info").rpartition("-")[2]
