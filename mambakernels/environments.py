"""Environments: what is asked for, what was made, and create, list, remove: each atomic and locked."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from mambakernels import channels, engines, errors, paths
from mambakernels.engines import Engine, EngineName, Package
from mambakernels.locks import locked
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent

MANIFEST = ".mambakernels.json"
_SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# A spec of one of these brings a kernel; where there is none, ipykernel is added.
_KERNEL_PACKAGES = ("ipykernel", "r-irkernel", "xeus", "bash_kernel", "ijulia", "octave_kernel")
_NUMERIC_WITH = ("numpy", "libblas", "blas", "mkl")


@dataclass(frozen=True)
class EnvironmentSpec:
    """What an environment is asked to be: its name, match specs, and where packages may come from."""

    name: str
    specs: tuple[str, ...]
    channels: tuple[str, ...] = ("auto",)
    engine: EngineName = "auto"


@dataclass(frozen=True)
class Environment:
    """A prefix that an engine made, with what its manifest says of it."""

    name: str
    prefix: Path
    root: Root
    specs: tuple[str, ...]
    channels: tuple[str, ...]
    engine: str
    packages: tuple[Package, ...]
    created: str

    def package(self, name: str) -> Package | None:
        """Return the installed package of that name, or None."""
        return next((package for package in self.packages if package.name == name), None)

    @property
    def python(self) -> Path:
        """The environment's own Python (which need not exist: not every environment has one)."""
        return self.prefix / ("python.exe" if os.name == "nt" else "bin/python")

    @property
    def blas(self) -> str | None:
        """Which BLAS the environment was made with (`mkl`, `openblas`, …), from libblas' build string."""
        libblas = self.package("libblas")
        return libblas.build.rpartition("_")[2] if libblas else None


def create(spec: EnvironmentSpec, *, root: Root, progress: Progress = silent) -> Environment:
    """Make an environment, whole or not at all; one that exists and was asked for alike is returned as it is.

    Raises InvalidRequestError (name, specs, or a different environment of that name), SolveError with the
    solver's explanation, ChannelError, EngineError; nothing is left behind then.
    """
    check_name(spec.name)
    specs = _completed(spec.specs)
    if existing := _existing(spec.name, specs, root):
        return existing
    with locked(root, f"env-{spec.name}", progress=progress):
        if existing := _existing(spec.name, specs, root):
            progress(Event("done", f"{spec.name} was made by another process"))
            return existing
        _sweep(root, spec.name)
        return _make(spec, specs, root, progress)


def list_environments(root: Root) -> list[Environment]:
    """Return the environments under a root, by name.

    What has no manifest was not made here and is left out; so is what has a damaged one, which `get` explains.
    """
    folders = sorted(root.environments.iterdir()) if root.environments.is_dir() else []
    found = (_read_if_whole(folder, root) for folder in folders if not folder.name.startswith("."))
    return [environment for environment in found if environment is not None]


def get(name: str, root: Root) -> Environment:
    """Return the environment of that name; NotFoundError with the names there are."""
    check_name(name)
    environment = _read(root.environments / name, root)
    if environment is None:
        names = ", ".join(item.name for item in list_environments(root)) or "none yet"
        raise errors.NotFoundError(
            f"There is no environment {name!r}.",
            where=str(root.environments),
            next_step=f"There are: {names}. Make one with: mambakernels create {name} python numpy",
        )
    return environment


@contextmanager
def held(name: str, root: Root) -> Iterator[Environment]:
    """Yield an environment that nobody else makes, registers or removes meanwhile."""
    get(name, root)
    with locked(root, f"env-{name}"):
        yield get(name, root)


def remove(name: str, root: Root) -> None:
    """Remove an environment; kernelspecs that point to it are for the caller to remove first."""
    with held(name, root) as environment:
        discard(environment)


def discard(environment: Environment) -> None:
    """Take an environment that is held out of sight in one step, then delete its files."""
    trash = environment.root.trash
    trash.mkdir(parents=True, exist_ok=True)
    environment.prefix.rename(trash / f"{environment.name}.{secrets.token_hex(4)}")
    with locked(environment.root, "trash"):
        for left in trash.iterdir():  # what a killed process left goes too
            shutil.rmtree(left)


def check_name(name: str) -> None:
    """Raise InvalidRequestError unless a name is a plain folder name that every shell and Jupyter accept."""
    if not _NAME.fullmatch(name):
        raise errors.InvalidRequestError(
            f"{name[:80]!r} cannot be an environment's name.",
            next_step="Use 1 to 64 letters, digits, '-', '_' and '.', the first a letter or digit: np-mkl.",
        )


def read_file(path: Path) -> EnvironmentSpec:
    """Read an `environment.yml`; the parts that are not understood are an InvalidRequestError, never dropped."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.NotFoundError("There is no such file.", where=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.InvalidRequestError(
            f"This is not YAML: {' '.join(str(error).split())}", where=str(path)
        ) from error
    dependencies = content.get("dependencies") if isinstance(content, dict) else None
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        raise errors.InvalidRequestError(
            "An environment file needs a list of match specs under `dependencies`.",
            where=str(path),
            next_step="A `pip:` part is not supported yet: name those packages as match specs."
            if isinstance(dependencies, list)
            else None,
        )
    if unknown := sorted(map(str, set(content) - {"name", "channels", "dependencies", "prefix"})):
        raise errors.InvalidRequestError(
            f"An environment file's {', '.join(map(repr, unknown))} is not supported yet.",
            where=str(path),
            next_step="Variables can be set in the kernel: mambakernels register NAME --env NAME=VALUE",
        )
    given = content.get("channels") or []
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise errors.InvalidRequestError("An environment file's `channels` are a list of names.", where=str(path))
    named = tuple(item for item in given if item != "nodefaults")
    return EnvironmentSpec(str(content.get("name") or path.stem), tuple(dependencies), named or ("auto",))


def _completed(specs: Sequence[str]) -> tuple[str, ...]:
    """Add what makes an environment a kernel, if nothing asked for does."""
    stripped = tuple(spec.strip() for spec in specs)
    if not stripped or not all(stripped):
        raise errors.InvalidRequestError(
            "An environment needs at least one match spec.", next_step="For example: python numpy libblas=*=*mkl"
        )
    has_kernel = any(spec.startswith(_KERNEL_PACKAGES) for spec in stripped)
    return stripped if has_kernel else (*stripped, "ipykernel")


def _existing(name: str, specs: tuple[str, ...], root: Root) -> Environment | None:
    prefix = root.environments / name
    found = _read(prefix, root)
    if found is None and prefix.exists():
        raise errors.InvalidRequestError(
            "A folder of that name is there already, and mambakernels did not make it.",
            where=str(prefix),
            next_step="Choose another name, or move the folder away.",
        )
    if found is not None and set(found.specs) != set(specs):
        raise errors.InvalidRequestError(
            f"There is an environment {name!r} already, made from other specs: {' '.join(found.specs)}.",
            next_step=f"Choose another name, or first: mambakernels remove {name}",
        )
    return found


def _make(spec: EnvironmentSpec, specs: tuple[str, ...], root: Root, progress: Progress) -> Environment:
    engine, why = engines.choose(spec.engine)
    progress(Event("engine", why))
    chosen = [channels.choose(name, root) for name in spec.channels]
    for channel in chosen:
        progress(Event("channel", channel.why))
    final = root.environments / spec.name
    staged = root.environments / f".{spec.name}.{secrets.token_hex(4)}"
    root.environments.mkdir(parents=True, exist_ok=True)
    try:
        packages, urls = _link(engine, chosen, specs, staged=staged, final=final, root=root, progress=progress)
        manifest = _manifest(spec.name, specs, urls, engine, packages)
        (staged / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        staged.rename(final)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    made = _read(final, root)
    assert made is not None
    return made


def _link(
    engine: Engine,
    chosen: Sequence[channels.Channel],
    specs: tuple[str, ...],
    *,
    staged: Path,
    final: Path,
    root: Root,
    progress: Progress,
) -> tuple[tuple[Package, ...], tuple[str, ...]]:
    """Solve and link; if a channel that grows on demand had no solution, it is asked for these very versions."""
    wanted, urls = specs, tuple(channel.url for channel in chosen)
    if _is_numeric(specs):
        url, numeric = channels.own_package(root, progress=progress)
        wanted, urls = (*specs, numeric), (url, *urls)
    request = engines.Request(wanted, urls, paths.subdir())
    for insist in (False, True):
        for channel in chosen:
            channels.provide(channel, root, specs, insist=insist, progress=progress)
        try:
            return engine.create(request, staged, final=final, cache=root.packages, progress=progress), urls
        except errors.SolveError as error:
            if not any(channel.is_wheels for channel in chosen):
                raise
            if insist:
                raise errors.SolveError(error.what, next_step=channels.what_wheels_offer()) from error
    raise AssertionError


def _is_numeric(specs: Sequence[str]) -> bool:
    """Whether NumPy or a BLAS is asked for by name, for a Python kernel."""
    names = {re.split(r"[^A-Za-z0-9_.-]", spec.rpartition("::")[2])[0] for spec in specs}
    return not names.isdisjoint(_NUMERIC_WITH) and "ipykernel" in names


def _manifest(
    name: str, specs: tuple[str, ...], urls: tuple[str, ...], engine: Engine, packages: tuple[Package, ...]
) -> dict[str, object]:
    return {
        "schema": _SCHEMA,
        "name": name,
        "specs": specs,
        "channels": urls,
        "engine": f"{engine.name} {engine.version}",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "packages": [asdict(package) for package in packages],
    }


def _read_if_whole(prefix: Path, root: Root) -> Environment | None:
    try:
        return _read(prefix, root)
    except errors.EngineError:
        return None


def _read(prefix: Path, root: Root) -> Environment | None:
    try:
        content = json.loads((prefix / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except json.JSONDecodeError as error:
        raise _damaged(prefix) from error
    if not isinstance(content, dict) or content.get("schema") != _SCHEMA:
        raise _damaged(prefix)
    return Environment(
        name=prefix.name,
        prefix=prefix,
        root=root,
        specs=tuple(content["specs"]),
        channels=tuple(content["channels"]),
        engine=content["engine"],
        packages=tuple(Package(**package) for package in content["packages"]),
        created=content["created"],
    )


def _damaged(prefix: Path) -> errors.EngineError:
    return errors.EngineError(
        "The environment's manifest is damaged, or of another version of mambakernels.",
        where=str(prefix / MANIFEST),
        next_step=f"Delete the folder and make it again: {prefix}",
    )


def _sweep(root: Root, name: str) -> None:
    """Delete what killed processes left of this environment; its lock is held."""
    leftovers = root.environments.glob(f".{name}.????????") if root.environments.is_dir() else ()
    for left in leftovers:
        if re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}", left.name):
            shutil.rmtree(left, ignore_errors=True)
