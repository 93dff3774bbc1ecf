"""The `wheels` channel: a real conda channel made of wheels, this interpreter, and one NumPy per BLAS."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mambakernels import errors, paths
from mambakernels.channels import blas_libraries, conda_packages, interpreter
from mambakernels.channels.blas_libraries import BlasLibrary
from mambakernels.engines import match_spec
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.system import decoding, process
from mambakernels.system.files import write_atomically
from mambakernels.system.locks import locked, locked_if_free, nobody_using_packages

# Packages of every kernel, and NumPy, so that the channel has one set of versions from the start.
BASE = ("ipykernel", "numpy", "pip", "threadpoolctl")
_SCHEMA = 1
_STATE = "wheels.json"
_NOT_WHEELS = frozenset(
    {
        "python",
        "blas",
        "mambakernels-numeric",
        *blas_libraries.INTERFACES,
        *blas_libraries.PROVIDERS,
        *blas_libraries.BY_NAME,
    }
)


@dataclass(frozen=True)
class State:
    """The content of a channel: the package file of each source, and the requirements so far."""

    interpreter: str
    code: str
    requirements: tuple[str, ...] = ()
    blas: tuple[str, ...] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """The package files that the channel consists of."""
        return tuple(sorted(self.sources.values()))


@dataclass(frozen=True)
class WheelsRequest:
    """The request of one call: match specs, and the BLAS libraries they imply."""

    specs: tuple[str, ...]
    blas: tuple[str, ...]

    @classmethod
    def of(cls, specs: Sequence[str]) -> WheelsRequest:
        """Read match specs; InvalidRequestError if one is not valid, or no BLAS or wheel can fit it."""
        from mambakernels.channels.wheel_names import pip_requirement

        request = cls(tuple(specs), _wanted_blas(specs))
        for spec in request.wheels:
            pip_requirement(spec)
        return request

    @property
    def wheels(self) -> tuple[str, ...]:
        """The specs of packages that a Python package index has."""
        return tuple(spec for spec in self.specs if match_spec.name_of(spec) not in _NOT_WHEELS)


def folder(root: Root) -> Path:
    """Return the folder of the channel for this interpreter."""
    return root.channels / f"wheels-{interpreter.MINOR}"


def url(root: Root) -> str:
    """Return the channel's address, as engines take it."""
    return folder(root).as_uri()


def ensure(
    root: Root,
    specs: Sequence[str] = (),
    *,
    update: bool = False,
    insist: bool = False,
    progress: Progress = silent,
) -> State:
    """Build the channel, or add the packages that `specs` name and it lacks; with nothing to do, takes milliseconds.

    `insist` asks the index for the versions in the specs even if the channel has packages of these names;
    `update` looks for newer versions of everything. Raises ChannelError and then leaves the channel as it was.
    """
    if sys.platform != "linux":
        raise errors.ChannelError(
            "The wheels channel is built on Linux only.",
            next_step="Use conda-forge, or name a mirror of it: --channel URL, or MAMBAKERNELS_CONDA_FORGE=URL.",
        )
    request = WheelsRequest.of(specs)
    if not (update or insist) and (known := _sufficient(root, request)):
        _tidy(root)
        return known
    with locked(root, folder(root).name, progress=progress):
        if not (update or insist) and (known := _sufficient(root, request)):
            return known  # another process has built it meanwhile
        message = {"root": str(root.path), "request": asdict(request), "update": update, "insist": insist}
        try:
            process.Worker("mambakernels.channels.build").call(message, progress=progress)
        finally:
            conda_packages.remove_scratch(folder(root))  # a worker that was stopped could not remove its folder
        built = load(root)
    if built is None:
        raise errors.ChannelError(
            "The channel was built by a different version of mambakernels or Python.",
            where=str(folder(root)),
            next_step="If mambakernels was upgraded in the meantime, run the command again.",
        )
    return built


@storage_errors
def build(
    specs: Sequence[str] = (), *, update: bool = False, root: PathLike | None = None, progress: Progress = silent
) -> str:
    """Build the `wheels` channel, or add packages to it, and return its URL; `update` looks for newer versions."""
    place = Root.find(root)
    ensure(place, specs, update=update, progress=progress)
    return url(place)


@storage_errors
def list_packages(*, root: PathLike | None = None) -> list[dict[str, Any]]:
    """Return the records of the `wheels` channel's packages (name, version, build, license, size in bytes, …)."""
    from mambakernels.channels import conda_packages

    found = conda_packages.records(folder(Root.find(root)), paths.subdir())
    return [{"file": name, **found[name]} for name in sorted(found)]


def load(root: Root) -> State | None:
    """Return the channel's state; None if there is no channel for this interpreter that this code has built."""
    try:
        known = decoding.decode(json.loads((folder(root) / _STATE).read_bytes()), State)
    except (FileNotFoundError, ValueError):
        return None
    same = (known.interpreter, known.code) == (interpreter.fingerprint(), code())
    return known if same and all((folder(root) / paths.subdir() / name).exists() for name in known.files) else None


def save(root: Root, state: State) -> None:
    """Write the state in one step."""
    content = json.dumps({"schema": _SCHEMA, **asdict(state)}, indent=1)
    write_atomically(folder(root) / _STATE, content)


@storage_errors
def clean(root: PathLike | None = None) -> int:
    """Remove the `wheels` channels of all Pythons and the package cache; return the number of bytes freed.

    Environments keep working: each has its own links to the files that it shares with the cache.
    """
    root = Root.find(root)
    freed = 0
    with nobody_using_packages(root):
        for folder in (*root.channels.glob("wheels-*"), *root.path.glob(root.packages.name)):
            with locked(root, folder.name):
                freed += paths.disk_usage(folder).own
                shutil.rmtree(folder)
    return freed


@functools.cache
def code() -> str:
    """Return a hash of the code that builds packages: with other code, packages may differ."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _wanted_blas(specs: Sequence[str]) -> tuple[str, ...]:
    """Return the BLAS libraries that specs name, by a build string or by the library's package; else OpenBLAS."""
    wanted: list[str] = []
    for spec in specs:
        asked = match_spec.read(spec)
        if asked.name in {*blas_libraries.INTERFACES, "blas"} and asked.build:
            wanted += [blas.name for blas in _matching(spec)]
        elif asked.name in blas_libraries.BY_NAME:
            wanted += [blas.name for blas in _possible((blas_libraries.BY_NAME[asked.name],))]
    return tuple(dict.fromkeys(wanted)) or ("openblas",)


def _matching(spec: str) -> tuple[BlasLibrary, ...]:
    matching = blas_libraries.matching(match_spec.read(spec))
    if not matching:
        raise errors.InvalidRequestError(
            f"No BLAS matches {spec}.",
            next_step="The wheels channel knows "
            + ", ".join(f"'libblas=*=*{name}'" for name in blas_libraries.BY_NAME)
            + ".",
        )
    return _possible(matching)


def _possible(named: tuple[BlasLibrary, ...]) -> tuple[BlasLibrary, ...]:
    """Return those that are available here; ChannelError if none is."""
    possible = tuple(blas for blas in named if blas_libraries.why_not(blas) is None)
    if not possible:
        raise unavailable(named[0], str(blas_libraries.why_not(named[0])))
    return possible


def unavailable(blas: BlasLibrary, reason: str) -> errors.ChannelError:
    """Return the error that a BLAS is not available here, with those that are."""
    names = ", ".join(item.name for item in blas_libraries.available() if item != blas)
    return errors.ChannelError(
        f"{blas.title} is not available here: {reason}.",
        next_step=f"The wheels channel offers {names}; where conda-forge can be reached, it has more: "
        "--channel conda-forge.",
    )


def _tidy(root: Root) -> None:
    """Remove what a build that was killed after it had published has left, unless one is going on."""
    if conda_packages.has_scratch(folder(root)):
        with locked_if_free(root, folder(root).name) as alone:
            if alone:
                conda_packages.remove_scratch(folder(root))


def _sufficient(root: Root, request: WheelsRequest) -> State | None:
    """Return the channel's state if it has packages of all requested names."""
    known = load(root)
    if known is None or not set(request.blas) <= set(known.blas):
        return None
    have = {source.split()[1] for source in known.sources}
    return known if set(map(match_spec.name_of, request.wheels)) <= have else None
