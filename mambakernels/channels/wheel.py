"""A wheel staged as a conda package: its metadata, its dependencies, its files."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.metadata import Metadata, parse_email
from packaging.requirements import Requirement
from packaging.specifiers import Specifier
from packaging.utils import canonicalize_name, parse_wheel_filename

from mambakernels import errors
from mambakernels.channels import interpreter
from mambakernels.channels.conda_packages import Recipe
from mambakernels.channels.wheel_names import conda_name

_LONGEST_NAME_OF_A_LICENCE = 80  # some wheels have the whole text in place of the name
_SHEBANG = re.compile(rb"\A#!/PREFIX/bin/python[^\n]*\n")
# A script finds the Python next to it in any prefix, however long its path and whatever characters are in it.
_RELOCATABLE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/python "$0" "$@"
' '''
"""


@dataclass(frozen=True)
class Wheel:
    """A wheel file on disk."""

    path: Path

    @functools.cached_property
    def name(self) -> str:
        """The canonical name on the index."""
        return str(parse_wheel_filename(self.path.name)[0])

    @functools.cached_property
    def version(self) -> str:
        """The version, spelled so that conda reads it as well."""
        return str(parse_wheel_filename(self.path.name)[1]).replace("+", "_")

    @functools.cached_property
    def sha256(self) -> str:
        """The hash of the file."""
        with self.path.open("rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()

    @functools.cached_property
    def metadata(self) -> Metadata:
        """Its core metadata."""
        with zipfile.ZipFile(self.path) as archive:
            member = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            raw, _unparsed = parse_email(archive.read(member))
        return Metadata.from_raw(raw, validate=False)


def recipe(wheel: Wheel, others: Mapping[str, Wheel], subdir: str) -> Recipe:
    """Describe the package of a wheel; `others` are the wheels of the same resolution, by canonical name.

    Every package is built for one Python, also those that are pure: it brings its bytecode.
    """
    depends = {f"python {interpreter.MINOR}.*": None}
    for requirement in _requirements(wheel, frozenset(), others):
        depends[_match_spec(requirement)] = None
    metadata = wheel.metadata
    return Recipe(
        name=conda_name(wheel.name),
        version=wheel.version,
        subdir=subdir,
        depends=tuple(depends),
        license=licence(metadata),
        summary=metadata.summary,
        homepage=metadata.home_page,
        build_prefix=interpreter.TAG,
    )


def stage(wheel: Wheel, prefix: Path) -> None:
    """Install a wheel's files into `prefix` (purelib, platlib, scripts, data), scripts relocatable."""
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    site = prefix / interpreter.SITE_PACKAGES
    scheme = {
        "purelib": site,
        "platlib": site,
        "scripts": prefix / "bin",
        "data": prefix,
        "headers": prefix / "include" / f"python{interpreter.MINOR}" / wheel.name,
    }
    destination = SchemeDictionaryDestination(
        {key: str(path) for key, path in scheme.items()}, interpreter="/PREFIX/bin/python", script_kind="posix"
    )
    try:
        with WheelFile.open(wheel.path) as source:
            install(source=source, destination=destination, additional_metadata={"INSTALLER": b"conda\n"})
    except (zipfile.BadZipFile, ValueError, KeyError) as error:
        raise errors.ChannelError(f"This wheel cannot be unpacked: {error}", where=wheel.path.name) from error
    for script in (prefix / "bin").glob("*"):
        _relocate(script)


def licence_files(wheel: Wheel, folder: Path) -> tuple[Path, ...]:
    """Extract a wheel's licence texts into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    with zipfile.ZipFile(wheel.path) as archive:
        for name in archive.namelist():
            parts = name.split("/")
            if ".dist-info/" in name and re.match(r"(?i)(licen[cs]e|copying|notice)", parts[-1]):
                target = folder / "-".join(parts[1:])
                with archive.open(name) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                found.append(target)
    return tuple(found)


def licence(metadata: Metadata) -> str | None:
    """Return a wheel's licence: its expression, else its free text if short, else its classifier."""
    if metadata.license_expression:
        return str(metadata.license_expression)
    if metadata.license and len(metadata.license) < _LONGEST_NAME_OF_A_LICENCE and "\n" not in metadata.license:
        return metadata.license
    classifiers = [item for item in metadata.classifiers or () if item.startswith("License ::")]
    return classifiers[0].rpartition(" :: ")[2] if classifiers else None


def _requirements(wheel: Wheel, extras: frozenset[str], others: Mapping[str, Wheel]) -> Iterator[Requirement]:
    """Yield a wheel's requirements on this Python, and those of the extras that it requires."""
    for requirement in wheel.metadata.requires_dist or ():
        wanted = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in (extras or {""})
        )
        if not wanted or canonicalize_name(requirement.name) == wheel.name:
            continue
        yield requirement
        other = others.get(canonicalize_name(requirement.name))
        if requirement.extras and other is not None:
            yield from _requirements(other, frozenset(requirement.extras), others)


def _match_spec(requirement: Requirement) -> str:
    version = ",".join(sorted(_conda_version(specifier) for specifier in requirement.specifier))
    return f"{conda_name(requirement.name)} {version}".strip()


def _conda_version(specifier: Specifier) -> str:
    if specifier.operator in {"==", "==="}:
        return specifier.version if specifier.version.endswith("*") else f"=={specifier.version}"
    return f"{specifier.operator}{specifier.version}"


def _relocate(script: Path) -> None:
    """Make a script executable, as pip always does, and let it find its Python."""
    if script.is_symlink():
        return
    script.chmod(0o755)
    content = script.read_bytes()
    if _SHEBANG.match(content):
        script.write_bytes(_SHEBANG.sub(lambda _: _RELOCATABLE, content, count=1))
