"""Virtual packages to assume of a machine of another platform than this one."""

from __future__ import annotations

from collections.abc import Mapping

from mambakernels import errors, paths

# Old enough that the packages solved for them run on most machines in use; pixi assumes the same.
_LINUX = {"__unix": "0", "__linux": "4.18", "__glibc": "2.28"}
_MACOS = {"__unix": "0", "__osx": "13.0"}
_WINDOWS = {"__win": "0"}

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
    """Return the virtual packages of a subdir; none for this machine's subdir, as engines detect those."""
    if subdir == paths.subdir():
        return {}
    try:
        return _OF_SUBDIR[subdir]
    except KeyError:
        raise errors.InvalidRequestError(
            f"{subdir!r} is not a conda subdir.", next_step=f"Known subdirs: {', '.join(_OF_SUBDIR)}."
        ) from None
