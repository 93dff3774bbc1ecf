"""Making an environment: whole or not at all, and nothing to do if the same one exists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mambakernels import channels, errors
from mambakernels.channels import Channel
from mambakernels.channels.spec_channels import with_named
from mambakernels.engines import Engine, EngineName, Package
from mambakernels.environments import staging
from mambakernels.environments.environment import Environment, Location, read_environment, recover
from mambakernels.environments.linker import linking
from mambakernels.environments.pip_requirements import install_with_pip
from mambakernels.environments.spec import EnvironmentSpec, requested
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.system.locks import locked


def create_environment(
    spec: EnvironmentSpec,
    *,
    root: Root,
    prefix: Path | None = None,
    engine: Engine | None = None,
    replacing: bool = False,
    then: Callable[[Environment], object] | None = None,
    progress: Progress = silent,
) -> Environment:
    """Make an environment, whole or not at all; an existing one made from the same request is returned as it is.

    It is made at `prefix`, by default at its name under the root, by `engine` if one is running already. With
    `replacing`, it takes the place of an existing one. `then` is called with a new environment while its lock is held;
    an interruption until it has ended leaves nothing. Raises InvalidRequestError (name, specs, or a different
    environment there), SolveError with the solver's explanation, ChannelError or EngineError, and leaves nothing.
    """
    place = Location.named(spec.name, root) if prefix is None else Location.at(prefix, root)
    spec = spec.completed()
    spec.report(progress)
    if not replacing and (existing := _existing(spec, place)):
        return existing
    with locked(root, place.lock, progress=progress):
        recover(place)
        if not (replacing and read_environment(place)) and (existing := _existing(spec, place)):
            progress(Event("done", f"{place.name} was made by another process"))
            return existing
        with _undone_if_interrupted(place):
            made = _make(spec, place, engine, progress)
            if then is not None:
                then(made)
        return made


@contextmanager
def _undone_if_interrupted(place: Location) -> Iterator[None]:
    """Discard an environment that has appeared in the block, whose lock is held, if that is interrupted.

    After an error, which is explained, it stays: it is whole.
    """
    was_there = place.prefix.exists()
    try:
        yield
    except Exception:
        raise
    except BaseException:
        if not was_there and place.prefix.exists():
            staging.discard_folder(place.prefix, place.root)
        raise


@storage_errors
def solve(
    specs: Sequence[str] = (),
    *,
    file: PathLike | None = None,
    locked: PathLike | None = None,
    environment: str | None = None,
    engine: EngineName = "auto",
    channel: str | Sequence[str] = (),
    root: PathLike | None = None,
    progress: Progress = silent,
) -> tuple[Package, ...]:
    """Return the packages that `create` would link for these specs or this file; nothing is made.

    `environment` is which of several in a lockfile. Raises InvalidRequestError, SolveError, ChannelError or
    EngineError.
    """
    spec = requested(
        "solve", specs, file=file, locked=locked, environment=environment, channel=channel, engine=engine
    ).completed()
    spec.report(progress)
    if spec.packages:
        return spec.packages
    place = Location.named(spec.name, Root.find(root))
    with linking(place, _channels(spec, place.root), spec.engine, progress) as linker:
        return linker.solve(spec.specs)


def _existing(spec: EnvironmentSpec, place: Location) -> Environment | None:
    found = read_environment(place)
    if found is None and place.prefix.exists():
        raise errors.InvalidRequestError(
            "A folder of that name exists already, and mambakernels did not make it.",
            where=str(place.prefix),
            next_step="Choose another name, or move the folder away.",
        )
    if found is not None and _identity(found) != _identity(spec):
        raise errors.InvalidRequestError(
            f"There is an environment {place.name!r} already, made from other specs: {' '.join(found.specs)}.",
            next_step=f"Add to it: mambakernels install {place.argument} …, choose another name, "
            f"or first: mambakernels remove {place.argument}",
        )
    return found


def _identity(thing: Environment | EnvironmentSpec) -> tuple[frozenset[str], frozenset[str], dict[str, str]]:
    return frozenset(thing.specs), frozenset(thing.pip), dict(thing.variables)


def _make(spec: EnvironmentSpec, place: Location, engine: Engine | None, progress: Progress) -> Environment:
    with linking(place, _channels(spec, place.root), engine or spec.engine, progress) as linker:
        packages = linker.link_exactly(spec.packages) if spec.packages else linker.solve_and_link(spec.specs)
        install_with_pip(
            spec.pip,
            linker.folder,
            place,
            cwd=spec.folder,
            complete=bool(spec.packages),
            progress=linker.progress,
        )
        _set_variables(linker.folder, spec.variables)
        made = Environment(
            name=place.name,
            prefix=place.prefix,
            root=place.root,
            specs=spec.specs,
            channels=linker.urls,
            engine=linker.engine.name,
            packages=packages,
            created="",
            pip=spec.pip,
            variables=spec.variables,
            declared_in=spec.declared_in,
        )
        return staging.settle(linker.folder, made, linker.engine)


def _channels(spec: EnvironmentSpec, root: Root) -> list[Channel]:
    """Return the channels of a request, those that only its specs name among them."""
    chosen = channels.choose_all(spec.channels, root)
    return chosen if spec.packages else with_named(chosen, spec.specs, root)


def _set_variables(prefix: Path, variables: Mapping[str, str]) -> None:
    """Write the environment's variables where every engine looks for them at activation."""
    if variables:
        state = {"env_vars": dict(variables)}
        (prefix / "conda-meta" / "state").write_text(json.dumps(state, indent=1), encoding="utf-8")
