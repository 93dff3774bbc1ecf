"""Changes of an environment: its new packages are planned, linked into a folder next to it, and put in its place.

So a change happens as a whole or not at all. Files that pip or the user added are carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from mambakernels import channels, engines, errors
from mambakernels.channels import Channel
from mambakernels.channels.spec_channels import with_named
from mambakernels.engines import EngineName, Package
from mambakernels.engines.match_spec import name_of
from mambakernels.environments import dependencies, staging
from mambakernels.environments.environment import (
    Environment,
    Location,
    NameOrPath,
    get,
    held,
    owned,
    read_environment,
    recover,
)
from mambakernels.environments.linker import NUMERIC, Linker, linking
from mambakernels.paths import Root, same_place
from mambakernels.progress import Progress, silent
from mambakernels.system.credentials import public
from mambakernels.system.locks import locked


@dataclass(frozen=True)
class Change:
    """An environment before and after a change; after a dry run, as it would be."""

    before: Environment
    after: Environment

    @property
    def added(self) -> tuple[Package, ...]:
        """Packages whose names are new."""
        return _without(self.after.packages, self.before.packages)

    @property
    def removed(self) -> tuple[Package, ...]:
        """Packages whose names are gone."""
        return _without(self.before.packages, self.after.packages)

    @property
    def replaced(self) -> tuple[tuple[Package, Package], ...]:
        """Packages that have another version or build now: before and after."""
        was = {package.name: package for package in self.before.packages}
        return tuple((was[new.name], new) for new in self.after.packages if was.get(new.name, new) != new)

    def __bool__(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class _Plan:
    """The specs of a changed environment, and the packages that satisfy them."""

    specs: tuple[str, ...]
    packages: tuple[Package, ...]


Planner = Callable[[Environment, Linker], _Plan]


def change(
    name: NameOrPath,
    planner: Planner,
    *,
    root: Root,
    channel: str | Sequence[str] = (),
    specs: Sequence[str] = (),
    engine: EngineName = "auto",
    dry_run: bool = False,
    progress: Progress = silent,
) -> Change:
    """Change an environment as a planner says; raises as `create_environment` does, and then nothing has changed.

    `channel` comes before the channels that the environment was made from, those that `specs` name after them.
    """
    with held(name, root, progress=progress) as environment:
        staging.check_unused(owned(environment).place)
        chosen = with_named(_channels(environment, channel), specs, root)
        with linking(environment.place, chosen, engine, progress) as linker:
            plan = planner(environment, linker)
            after = replace(environment, specs=plan.specs, packages=plan.packages, channels=linker.urls)
            if dry_run or after == environment:
                return Change(environment, after)
            return Change(environment, _put(environment, after, linker))


def installing(specs: Sequence[str]) -> Planner:
    """Return a planner that adds match specs with as few other changes as possible.

    Each takes the place of an earlier spec of its name. All other packages are held first, then only those that specs
    name, then only Python's minor version.
    """
    given = [spec.strip() for spec in specs]
    if not given or not all(given):
        raise errors.InvalidRequestError("There is nothing to install.", next_step="Name a match spec: 'pandas>=2'")
    named = {name_of(spec) for spec in given}

    def plan(environment: Environment, linker: Linker) -> _Plan:
        kept = tuple(spec for spec in environment.specs if spec in given or name_of(spec) not in named)
        wanted = (*kept, *(spec for spec in given if spec not in kept))
        return _Plan(wanted, linker.solve(wanted, _holding(environment, free=named, specs=wanted)))

    return plan


def updating(names: Sequence[str] = ()) -> Planner:
    """Return a planner that updates packages.

    It takes the newest versions that the specs allow, of these packages (default: all) and their dependencies. Python
    stays at its minor version unless it is named.
    """

    def plan(environment: Environment, linker: Linker) -> _Plan:
        _check_installed(environment, names)
        packages = _with_records(environment)
        free = (dependencies.closure(packages, names) if names else packages.keys()) - {"python"} | set(names)
        holding = _holding(environment, free=free, specs=environment.specs)
        return _Plan(environment.specs, linker.solve(environment.specs, holding, update=True))

    return plan


def uninstalling(names: Sequence[str]) -> Planner:
    """Return a planner that removes packages and the dependencies that only they needed.

    InvalidRequestError if another package needs them.
    """

    def plan(environment: Environment, linker: Linker) -> _Plan:
        del linker
        _check_installed(environment, names)
        specs = tuple(spec for spec in environment.specs if name_of(spec) not in names)
        packages = _with_records(environment)
        kept = dependencies.remaining(environment, packages, set(map(name_of, specs)), names)
        return _Plan(specs, tuple(package for package in packages.values() if package.name in kept))

    return plan


def repair(
    name: NameOrPath,
    damaged: Collection[str] = (),
    *,
    root: Root,
    engine: EngineName = "auto",
    progress: Progress = silent,
) -> Environment:
    """Link an environment's packages again; files that no package brought stay.

    The `damaged` packages are also unpacked again, as the cache shares its files with the environment.
    """
    with held(name, root, progress=progress) as environment:
        packages = owned(environment).packages
        staging.check_unused(environment.place)
        staging.forget_unpacked([package for package in packages if package.name in damaged], root)
        with linking(environment.place, _channels(environment, ()), engine, progress) as linker:
            return _put(environment, environment, linker)


def clone_environment(
    source: NameOrPath, new_name: str, *, root: Root, engine: EngineName = "auto", progress: Progress = silent
) -> Environment:
    """Make another environment with the same packages and the files that pip or the user added, without solving.

    An existing clone of the same environment is returned as it is.
    """
    place = Location.of(new_name, root)
    if place.prefix.exists():  # before any lock: processes cloning onto each other would otherwise wait forever
        return _same_clone(get(source, root), place)
    with held(source, root, progress=progress) as environment, locked(root, place.lock, progress=progress):
        recover(place)
        if place.prefix.exists():
            return _same_clone(environment, place)
        packages = tuple(_with_records(environment).values())
        mark = _clone_mark(owned(environment))
        with linking(place, _channels(environment, ()), engine, progress) as linker:
            copy = replace(
                environment,
                name=place.name,
                prefix=place.prefix,
                packages=packages,
                cloned_from=mark,
                declared_in=None,
            )
            return _put(environment, copy, linker)


def discard_environment(environment: Environment) -> None:
    """Remove an environment, whose lock is held, in one step, then delete its files."""
    staging.discard_folder(owned(environment).prefix, environment.root)


def _put(old: Environment, new: Environment, linker: Linker) -> Environment:
    """Link the packages of `new` and put them in its place, with the files that no package brought to `old`."""
    staging.check_carriable(old, [package.name for package in new.packages])
    linked = linker.link_exactly(new.packages)
    staging.carry_over(old, linker.folder, new.place)
    return staging.settle(linker.folder, replace(new, packages=linked), linker.engine)


def _clone_mark(environment: Environment) -> str:
    return f"{environment.prefix} {environment.created}"


def _same_clone(source: Environment, place: Location) -> Environment:
    """Return the environment at a location if it is a clone of this one, else raise InvalidRequestError."""
    if same_place(place.prefix, source.prefix):
        raise errors.InvalidRequestError(
            "The environment already has this name.", where=str(place.prefix), next_step="Choose another name."
        )
    there = read_environment(place)
    clear = "move the folder away." if there is None else f"remove it first: mambakernels remove {place.argument}"
    if there is None or there.cloned_from != _clone_mark(source):
        raise errors.InvalidRequestError(
            f"The name {place.name!r} is taken already.",
            where=str(place.prefix),
            next_step=f"Choose another name, or {clear}",
        )
    return there


def _channels(environment: Environment, given: str | Sequence[str]) -> list[Channel]:
    """Return the given channels, followed by those that the environment was made from."""
    named = channels.choose_all(given, environment.root)
    urls = {public(channel.url) for channel in named}
    return named + [channels.reopen(url, environment.root) for url in environment.channels if url not in urls]


def _with_records(environment: Environment) -> dict[str, Package]:
    """Return the packages with their records from `conda-meta`, by name."""
    return {package.name: package for package in engines.installed(environment.prefix)}


def _holding(environment: Environment, *, free: Collection[str], specs: Sequence[str]) -> list[list[str]]:
    """Return what to hold: all packages but the free ones, else those that specs name, else Python's minor version."""
    asked = {name_of(spec) for spec in specs}
    others = [package for package in environment.packages if package.name not in {*free, NUMERIC}]
    all_of_them = [package.spec for package in others]
    asked_for = [package.spec for package in others if package.name in asked]
    python = environment.package("python")
    python_pin = [] if python is None or "python" in free else [f"python={'.'.join(python.version.split('.')[:2])}.*"]
    tiers = [[*all_of_them, *python_pin], [*asked_for, *python_pin], python_pin]
    return [tier for number, tier in enumerate(tiers) if tier not in tiers[:number]]


def _check_installed(environment: Environment, names: Sequence[str]) -> None:
    there = {package.name for package in environment.packages}
    for name in names:
        if name not in there:
            raise errors.NotFoundError(
                f"There is no package {name!r} in {environment.name!r}.",
                where=str(environment.prefix),
                next_step=f"Give names without versions. To list them: mambakernels info {environment.place.argument}",
            )


def _without(some: Sequence[Package], others: Sequence[Package]) -> tuple[Package, ...]:
    names = {package.name for package in others}
    return tuple(package for package in some if package.name not in names)
