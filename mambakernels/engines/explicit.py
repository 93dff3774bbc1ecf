"""`@EXPLICIT` files, which conda and micromamba read and write: one package a line, by its address and hash."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mambakernels import errors
from mambakernels.engines import Package

_LINE = re.compile(
    r"(?P<url>.+/(?P<subdir>[a-z0-9-]+)/(?P<name>[^/]+)-(?P<version>[^-/]+)-(?P<build>[^-/]+)\.(?:conda|tar\.bz2))"
    r"(?:#(?:sha256:)?(?P<hash>[0-9a-f]{64}|[0-9a-f]{32}))?"
)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_MD5_DIGITS = 32


def parse(line: str, where: str) -> Package:
    """Return the package in a line; InvalidRequestError if the line has no address of one, or its hash is malformed.

    A path without a scheme is that of a file, seen from the working directory, as conda and micromamba have it.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise errors.InvalidRequestError(
            f"This is not the address of a conda package: {line}",
            where=where,
            next_step="After @EXPLICIT, each line is …/SUBDIR/NAME-VERSION-BUILD.conda#HASH (md5, or sha256:…).",
        )
    found = match["hash"] or ""
    is_md5 = len(found) == _MD5_DIGITS
    return Package(
        name=match["name"],
        version=match["version"],
        build=match["build"],
        subdir=match["subdir"],
        url=match["url"] if _SCHEME.match(line) else Path(match["url"]).absolute().resolve().as_uri(),
        sha256="" if is_md5 else found,
        record={"md5": found} if is_md5 else {},
    )


def line(package: Package) -> str:
    """Return the line for a package, with its SHA-256 if that is known, else its MD5."""
    md5 = package.record.get("md5")
    mark = f"#sha256:{package.sha256}" if package.sha256 else f"#{md5}" if md5 else ""
    return f"{package.url}{mark}"


def text(packages: Iterable[Package], subdir: str, *, notes: Sequence[str] = ()) -> str:
    """Return a whole file, with notes as comments."""
    comments = [f"# {note}" for note in notes]
    return "\n".join([f"# platform: {subdir}", *comments, "@EXPLICIT", *map(line, packages), ""])
