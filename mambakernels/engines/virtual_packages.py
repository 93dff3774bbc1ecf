"""Virtual packages to assume of a machine of another platform than this one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mambakernels import errors, paths

# What a machine of today has, so that today's packages can be solved for: conda-forge's Accelerate wants macOS 15.5.
_LINUX = {"__unix": "0", "__linux": "4.18", "__glibc": "2.28"}
_MACOS = {"__unix": "0", "__osx": "15.5"}
_WINDOWS = {"__win": "10.0"}

_PREFIX = "CONDA_OVERRIDE_"
_OVERRIDABLE = {
    "linux": ("__linux", "__glibc", "__cuda", "__archspec"),
    "osx": ("__osx", "__archspec"),
    "win": ("__win", "__cuda", "__archspec"),
}
_OF_SUBDIR: Mapping[str, Mapping[str, str]] = {
    "linux-64": {**_LINUX, "__archspec": "x86_64"},
    "linux-aarch64": {**_LINUX, "__archspec": "aarch64"},
    "linux-ppc64le": {**_LINUX, "__archspec": "ppc64le"},
    "osx-64": {**_MACOS, "__archspec": "x86_64"},
    "osx-arm64": {**_MACOS, "__archspec": "m1"},
    "win-64": {**_WINDOWS, "__archspec": "x86_64"},
    "win-arm64": {**_WINDOWS, "__archspec": "arm64"},
}


def assumed(subdir: str) -> Mapping[str, str]:
    """Return the virtual packages of a subdir; none for this machine's subdir, as engines detect those.

    `CONDA_OVERRIDE_OSX` and its like count for both; an empty value means that there is none.
    """
    if subdir == paths.subdir():
        return {}
    try:
        found = {**_OF_SUBDIR[subdir]}
    except KeyError:
        raise errors.InvalidRequestError(
            f"{subdir!r} is not a conda subdir.", next_step=f"Known subdirs: {', '.join(_OF_SUBDIR)}."
        ) from None
    for name in _OVERRIDABLE[subdir.partition("-")[0]]:
        value = os.environ.get(variable(name))
        if value is not None:
            found[name] = value
    return {name: value for name, value in found.items() if value}


def overrides() -> dict[str, str]:
    """Return the environment variables that override virtual packages here."""
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}


def override(given: Mapping[str, str]) -> None:
    """Set these overrides and no others, as another process has them."""
    for name in overrides():
        del os.environ[name]
    os.environ.update(given)


def variable(name: str) -> str:
    """Return the environment variable that overrides a virtual package."""
    return f"{_PREFIX}{name.strip('_').upper()}"


def said(subdir: str, assumed: Mapping[str, str]) -> str:
    """Return a sentence on what is assumed of a machine of another platform."""
    shown = ", ".join(f"{name}={version}" for name, version in sorted(assumed.items()))
    changed = variable("__osx" if subdir.startswith("osx") else "__cuda")
    return f"for {subdir}, a machine with {shown} is assumed; for another, set {changed} and the like"
