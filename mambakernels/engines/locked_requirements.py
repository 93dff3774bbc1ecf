"""Python packages of lockfiles, as lines of requirements that pip understands, with their hashes."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

_ARCHIVE = re.compile(r"\.(whl|zip|tar\.(gz|bz2|xz)|tgz)$")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://")


def line(name: str, location: str, digest: str, *, folder: Path, editable: bool = False) -> str:
    """Return the line for a package at a URL, a path seen from `folder`, or in a repository.

    `digest` is `sha256=…` or `md5=…`, empty if there is none; pip compares it. Only archives have one: what a lockfile
    says of a folder or of a repository is the hash of something else.
    """
    if not _ADDRESS.match(location):
        return _path(name, location, digest, folder=folder, editable=editable)
    address = location.removeprefix("direct+")
    if re.match(r"(git|hg|svn|bzr)\+", address):
        return f"{name} @ {_repository(address)}"
    fragment = urlsplit(address).fragment
    if not digest or digest in fragment:
        return f"{name} @ {address}"
    return f"{name} @ {address}{'&' if fragment else '#'}{digest}"


def _path(name: str, location: str, digest: str, *, folder: Path, editable: bool) -> str:
    whole = folder / location
    if _ARCHIVE.search(location):
        return f"{name} @ {whole.resolve().as_uri()}" + (f"#{digest}" if digest else "")
    shown = location if location.startswith((".", "/")) or Path(location).is_absolute() else f"./{location}"
    return f"-e {shown}" if editable else shown


def _repository(address: str) -> str:
    """Return `…@REVISION` for pixi's `…?rev=REVISION#COMMIT`; other addresses as they are."""
    parts = urlsplit(address)
    query = parse_qs(parts.query)
    commit = parts.fragment if re.fullmatch(r"[0-9a-fA-F]{7,64}", parts.fragment) else ""
    wanted = commit or next((query[key][0] for key in ("rev", "tag", "branch") if key in query), "")
    if not wanted:
        return address
    inside = f"subdirectory={query['subdirectory'][0]}" if "subdirectory" in query else ""
    path = parts.path if "@" in parts.path.rpartition("/")[2] else f"{parts.path}@{wanted}"
    return urlunsplit((parts.scheme, parts.netloc, path, "", inside))
