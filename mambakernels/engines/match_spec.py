"""Match specs as rattler reads them: the one reading of specs that are typed, declared in a file or recorded.

rattler is imported in the functions: that takes 50 ms, which a command that reads no spec need not wait for.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from mambakernels.errors import InvalidRequestError

_BUILD = re.compile(r"\^.*\$|[\w.+*]*")  # a regular expression, or a string with wildcards


@dataclass(frozen=True)
class MatchSpec:
    """A package's name in lower case, and the version and build that a spec asks for; empty if it leaves them open."""

    name: str
    version: str
    build: str

    def allows_build(self, build: str) -> bool:
        """Whether a package with this build string fits, whatever its version."""
        import rattler

        record = rattler.PackageRecord(
            rattler.PackageName(self.name),
            rattler.VersionWithSource("0"),
            rattler.BuildString(build),
            0,
            rattler.Subdir("noarch"),
        )
        return bool(native(f"{self.name}[build='{self.build or '*'}']").matches(record))


def native(text: str) -> Any:
    """Return rattler's own object for a match spec; InvalidRequestError if it is not valid."""
    import rattler
    from rattler.exceptions import InvalidMatchSpecError

    try:
        found = rattler.MatchSpec(text, strict=False)
    except InvalidMatchSpecError as error:
        raise _invalid(text, (str(error).splitlines() or [""])[0].rstrip(".")) from error
    if found.namespace:
        raise _invalid(text, f"it cannot have the namespace {found.namespace!r}")
    if not _BUILD.fullmatch(build := str(found.build or "")):
        raise _invalid(text, f"{build!r} cannot be a build string")
    return found


def _invalid(text: str, reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{text!r} is not a valid match spec: {reason}.",
        next_step="Write it like numpy, python=3.11 or 'libblas=*=*mkl'.",
    )


@functools.cache
def read(text: str) -> MatchSpec:
    """Read a match spec; InvalidRequestError if it is not valid."""
    found = native(text)
    return MatchSpec(found.name.normalized, str(found.version or ""), str(found.build or ""))


def name_of(text: str) -> str:
    """Return the name of the package that a match spec is about; InvalidRequestError if the spec is not valid."""
    return read(text).name


@functools.cache
def dependency_name(text: str) -> str:
    """Return the name in an entry of a package's `depends`, whose other parts may be older than any grammar."""
    import rattler

    try:
        return str(rattler.PackageName.from_matchspec_str_unchecked(text).normalized)
    except Exception as error:  # rattler raises a class of its own for each part of a name
        raise _invalid(text, str(error)) from error
