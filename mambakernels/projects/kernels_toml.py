"""A project's `kernels.toml`: the environments, kernels and variants that its notebooks need, read strictly."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import Meta

from mambakernels import channels, environments, errors
from mambakernels.engines import EngineName
from mambakernels.environments import Environment, EnvironmentSpec
from mambakernels.kernels import folders, naming
from mambakernels.kernels.specs import KernelSpec
from mambakernels.paths import same_place
from mambakernels.system import decoding
from mambakernels.system.toml import read_toml

FILE = "kernels.toml"
_CHANNELS = frozenset({"auto", "wheels", "conda-forge"})
# From this ratio on, a name counts as misspelt.
_TOO_CLOSE = 0.8
_SOURCES = ("specs", "file", "locked")
_EXAMPLE = '[environments.analysis]\nspecs = ["python=3.12", "pandas"]'
_ADVICE = f"Name the project's file, or write {FILE} next to the notebooks:\n{_EXAMPLE}"
_ARTICLES = {"environments": "an environment", "kernels": "a kernel"}

T = TypeVar("T", bound=msgspec.Struct)
Text = Annotated[str, Meta(pattern=r"\S")]
Variables = Mapping[str, Annotated[str, Meta(pattern=r"\A[^\0]*\Z")] | int | float]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    root: Text | None = None
    channels: tuple[Text, ...] | None = None
    engine: EngineName | None = None
    jupyter: Text = folders.USER
    environments: Mapping[str, Any] | None = None
    kernels: Mapping[str, Any] = {}


class _Environment(msgspec.Struct, forbid_unknown_fields=True):
    specs: tuple[Text, ...] | None = None
    file: Text | None = None
    locked: Text | None = None
    environment: Text | None = None
    channels: tuple[Text, ...] | None = None
    engine: EngineName | None = None
    pip: tuple[Text, ...] = ()
    variables: Variables = {}
    kernel: bool = True


class _Kernel(msgspec.Struct, forbid_unknown_fields=True):
    environment: Text | None = None
    display_name: Text | None = None
    env: Variables = {}
    threads: Annotated[int, Meta(ge=0)] | None = None


_KINDS = {
    **dict.fromkeys(("specs", "channels", "pip"), 'a list of strings, ["…", "…"]'),
    **dict.fromkeys(("environments", "kernels"), "a table"),
    **dict.fromkeys(("variables", "env"), 'variables, { NAME = "value" }'),
    **dict.fromkeys(("root", "jupyter", "engine", "file", "locked", "environment", "display_name"), 'a string, "…"'),
    "kernel": "true or false",
    "threads": "a whole number of at least 0",
}


@dataclass(frozen=True)
class DeclaredKernel:
    """A kernel that a file declares; `default` if it is the environment's own, and has its name."""

    name: str
    environment: str
    display_name: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None

    @property
    def base(self) -> str:
        """The name as Jupyter has it."""
        return self.name.lower()

    @property
    def default(self) -> bool:
        """Whether it is called as its environment is."""
        return self.name == self.environment

    @property
    def variant(self) -> str | None:
        """The name, without the environment's if it begins with it; None for the environment's default kernel."""
        return None if self.default else self.name.removeprefix(f"{self.environment}-")


@dataclass(frozen=True)
class Project:
    """What a file declares, with the places of environments (`root`, if it says so) and kernels (`jupyter`)."""

    file: Path
    root: Path | None
    jupyter: Path
    environments: tuple[EnvironmentSpec, ...]
    kernels: tuple[DeclaredKernel, ...]

    @property
    def identity(self) -> str:
        """The mark in everything that is made for this file."""
        return str(self.file)

    def made(self, thing: Environment | EnvironmentSpec | KernelSpec) -> bool:
        """Whether something was made for this file, by whatever path it was named then."""
        return thing.declared_in is not None and same_place(Path(thing.declared_in), self.file)

    def environment(self, name: str) -> EnvironmentSpec:
        """Return the declared environment of that name."""
        return next(spec for spec in self.environments if spec.name == name)


@dataclass(frozen=True)
class _Table:
    """A table's place in a file, for errors."""

    file: Path
    name: str = ""

    def wrong(self, what: str, next_step: str | None = None) -> errors.InvalidRequestError:
        """Return the error that says what is wrong here."""
        place = f"{self.file}, [{self.name}]" if self.name else str(self.file)
        return errors.InvalidRequestError(what, where=place, next_step=next_step)

    def decode(self, content: Mapping[str, Any], kind: type[T]) -> T:
        """Return the table's content, checked."""
        try:
            found = decoding.decode(content, kind)
        except decoding.MisfitError as error:
            raise self._misfit(error, content.get(error.key), kind) from error
        for key in ("variables", "env"):
            for name in getattr(found, key, ()):
                if not re.fullmatch(r"[^=\0]+", name) or name == "PATH":
                    raise self.wrong(f"{key} cannot set {name!r}.", "Choose another name for the variable.")
        return found

    def _misfit(self, error: decoding.MisfitError, value: Any, kind: type[T]) -> errors.InvalidRequestError:
        if not error.known:
            return self.wrong(f"There is no key {error.key!r}.", decoding.suggest(error.key, kind.__struct_fields__))
        if error.key == "engine" and isinstance(value, str) and value:
            return self.wrong(f"engine cannot be {value!r}.", decoding.suggest(value, get_args(EngineName)))
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        return self.wrong(f"{error.key} is {shown}, and should be {_KINDS[error.key]}.")


def read(path: Path) -> Project:
    """Read a project's file, or the `kernels.toml` in a folder.

    NotFoundError without one; InvalidRequestError, with the table and the key, for anything unknown or impossible.
    """
    file = (path / FILE if path.is_dir() else path).expanduser().resolve()
    here = _Table(file)
    whole = here.decode(read_toml(file, next_step=_ADVICE), _File)
    if whole.environments is None:  # an empty table is how the last one is pruned
        raise here.wrong("It declares no environment.", f"Declare one:\n{_EXAMPLE}")
    tables = dict(_tables(here, "environments", whole.environments, _Environment))
    declared = _tables(here, "kernels", whole.kernels, _Kernel)
    kernels = [_kernel(name, *table, known=tables) for name, table in declared]
    in_place = whole.jupyter in {folders.USER, folders.SYS_PREFIX}
    return Project(
        file=file,
        root=None if whole.root is None else (file.parent / Path(whole.root).expanduser()).absolute(),
        jupyter=folders.data_folder(whole.jupyter if in_place else file.parent / whole.jupyter),
        environments=tuple(_environment(name, *table, whole=whole) for name, table in tables.items()),
        kernels=_complete(kernels, tables, here),
    )


def _tables(here: _Table, key: str, given: Mapping[str, Any], kind: type[T]) -> Iterator[tuple[str, tuple[_Table, T]]]:
    """Yield the tables in a table by their names, which must fit an environment or kernel."""
    for name, content in given.items():
        table = _Table(here.file, f"{key}.{name}")
        if not isinstance(content, dict):
            raise here.wrong(f"{table.name} must be a table.", f"Write it as [{table.name}].")
        try:
            environments.check_environment_name(name)
        except errors.InvalidRequestError as error:
            what = error.what.replace("an environment's", f"{_ARTICLES[key]}'s")
            raise table.wrong(what, error.next_step) from error
        yield name, (table, table.decode(content, kind))


def _environment(name: str, table: _Table, content: _Environment, *, whole: _File) -> EnvironmentSpec:
    spec = _source(name, table, content)
    in_source = spec.channels if spec.channels != ("auto",) else None
    here = _Table(table.file)
    named = _channels(content.channels, table) or in_source or _channels(whole.channels, here) or ("auto",)
    try:
        return replace(
            spec,
            name=name,
            channels=named,
            engine=content.engine or whole.engine or "auto",
            pip=(*spec.pip, *content.pip),
            variables={**spec.variables, **_texts(content.variables)},
            folder=spec.folder or table.file.parent,
            declared_in=str(table.file),
        ).completed()
    except errors.InvalidRequestError as error:
        raise table.wrong(error.what, error.next_step) from error


def _source(name: str, table: _Table, content: _Environment) -> EnvironmentSpec:
    """Return the requested packages: from specs, or from another file."""
    given = {key: value for key in _SOURCES if (value := getattr(content, key)) is not None}
    if len(given) != 1:
        said = " and ".join(given) or "nothing"
        raise table.wrong(f"It says {said}, where one of {', '.join(_SOURCES)} is needed.", f"For example:\n{_EXAMPLE}")
    ((key, value),) = given.items()
    if key == "specs":
        return EnvironmentSpec(name, value)
    path = table.file.parent / Path(value).expanduser()
    try:
        spec = environments.read_file(path, environment=content.environment)
    except errors.MambakernelsError as error:
        named = f"It is named in {table.file}, [{table.name}], {key}."
        error.next_step = "\n".join(filter(None, (error.next_step, named)))
        raise
    if key == "locked" and not spec.packages:
        raise table.wrong(f"{path.name} is not a lockfile.", "Name any other file with: file = …")
    return spec


def _channels(given: Sequence[str] | None, table: _Table) -> tuple[str, ...] | None:
    """Return the channels, folders among them as seen from the file."""
    if given is None:
        return None
    if not given:
        raise table.wrong("channels is empty.", f"Choose from: {', '.join(sorted(_CHANNELS))}, a URL or a folder.")
    return tuple(name if name in _CHANNELS or "://" in name else _folder_or_name(name, table) for name in given)


def _folder_or_name(name: str, table: _Table) -> str:
    """Return a folder as seen from the file, or a channel's name that does not look like a misspelt one."""
    folder = table.file.parent / Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    if channels.is_name(name) and not difflib.get_close_matches(name, _CHANNELS, 1, _TOO_CLOSE):
        return name
    raise table.wrong(
        f"There is no channel {name!r}.",
        f"{decoding.suggest(name, sorted(_CHANNELS))[:-1]}, another name, a URL or a folder.",
    )


def _kernel(name: str, table: _Table, content: _Kernel, *, known: Collection[str]) -> DeclaredKernel:
    environment = content.environment or (name if name in known else None)
    if environment is None:
        raise table.wrong("It does not name its environment.", f'environment = "…": {", ".join(known)}')
    if environment not in known:
        raise table.wrong(f"There is no environment {environment!r}.", decoding.suggest(environment, known))
    try:
        naming.check_title(content.display_name or "")
    except errors.InvalidRequestError as error:
        raise table.wrong(error.what, error.next_step) from error
    return DeclaredKernel(name, environment, content.display_name, _texts(content.env), content.threads)


def _complete(
    kernels: Sequence[DeclaredKernel], tables: Mapping[str, tuple[_Table, _Environment]], here: _Table
) -> tuple[DeclaredKernel, ...]:
    """Add each environment's default kernel, unless the file turns it off or describes it."""
    defaults = [DeclaredKernel(name, name) for name, (_, content) in tables.items() if content.kernel]
    for kernel in kernels:
        if kernel.default and not tables[kernel.name][1].kernel:
            table = tables[kernel.name][0]
            raise table.wrong(f"kernel is false, and there is [kernels.{kernel.name}].", "Leave one of them out.")
    said = {kernel.name for kernel in kernels}
    every = [*(kernel for kernel in defaults if kernel.name not in said), *kernels]
    every.sort(key=lambda kernel: list(tables).index(kernel.environment))
    named: dict[str, DeclaredKernel] = {}
    for kernel in every:
        other = named.setdefault(kernel.base, kernel)
        if other is not kernel:
            raise here.wrong(
                f"Two kernels would have the name {kernel.base!r}: of {other.environment} and of {kernel.environment}.",
                "Jupyter ignores case: choose another name, or kernel = false for an environment's default kernel.",
            )
    return tuple(every)


def _texts(variables: Variables) -> dict[str, str]:
    """Return variables with numbers as they are written."""
    return {name: str(value) for name, value in variables.items()}
