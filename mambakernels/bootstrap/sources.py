"""Sources of micromamba: its releases, the SHA-256 of the executables we know, and where to download each."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mambakernels import errors
from mambakernels.system.credentials import public

PINNED = "2.9.0-0"
LATEST = "latest"
SUBDIRS = ("linux-64", "linux-aarch64", "linux-ppc64le", "osx-64", "osx-arm64", "win-64", "win-arm64")
MIRROR_VARIABLE = "MAMBAKERNELS_MICROMAMBA_URL"

# SHA-256 of the executable. The release asset and the archives of the API and of conda-forge all hold this one file.
# linux-ppc64le has no row: only the `.sha256` published with the release can vouch for it.
HASHES: Mapping[str, Mapping[str, str]] = {
    "2.9.0-0": {
        "linux-64": "366cd9cd8be14df1ab8ed50352a82111082a36686b2d389fdb79a92c3fafb3e3",
        "linux-aarch64": "9f93b974adcb4d166996af969b6cd371287d1a3e52733704727884d9b74cb7a7",
        "osx-64": "1e71054bb3ac9a076e21f7ec48acfef536f9b3f1408f371a942784bf5ef83d8a",
        "osx-arm64": "ec2a072f028e1a7cf20f3e2e74d5a8127cf5a5f27636375b5359811565f4e5be",
        "win-64": "a6d804394b2418991c4e29562853eaace2f2ce9d9da661a98e74e02e8dbb44b0",
        "win-arm64": "f0da836d2398c00ac0b43e01f7581ba3430224a04405075c39eb3dd78bf0339a",
    },
}


@dataclass(frozen=True)
class Source:
    """A public server of micromamba; `latest` is "" if it has no address for the newest release."""

    name: str
    address: str
    latest: str = ""


_RELEASES = "https://github.com/mamba-org/micromamba-releases/releases"
SOURCES: tuple[Source, ...] = (
    Source(
        "release asset",
        _RELEASES + "/download/{version}/micromamba-{subdir}",
        _RELEASES + "/latest/download/micromamba-{subdir}",
    ),
    Source(
        "official API",
        "https://micro.mamba.pm/api/micromamba/{subdir}/{number}",
        "https://micro.mamba.pm/api/micromamba/{subdir}/latest",
    ),
    Source("conda-forge", "https://conda.anaconda.org/conda-forge/{subdir}/micromamba-{number}-{build}.tar.bz2"),
)
# The names to try in a folder or below a mirror's address, first one first: the layout of the releases, of one flat
# folder, and of a conda channel.
LAYOUTS = (
    "{version}/micromamba-{subdir}",
    "micromamba-{subdir}",
    "micromamba-{subdir}.exe",
    "{subdir}/micromamba-{number}-{build}.conda",
    "{subdir}/micromamba-{number}-{build}.tar.bz2",
    "micromamba-{subdir}.tar.bz2",
    "micromamba-{subdir}.conda",
)
# In a local folder, the name need not include the subdir.
LOCAL_LAYOUTS = (
    *LAYOUTS,
    "micromamba-{number}-{build}.conda",
    "micromamba-{number}-{build}.tar.bz2",
    "micromamba",
    "micromamba.exe",
    "bin/micromamba",
    "Library/bin/micromamba.exe",
)


@dataclass(frozen=True)
class Release:
    """One version for one subdir; `version` is `X.Y.Z-B` or `latest`."""

    version: str
    subdir: str

    @property
    def known(self) -> str | None:
        """The SHA-256 of its executable, if this package knows it."""
        return HASHES.get(self.version, {}).get(self.subdir)

    @property
    def number(self) -> str:
        """Its version without the build."""
        return self.version.partition("-")[0]

    def fill(self, template: str) -> str:
        """Put version, number, build and subdir into a template."""
        number, _, build = self.version.partition("-")
        return template.format(version=self.version, number=number, build=build, subdir=self.subdir)

    def __str__(self) -> str:
        return f"micromamba {self.version} for {self.subdir}"


@dataclass(frozen=True)
class Candidate:
    """One address or local file to try, and where its SHA-256 is published.

    Where `names_release` is false, the address may hold any version.
    """

    source: str
    address: str
    sums: str
    names_release: bool = True

    @property
    def path(self) -> Path | None:
        """The local file it is, or None if it is an address on the network."""
        return None if "://" in self.address else Path(self.address)

    @property
    def host(self) -> str:
        """The server's name and port; the file itself if it is local."""
        return self.address if self.path else urlsplit(self.address).netloc.rpartition("@")[2]


def known_hashes(subdir: str) -> frozenset[str]:
    """Return the hashes of all executables for a subdir that this package knows."""
    return frozenset(row[subdir] for row in HASHES.values() if subdir in row)


def version_with(sha256: str) -> str | None:
    """Return the version whose executable has that hash, or None."""
    return next((version for version, row in HASHES.items() if sha256 in row.values()), None)


def release(version: str | None, subdir: str) -> Release:
    """Read `2.9.0-0`, `2.9.0` (build 0), `latest` or None (the pinned one); InvalidRequestError for anything else."""
    if subdir not in SUBDIRS:
        raise errors.InvalidRequestError(
            f"There is no micromamba for {subdir}; there is one for {', '.join(SUBDIRS)}.",
            next_step="Name one of these with --subdir, or use the embedded engine: --engine rattler.",
        )
    version = PINNED if version is None else version
    if version != LATEST and not re.fullmatch(r"\d+\.\d+\.\d+(\.?[a-z]+\d*)?(-\d+)?", version):
        raise errors.InvalidRequestError(
            f"{version!r} is not a version of micromamba.", next_step=f"Write it like {PINNED}, or latest."
        )
    return Release(version if version == LATEST or "-" in version else f"{version}-0", subdir)


def candidates_for(wanted: Release, source: str | os.PathLike[str] | None = None) -> tuple[Candidate, ...]:
    """Return what to try, best first: the source that was named, else the variable's mirror, else the public sources.

    A mirror is the address of one file, in which {subdir}, {version} (2.9.0-0), {number} (2.9.0) and {build} (0) are
    filled in, or of a folder that has one of `LAYOUTS`.
    """
    named = os.fspath(source) if source else os.environ.get(MIRROR_VARIABLE, "").strip()
    if not named:
        return _public(wanted)
    label = "as given" if source else MIRROR_VARIABLE
    if named.startswith("file:"):
        named = url2pathname(urlsplit(named).path)
    if "://" not in named:
        return (_local(Path(named).expanduser().absolute(), wanted, label),)
    return _remote(named, wanted, label)


def _public(wanted: Release) -> tuple[Candidate, ...]:
    """Return the public sources. All share the hash that is published next to the bare executable.

    (`micromamba-{subdir}.tar.bz2.sha256` holds this very hash too, not the archive's.)
    """
    templates = {item.name: item.latest if wanted.version == LATEST else item.address for item in SOURCES}
    addresses = {name: wanted.fill(template) for name, template in templates.items() if template}
    sums = next(iter(addresses.values())) + ".sha256"
    return tuple(Candidate(name, address, sums) for name, address in addresses.items())


def _remote(named: str, wanted: Release, label: str) -> tuple[Candidate, ...]:
    """Read a mirror's address: of one file, with or without {subdir} and {version}, or of a folder."""
    try:
        parts = urlsplit(named)
    except ValueError:  # the brackets hold no IPv6 address
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"}:
        raise errors.InvalidRequestError(
            "This address cannot be used.", where=public(named), next_step="Name an https:// address or a file."
        )
    if "{" in named:
        try:
            address = wanted.fill(named)
        except (KeyError, IndexError, ValueError) as error:
            raise errors.InvalidRequestError(
                "A mirror's address may contain only these fields: {subdir}, {version}, {number}, {build}.",
                where=public(named),
            ) from error
        return (_candidate(label, address, names_release="{version}" in named or "{number}" in named),)
    itself = _candidate(label, named, names_release=False)
    if _is_file(parts.path):
        return (itself,)
    inside = tuple(_candidate(label, f"{named.rstrip('/')}/{text}") for text in _filled(LAYOUTS, wanted))
    # The name does not show it, but the address may be that of a file, as the API's are.
    return inside if named.endswith("/") else (*inside, itself)


def _local(path: Path, wanted: Release, label: str) -> Candidate:
    names = _filled(LOCAL_LAYOUTS, wanted)
    if not path.exists():
        raise errors.NotFoundError("There is no such file or folder.", where=str(path))
    found = next((path / name for name in names if (path / name).is_file()), None) if path.is_dir() else path
    if found is None:
        raise errors.NotFoundError(
            f"This folder contains no micromamba for {wanted.subdir}.",
            where=str(path),
            next_step=f"Expected names: {', '.join(names)}.",
        )
    return _candidate(label, str(found), names_release=False)


def _candidate(label: str, address: str, *, names_release: bool = True) -> Candidate:
    return Candidate(label, address, address + ".sha256", names_release)


def _filled(layouts: Sequence[str], wanted: Release) -> list[str]:
    """Return the layouts for a release; `latest` has no build number, so no file is named by one."""
    usable = [text for text in layouts if wanted.version != LATEST or "{build}" not in text]
    return [wanted.fill(text) for text in usable]


def _is_file(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith((".tar.bz2", ".conda", ".exe")) or re.match(r"micromamba(-|$)", name) is not None
