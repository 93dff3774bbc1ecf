"""Linking packages into a staged folder: an engine at work on channels, without leaking credentials."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from mambakernels import channels, engines, errors, paths
from mambakernels.channels import Channel
from mambakernels.channels.spec_channels import resolved
from mambakernels.engines import Engine, EngineName, Package, Request
from mambakernels.engines.match_spec import name_of
from mambakernels.environments.environment import Location
from mambakernels.environments.spec import is_numeric
from mambakernels.environments.staging import forget_half_unpacked, staged
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent
from mambakernels.system.credentials import Secrets, public, restored
from mambakernels.system.locks import using_packages

T = TypeVar("T")
NUMERIC = "mambakernels-numeric"
_ADVICE = "Check names and versions, or add a channel that has them: --channel."


@dataclass(frozen=True)
class Linker:
    """An engine at work for one location: it solves, and links into a hidden `folder` next to the prefix."""

    engine: Engine
    channels: tuple[Channel, ...]
    place: Location
    folder: Path
    secrets: Secrets
    progress: Progress

    @property
    def urls(self) -> tuple[str, ...]:
        """The channels' addresses without credentials."""
        return tuple(public(channel.url) for channel in self.channels)

    def solve_and_link(self, specs: Sequence[str]) -> tuple[Package, ...]:
        """Solve and link; return the packages that were linked."""

        def attempt() -> tuple[Package, ...]:
            return self.engine.create(
                self._request(specs),
                self.folder,
                final=self.place.prefix,
                cache=self.place.root.packages,
                progress=self.progress,
            )

        return self._clean(self._provided(specs, attempt))

    def solve(
        self, specs: Sequence[str], held: Sequence[Sequence[str]] = ((),), *, update: bool = False
    ) -> tuple[Package, ...]:
        """Return the packages that satisfy the specs and the first possible list of `held` specs; nothing is linked."""

        def attempt() -> tuple[Package, ...]:
            *first, last = held
            for more in first:
                try:
                    return self._solve_once((*specs, *more))
                except errors.SolveError as error:
                    self.progress(
                        Event("solve", f"again, with fewer packages held: {error.what.splitlines()[-1].strip()}")
                    )
            return self._solve_once((*specs, *last))

        return self._provided(specs, attempt, update=update)

    def link_exactly(self, packages: Sequence[Package]) -> tuple[Package, ...]:
        """Link these packages and no others; a numeric kernel gets the `mambakernels.numeric` of this version."""
        wanted = [package for package in packages if package.name != NUMERIC]
        if is_numeric([package.name for package in wanted]):
            wanted.append(self._numeric())
        urls = [channel.url for channel in self.channels]
        linked = self.engine.link(
            [replace(package, url=restored(package.url, urls)) for package in wanted],
            self.folder,
            final=self.place.prefix,
            cache=self.place.root.packages,
            progress=self.progress,
        )
        return self._clean(linked)

    def _solve_once(self, specs: Sequence[str]) -> tuple[Package, ...]:
        return self.engine.solve(self._request(specs), cache=self.place.root.packages, progress=self.progress)

    def _request(self, specs: Sequence[str]) -> Request:
        urls, specs = tuple(channel.url for channel in self.channels), resolved(specs, self.place.root)
        if not is_numeric(list(map(name_of, specs))):
            return Request(tuple(specs), urls, paths.subdir())
        numeric = self._numeric()
        others = (spec for spec in specs if name_of(spec) != NUMERIC)
        return Request((*others, numeric.spec), (numeric.url.rsplit("/", 2)[0], *urls), paths.subdir())

    def _numeric(self) -> Package:
        """Return the package of this version's `mambakernels.numeric`, built first if need be."""
        from mambakernels.channels import numeric_package

        return Package.from_record(numeric_package.ensure(self.place.root, progress=self.progress))

    def _provided(self, specs: Sequence[str], attempt: Callable[[], T], *, update: bool = False) -> T:
        """Solve; if there is no solution, first ask the wheels channel for exactly the versions in the specs."""
        for insist in (False, True):
            for channel in self.channels:
                channels.provide(channel, self.place.root, specs, insist=insist, update=update, progress=self.progress)
            try:
                return attempt()
            except errors.SolveError as error:
                is_wheels = any(channel.is_wheels for channel in self.channels)
                if insist or not is_wheels:
                    advice = channels.what_wheels_offer() if is_wheels else _ADVICE
                    raise errors.SolveError(error.what, where=", ".join(self.urls), next_step=advice) from error
        raise AssertionError

    def _clean(self, packages: Sequence[Package]) -> tuple[Package, ...]:
        """Take credentials out of the engine's files and of its answer."""
        if any(url.startswith("http") for url in self.urls):  # the engine may have found credentials elsewhere
            self.secrets.scrub(path for path in (self.folder / "conda-meta").iterdir() if path.is_file())
        return tuple(replace(package, url=self.secrets.hide(package.url)) for package in packages)


@contextmanager
def linking(
    place: Location, chosen: Sequence[Channel], engine: EngineName | Engine, progress: Progress = silent
) -> Iterator[Linker]:
    """Yield a linker with an engine, given by name or already running; an unused staged folder is removed at the end.

    No progress event or error holds a credential of a channel.
    """
    secrets = Secrets.of(channel.url for channel in chosen)
    watched = secrets.hidden_in(progress)
    with secrets.hidden_in_errors(), _running(engine, place.root, watched) as program:
        for channel in chosen:
            watched(Event("channel", channel.why))
        alone = functools.partial(forget_half_unpacked, place.root)
        with using_packages(place.root, alone=alone, progress=watched), staged(place) as folder:
            yield Linker(program, tuple(chosen), place, folder, secrets, watched)


@contextmanager
def _running(engine: EngineName | Engine, root: Root, progress: Progress) -> Iterator[Engine]:
    """Yield the engine; one that is chosen here is closed at the end."""
    if not isinstance(engine, str):
        yield engine
        return
    program, why = engines.choose(engine, root, progress=progress)
    progress(Event("engine", why))
    with closing(program):
        yield program
