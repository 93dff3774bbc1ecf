"""A project's `kernels.toml`: the environments, kernels and variants that its notebooks need, read strictly."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from mambakernels import channels, environments, errors
from mambakernels.engines import EngineName
from mambakernels.environments import EnvironmentSpec
from mambakernels.kernels import folders, naming

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "kernels.toml"
_CHANNELS = frozenset({"auto", "wheels", "conda-forge"})
# From here on, a name is taken for a misspelt one.
_TOO_CLOSE = 0.8
_SOURCES = ("specs", "file", "locked")
_FILE_KEYS = ("root", "channels", "engine", "jupyter", "environments", "kernels")
_ENVIRONMENT_KEYS = (*_SOURCES, "channels", "engine", "pip", "variables", "kernel")
_KERNEL_KEYS = ("environment", "display_name", "env", "threads")
_EXAMPLE = '[environments.analysis]\nspecs = ["python=3.12", "pandas"]'

Json = Mapping[str, Any]


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
        """What tells it from its environment's own kernel: the name, without the environment's if it begins with it."""
        return None if self.default else self.name.removeprefix(f"{self.environment}-")


@dataclass(frozen=True)
class Project:
    """What a file declares: also where environments shall be (`root`, if it says so) and kernels (`jupyter`)."""

    file: Path
    root: Path | None
    jupyter: Path
    environments: tuple[EnvironmentSpec, ...]
    kernels: tuple[DeclaredKernel, ...]

    @property
    def identity(self) -> str:
        """What is written into everything that is made for this file."""
        return str(self.file)

    def environment(self, name: str) -> EnvironmentSpec:
        """Return the declared environment of that name."""
        return next(spec for spec in self.environments if spec.name == name)


def read(path: Path) -> Project:
    """Read a project's file, or the `kernels.toml` in a folder.

    NotFoundError without one; InvalidRequestError, with the table and the key, for what is not known or cannot be.
    """
    file = (path / FILE if path.is_dir() else path).expanduser().resolve()
    whole = _Table("", _load(file), file)
    whole.check_keys(_FILE_KEYS)
    tables = {name: whole.table("environments", name) for name in whole.tables("environments")}
    declared = tuple(_environment(name, table, whole) for name, table in tables.items())
    kernels = [_kernel(name, whole.table("kernels", name), tables) for name in whole.tables("kernels")]
    if not declared and "environments" not in whole.content:  # an empty table is how the last one is pruned
        raise whole.wrong("It declares no environment.", f"Declare one:\n{_EXAMPLE}")
    root = whole.text("root")
    return Project(
        file=file,
        root=None if root is None else (file.parent / Path(root).expanduser()).absolute(),
        jupyter=_jupyter(whole),
        environments=declared,
        kernels=_complete(kernels, tables, whole),
    )


@dataclass(frozen=True)
class _Table:
    """A table of the file, which knows where it is and refuses what is not of the right kind."""

    name: str
    content: Json
    file: Path

    def wrong(self, what: str, next_step: str | None = None) -> errors.InvalidRequestError:
        """Say what is wrong here."""
        place = f"{self.file}, [{self.name}]" if self.name else str(self.file)
        return errors.InvalidRequestError(what, where=place, next_step=next_step)

    def check_keys(self, known: Sequence[str]) -> None:
        """Refuse a key that is not known."""
        for key in self.content:
            if key not in known:
                raise self.wrong(f"There is no key {key!r}.", suggest(key, known))

    def tables(self, key: str) -> list[str]:
        """Return the names of the tables in a table."""
        return list(self._get(key, "a table", lambda item: isinstance(item, dict)) or {})

    def table(self, key: str, name: str) -> _Table:
        """Return a table in a table, whose name an environment or kernel can have."""
        content, full = self.content[key][name], f"{key}.{name}"
        table = _Table(full, content if isinstance(content, dict) else {}, self.file)
        if not isinstance(content, dict):
            raise self.wrong(f"{full} is no table.", f"Write it as [{full}].")
        try:
            environments.check_environment_name(name)
        except errors.InvalidRequestError as error:
            raise table.wrong(error.what.replace("an environment's", f"{_ARTICLES[key]}'s"), error.next_step) from error
        return table

    def text(self, key: str, among: Collection[str] = ()) -> str | None:
        """Return a text, one of several if these are given."""
        found: str | None = self._get(key, 'a text, "…"', lambda item: isinstance(item, str) and item != "")
        if found is not None and among and found not in among:
            raise self.wrong(f"{key} cannot be {found!r}.", suggest(found, among))
        return found

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Return a list of texts."""
        found = self._get(
            key,
            'a list of texts, ["…", "…"]',
            lambda item: isinstance(item, list) and all(isinstance(text, str) and text.strip() for text in item),
        )
        return None if found is None else tuple(found)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        found = self._get(key, "true or false", lambda item: isinstance(item, bool))
        return default if found is None else bool(found)

    def count(self, key: str) -> int | None:
        """Return a whole number of at least 0."""
        found: int | None = self._get(
            key,
            "a whole number of at least 0",
            lambda item: isinstance(item, int) and not isinstance(item, bool) and item >= 0,
        )
        return found

    def variables(self, key: str) -> dict[str, str]:
        """Return variables: texts, and numbers as they are written."""
        found = self._get(key, 'variables, { NAME = "value" }', _are_variables) or {}
        if unfit := [name for name in found if not re.fullmatch(r"[^=\0]+", name) or name == "PATH"]:
            raise self.wrong(f"{key} cannot set {unfit[0]!r}.", "Choose another name for the variable.")
        return {name: str(value) for name, value in found.items()}

    def _get(self, key: str, kind: str, fits: Callable[[Any], bool]) -> Any:
        found = self.content.get(key)
        if found is not None and not fits(found):
            raise self.wrong(f"{key} is {_shown(found)}, and should be {kind}.")
        return found


_ARTICLES = {"environments": "an environment", "kernels": "a kernel"}


def suggest(word: str, known: Collection[str]) -> str:
    """Say what is known, first what looks like a word that is not."""
    close = difflib.get_close_matches(word, known, 1)
    return (f"Did you mean {close[0]!r}? " if close else "") + f"There are: {', '.join(known)}."


def _load(file: Path) -> Json:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise errors.NotFoundError(
            "There is no such file.",
            where=str(file),
            next_step=f"Name the project's file, or write {FILE} beside the notebooks:\n{_EXAMPLE}",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.InvalidRequestError(f"This is not TOML: {error}.", where=str(file)) from error


def _jupyter(whole: _Table) -> Path:
    named = whole.text("jupyter") or folders.USER
    return folders.choose(named if named in {folders.USER, folders.SYS_PREFIX} else whole.file.parent / named)


def _environment(name: str, table: _Table, whole: _Table) -> EnvironmentSpec:
    table.check_keys(_ENVIRONMENT_KEYS)
    given = [key for key in _SOURCES if key in table.content]
    if len(given) != 1:
        said = " and ".join(given) or "nothing"
        raise table.wrong(f"It says {said}, where one of {', '.join(_SOURCES)} is needed.", f"For example:\n{_EXAMPLE}")
    spec = _source(name, given[0], table)
    named = _channels(table) or (spec.channels if spec.channels != ("auto",) else None) or _channels(whole)
    engine: Any = table.text("engine", get_args(EngineName)) or whole.text("engine", get_args(EngineName)) or "auto"
    try:
        return replace(
            spec,
            name=name,
            channels=named or ("auto",),
            engine=engine,
            pip=(*spec.pip, *(table.texts("pip") or ())),
            variables={**spec.variables, **table.variables("variables")},
            folder=spec.folder or whole.file.parent,
            declared_in=str(whole.file),
        ).completed()
    except errors.InvalidRequestError as error:
        raise table.wrong(error.what, error.next_step) from error


def _source(name: str, key: str, table: _Table) -> EnvironmentSpec:
    if key == "specs":
        return EnvironmentSpec(name, table.texts(key) or ())
    path = table.file.parent / Path(table.text(key) or "").expanduser()
    if key == "locked" and path.suffix != ".lock":
        raise table.wrong(f"{path.name} is no lockfile.", "Its name ends in .lock; any other: file = …")
    try:
        return environments.read_file(path)
    except errors.MambakernelsError as error:
        named = f"It is named in {table.file}, [{table.name}], {key}."
        error.next_step = "\n".join(filter(None, (error.next_step, named)))
        raise


def _channels(table: _Table) -> tuple[str, ...] | None:
    """Return the channels, those that are folders as seen from the file."""
    found = table.texts("channels")
    if found is None:
        return None
    if not found:
        raise table.wrong("channels is empty.", f"There are: {', '.join(sorted(_CHANNELS))}, a URL or a folder.")
    return tuple(name if name in _CHANNELS or "://" in name else _folder_or_name(name, table) for name in found)


def _folder_or_name(name: str, table: _Table) -> str:
    """Return a folder as seen from the file, or a channel's name that does not look like a misspelt one."""
    folder = table.file.parent / Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    if channels.is_name(name) and not difflib.get_close_matches(name, _CHANNELS, 1, _TOO_CLOSE):
        return name
    raise table.wrong(
        f"There is no channel {name!r}.", f"{suggest(name, sorted(_CHANNELS))[:-1]}, another name, a URL or a folder."
    )


def _kernel(name: str, table: _Table, known: Mapping[str, _Table]) -> DeclaredKernel:
    table.check_keys(_KERNEL_KEYS)
    environment = table.text("environment") or (name if name in known else None)
    if environment is None:
        raise table.wrong("It does not say of which environment it is.", f'environment = "…": {", ".join(known)}')
    if environment not in known:
        raise table.wrong(f"There is no environment {environment!r}.", suggest(environment, known))
    title = table.text("display_name")
    try:
        naming.check_title(title or "")
    except errors.InvalidRequestError as error:
        raise table.wrong(error.what, error.next_step) from error
    return DeclaredKernel(name, environment, title, table.variables("env"), table.count("threads"))


def _complete(
    kernels: Sequence[DeclaredKernel], tables: Mapping[str, _Table], whole: _Table
) -> tuple[DeclaredKernel, ...]:
    """Add each environment's own kernel, unless it shall have none or the file says more of it."""
    said = {kernel.name for kernel in kernels}
    own = [DeclaredKernel(name, name) for name, table in tables.items() if table.flag("kernel", default=True)]
    if denied := sorted({kernel.name for kernel in kernels if kernel.default} - {kernel.name for kernel in own}):
        raise tables[denied[0]].wrong(f"kernel is false, and there is [kernels.{denied[0]}].", "Leave one of them out.")
    every = [*(kernel for kernel in own if kernel.name not in said), *kernels]
    every.sort(key=lambda kernel: list(tables).index(kernel.environment))
    named: dict[str, DeclaredKernel] = {}
    for kernel in every:
        other = named.setdefault(kernel.base, kernel)
        if other is not kernel:
            raise whole.wrong(
                f"Two kernels would have the name {kernel.base!r}: of {other.environment} and of {kernel.environment}.",
                "Jupyter ignores case: choose another name, or kernel = false for an environment's own.",
            )
    return tuple(every)


def _are_variables(item: Any) -> bool:
    return isinstance(item, dict) and all(
        isinstance(value, str | int | float) and not isinstance(value, bool) and "\0" not in str(value)
        for value in item.values()
    )


def _shown(item: Any) -> str:
    words = {True: "true", False: "false"}
    return words[item] if isinstance(item, bool) else f"{item!r}"
