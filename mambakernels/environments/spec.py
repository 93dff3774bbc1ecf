"""What an environment is asked to be: match specs, or a file that lists them, or exact packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mambakernels import errors, paths
from mambakernels.engines import EngineName, Package, explicit
from mambakernels.engines.match_spec import name_of
from mambakernels.paths import PathLike

# A spec of one of these brings a kernel; where there is none, ipykernel is added.
_KERNEL_PACKAGES = ("ipykernel", "r-irkernel", "xeus", "bash_kernel", "ijulia", "octave_kernel")
_NUMERIC_WITH = ("numpy", "libblas", "blas", "mkl")
_KEYS = {"name", "channels", "dependencies", "variables", "prefix"}


@dataclass(frozen=True)
class EnvironmentSpec:
    """What an environment is asked to be: its name, match specs, and where packages may come from.

    `pip` are requirements that pip installs afterwards, `variables` are set at activation. With `packages`, exactly
    those are linked, and nothing is solved. `folder` is where relative paths in `pip` start. `declared_in` is the
    project's file that asks for it.
    """

    name: str
    specs: tuple[str, ...]
    channels: tuple[str, ...] = ("auto",)
    engine: EngineName = "auto"
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[Package, ...] = ()
    folder: Path | None = None
    declared_in: str | None = None

    def completed(self) -> EnvironmentSpec:
        """Add what makes an environment a kernel, and pip where it has work, if nothing asked for does."""
        stripped = tuple(spec.strip() for spec in self.specs)
        if not stripped or not all(stripped):
            raise errors.InvalidRequestError(
                "An environment needs at least one match spec.", next_step="For example: python numpy libblas=*=*mkl"
            )
        if self.packages:
            return self
        if self.pip and "pip" not in map(name_of, stripped):
            stripped = (*stripped, "pip")
        has_kernel = any(name_of(spec).startswith(_KERNEL_PACKAGES) for spec in stripped)
        return replace(self, specs=stripped if has_kernel else (*stripped, "ipykernel"))


def is_numeric(names: Sequence[str]) -> bool:
    """Whether packages of these names make a Python kernel with NumPy or a BLAS: it gets `mambakernels.numeric`."""
    return not set(names).isdisjoint(_NUMERIC_WITH) and "ipykernel" in names


def read_file(path: Path) -> EnvironmentSpec:
    """Read an `environment.yml`, a list of specs, an `@EXPLICIT` file or a lockfile; the name says the kind.

    What is in it and not understood is an InvalidRequestError, never dropped.
    """
    reader = _READERS.get(path.suffix.lower(), _read_lines)
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise errors.NotFoundError("There is no such file.", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise errors.InvalidRequestError(f"This is not text: {error}.", where=str(path)) from error


def requested(
    name: str,
    specs: Sequence[str],
    *,
    file: PathLike | None = None,
    locked: PathLike | None = None,
    channel: str | Sequence[str] = (),
    engine: EngineName = "auto",
) -> EnvironmentSpec:
    """Combine a request's words with its file: environment file, list of specs, `@EXPLICIT` file or lockfile."""
    given = _from_lockfile(name, specs, file, Path(locked)) if locked is not None else _from_words(name, specs, file)
    channels = (channel,) if isinstance(channel, str) else tuple(channel)
    return replace(given, channels=channels or given.channels, engine=engine)


def _from_lockfile(name: str, specs: Sequence[str], file: PathLike | None, locked: Path) -> EnvironmentSpec:
    if specs or file is not None:
        raise errors.InvalidRequestError(
            "A lockfile names the exact packages, so it cannot be combined with specs or another file.",
            next_step="Leave one of them out, or install the specs afterwards.",
        )
    exact = read_file(locked)
    if not exact.packages:
        raise errors.InvalidRequestError(
            "This is not a lockfile: it does not name exact packages.",
            where=str(locked),
            next_step="A lockfile's name ends in .lock; `mambakernels lock` writes one. For specs, use --file.",
        )
    return replace(exact, name=name or locked.stem)


def _from_words(name: str, specs: Sequence[str], file: PathLike | None) -> EnvironmentSpec:
    given = EnvironmentSpec(name, ()) if file is None else read_file(Path(file))
    if given.packages and specs:
        raise errors.InvalidRequestError("A file of exact packages cannot be combined with specs.", where=str(file))
    return replace(given, name=name or given.name, specs=(*given.specs, *specs))


def of_packages(name: str, packages: Sequence[Package], channels: Sequence[str] = ()) -> EnvironmentSpec:
    """Return the spec of an environment of exactly these packages."""
    return EnvironmentSpec(name, tuple(package.spec for package in packages), tuple(channels), packages=tuple(packages))


def _read_lines(path: Path) -> EnvironmentSpec:
    """Read match specs, one a line; after `@EXPLICIT`, addresses of packages."""
    lines = [line.split(" #")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise errors.InvalidRequestError("There is no match spec in this file.", where=str(path))
    if "@EXPLICIT" in lines:
        found = [explicit.parse(line, path) for line in lines[lines.index("@EXPLICIT") + 1 :]]
        return of_packages(path.stem, found)
    return EnvironmentSpec(path.stem, tuple(lines))


def _read_lock(path: Path) -> EnvironmentSpec:
    from mambakernels.engines import lockfile

    locked = lockfile.read(path)
    if paths.subdir() not in locked.packages:
        raise errors.InvalidRequestError(
            f"This lockfile has nothing for {paths.subdir()}, only for {', '.join(locked.packages) or 'no platform'}.",
            where=str(path),
            next_step=f"Lock for it as well: mambakernels lock … --subdir {paths.subdir()}",
        )
    spec = of_packages(path.stem, locked.packages[paths.subdir()], locked.channels)
    return replace(spec, pip=locked.pip.get(paths.subdir(), ()))


def _read_yaml(path: Path) -> EnvironmentSpec:
    from mambakernels.system import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise errors.InvalidRequestError(f"This is not YAML: {error}", where=str(path)) from error
    refuse = _Refusal(path)
    content = content if isinstance(content, dict) else {}
    if unknown := sorted(map(str, set(content) - _KEYS)):
        refuse(f"An environment file's {', '.join(map(repr, unknown))} is not known.")
    dependencies, pip = _dependencies(content.get("dependencies"), refuse)
    return EnvironmentSpec(
        name=str(content.get("name") or path.stem),
        specs=dependencies,
        channels=_channels(content.get("channels") or [], refuse),
        pip=pip,
        variables=_variables(content.get("variables") or {}, refuse),
        folder=path.absolute().parent,
    )


@dataclass(frozen=True)
class _Refusal:
    """Says what is wrong in a file."""

    path: Path

    def __call__(self, what: str) -> None:
        raise errors.InvalidRequestError(what, where=str(self.path))


def _dependencies(given: Any, refuse: _Refusal) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the match specs, and the requirements of the `pip:` part."""
    items = given if isinstance(given, list) else []
    specs = tuple(item for item in items if isinstance(item, str))
    parts = [item for item in items if not isinstance(item, str)]
    known = all(isinstance(part, dict) and set(part) == {"pip"} and _is_texts(part["pip"]) for part in parts)
    if not items or not known:
        refuse(
            "An environment file needs a list of match specs under `dependencies`, with at most a `pip:` list in it."
        )
    return specs, tuple(requirement for part in parts for requirement in part["pip"])


def _channels(given: Any, refuse: _Refusal) -> tuple[str, ...]:
    listed = [given] if isinstance(given, str) else given
    if not _is_texts(listed):
        refuse("An environment file's `channels` are a list of names.")
    return tuple(item for item in listed if item != "nodefaults") or ("auto",)


def _variables(given: Any, refuse: _Refusal) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str | int | float) for value in given.values()):
        refuse("An environment file's `variables` are names with values.")
    return {str(name): str(value) for name, value in given.items()}


def _is_texts(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(item, str) for item in given)


_READERS: Mapping[str, Callable[[Path], EnvironmentSpec]] = {
    ".yml": _read_yaml,
    ".yaml": _read_yaml,
    ".lock": _read_lock,
}
