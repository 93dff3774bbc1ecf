"""The kernel of a run on another machine: its environment is made there from its lock, once per machine."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from jupyter_client.kernelspec import KernelSpec as JupyterSpec

from mambakernels import environments, paths
from mambakernels.channels import wheels
from mambakernels.engines import Package
from mambakernels.errors import InvalidRequestError, MambakernelsError, NotFoundError
from mambakernels.kernels import registration
from mambakernels.kernels.specs import JupyterFolder, KernelSpec
from mambakernels.paths import Root
from mambakernels.runs.kernelspecs import Kernel, find_kernels
from mambakernels.system.locks import locked

_WORKERS = "workers"  # the folder under the root for kernelspecs that no Jupyter lists
_DIGITS = 16


@dataclass(frozen=True)
class KernelOrigin:
    """A kernel as the machine that plans has it: enough to have the same one elsewhere.

    `document` is its `kernel.json`, `packages` the hash of its environment's packages. `lock` is the environment as
    compressed JSON with the exact packages; without one, `why` says why there is none.
    """

    name: str
    document: Mapping[str, Any]
    fingerprint: str
    packages: str | None
    lock: bytes | None
    why: str

    @property
    def lock_hash(self) -> str:
        """The name for the content of the lock."""
        return hashlib.sha256(self.lock or b"").hexdigest()[:_DIGITS]

    @property
    def kernel(self) -> Kernel:
        """The kernel with the kernelspec as it is where it comes from."""
        return Kernel(self.name, JupyterSpec(**self.document), self.fingerprint)


def origin_of(kernel: Kernel) -> KernelOrigin:
    """Return all that another machine needs to have this kernel; reads the environment's `conda-meta`."""
    document = kernel.spec.to_dict()
    lock, why = None, "mambakernels did not make its environment"
    if kernel.ours is not None:
        try:
            lock = _lock_of(Path(kernel.ours["prefix"]), Root(Path(kernel.ours["root"])))
        except MambakernelsError as error:
            why = error.what
    return KernelOrigin(kernel.name, document, kernel.fingerprint, kernel.packages, lock, why)


def provide(origin: KernelOrigin, root: Root) -> Kernel:
    """Return the kernel on this machine: the very same, or one whose environment is made from the lock.

    A kernel that mambakernels did not make is the one of its name here. `NotFoundError` if there is none; or whatever
    making the environment raises.
    """
    kernel = origin.kernel
    if kernel.ours is None:
        return _named(origin)
    if _is_here(kernel, origin.packages):
        return kernel
    if origin.lock is None:
        raise NotFoundError(
            f"{platform.node()} lacks the environment of the kernel {origin.name!r}, which has no lock: {origin.why}",
            where=str(kernel.ours["prefix"]),
            next_step="Put the environment in a folder that all machines share, or name pip's packages as match specs.",
        )
    spec = _registered(origin, _made(origin, root), root)
    document = json.loads((spec.path / "kernel.json").read_bytes()) | {"display_name": kernel.display_name}
    return replace(kernel, spec=JupyterSpec(resource_dir=str(spec.path), **document))


def _lock_of(prefix: Path, root: Root) -> bytes:
    environment = environments.get(prefix, root)
    locked = environments.lock_of(environment)
    [(subdir, packages)] = locked.packages.items()
    content = {
        "subdir": subdir,
        "packages": [{**package.record, **package.identity} for package in packages],
        "channels": list(locked.channels),
        "variables": dict(environment.variables),
    }
    return zlib.compress(json.dumps(content, sort_keys=True).encode(), 9)


def _is_here(kernel: Kernel, packages: str | None) -> bool:
    """Whether this machine has the very environment that the kernelspec starts, and the kernelspec's own files."""
    files = [Path(word) for word in map(str, kernel.spec.argv) if word.startswith("/")]
    return packages is not None and all(file.exists() for file in files) and kernel.packages == packages


def _named(origin: KernelOrigin) -> Kernel:
    try:
        [found] = find_kernels([origin.name])
    except NotFoundError as error:
        raise NotFoundError(
            f"{platform.node()} has no kernel {origin.name!r}, and mambakernels, which did not make it, has no lock.",
            next_step=error.next_step,
        ) from error
    return Kernel(origin.name, found.spec, origin.fingerprint)


def _made(origin: KernelOrigin, root: Root) -> environments.Environment:
    """Return the environment of the lock, which is made unless it exists; its name is the hash of the lock."""
    assert origin.lock is not None
    content = json.loads(zlib.decompress(origin.lock))
    if content["subdir"] != paths.subdir():
        raise InvalidRequestError(
            f"{platform.node()} is {paths.subdir()}, but the lock of {origin.name!r} is for {content['subdir']}.",
            next_step="Run on machines of one platform, or start from one of the others.",
        )
    packages = tuple(map(Package.from_record, content["packages"]))
    spec = environments.of_packages(f"lock-{origin.lock_hash}", packages, content["channels"])
    spec = replace(spec, variables=content["variables"])
    with locked(root, spec.name):  # so that one process of this machine looks for the packages
        if not (root.environments / spec.name).exists():
            spec = replace(spec, packages=_reachable(packages, root))
        return environments.create_environment(spec, root=root)


def _reachable(packages: tuple[Package, ...], root: Root) -> tuple[Package, ...]:
    """Return packages with addresses that this machine can open: those in folders of another machine are found here.

    The `wheels` channel names a package after the hash of its content, so a channel built here has the same one.
    """
    missing = [package for package in packages if (file := _file(package)) and not file.exists()]
    if not missing:
        return packages
    found = {package.url: _in_channels(package, root) for package in missing}
    if None in found.values():
        wanted = [package for package in missing if found[package.url] is None]
        elsewhere = [package for package in wanted if not _is_of_wheels(package)]
        if elsewhere:
            raise _unreachable(elsewhere)
        wheels.ensure(root, [_wish(package) for package in wanted], insist=True)
        found = {package.url: _in_channels(package, root) for package in missing}
    if lost := [package for package in missing if found[package.url] is None]:
        raise _unreachable(lost)
    return tuple(replace(package, url=found.get(package.url) or package.url) for package in packages)


def _file(package: Package) -> Path | None:
    """Return the path in a package's address; None if it is not in a folder."""
    address = urlparse(package.url)
    return Path(unquote(address.path)) if address.scheme == "file" else None


def _in_channels(package: Package, root: Root) -> str | None:
    name = package.url.rpartition("/")[2]
    found = next(root.channels.glob(f"*/{package.subdir}/{name}"), None)
    return found.as_uri() if found else None


def _is_of_wheels(package: Package) -> bool:
    return package.url.split("/")[-3].startswith("wheels-")


def _wish(package: Package) -> str:
    build = f"=*{package.build.rpartition('_')[2]}" if package.name == "libblas" else ""
    return f"{package.name}={package.version}{build}"


def _unreachable(packages: list[Package]) -> NotFoundError:
    return NotFoundError(
        f"{platform.node()} cannot get {', '.join(map(str, packages))}: the channel is a folder of another machine.",
        where=packages[0].url,
        next_step="Make the environment from a channel that all machines reach: an address, or a shared folder.",
    )


def _registered(origin: KernelOrigin, environment: environments.Environment, root: Root) -> KernelSpec:
    """Return the kernelspec with the original's settings, registered once where no Jupyter looks."""
    mark = origin.kernel.ours
    assert mark is not None
    settings = {name: mark.get(name) for name in ("spec", "base", "title", "variant", "variables", "threads")}
    facts = json.dumps([origin.lock_hash, settings, version("mambakernels"), sys.executable], sort_keys=True)
    key = hashlib.sha256(facts.encode()).hexdigest()[:_DIGITS]
    folder = root.path / _WORKERS / key
    with locked(root, f"{_WORKERS}-{key}"):
        there = [spec for spec in JupyterFolder(folder).specs() if spec.spec == mark["spec"]]
        made = there or registration.register_kernels(
            environment,
            name=mark["base"],
            display_name=mark["title"],
            variant=mark["variant"],
            env=mark["variables"],
            threads=mark["threads"],
            data_dir=folder,
        )
    return next(spec for spec in made if spec.spec == mark["spec"])
