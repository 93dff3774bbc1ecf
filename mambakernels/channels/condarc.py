"""A `.condarc` that the user names: which channels there are by default, and where channels are. No other is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mambakernels import errors

VARIABLE = "MAMBAKERNELS_CONDARC"
_ALIAS = "https://conda.anaconda.org"
_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")


@dataclass(frozen=True)
class Condarc:
    """What a `.condarc` says of channels; without one, conda's own defaults.

    `custom` are bases of single channels, `mirrored` where a channel is instead, the first one first.
    """

    channels: tuple[str, ...] = ()
    alias: str = ""
    custom: Mapping[str, str] = field(default_factory=dict)
    mirrored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_channels: tuple[str, ...] = _DEFAULTS

    def address(self, name: str, *, alias: str = _ALIAS) -> str:
        """Return where the channel of a name is; `alias` is where channels are if the file does not say."""
        if mirrors := self.mirrored.get(name):
            return mirrors[0].rstrip("/")
        parts = name.split("/")
        for length in range(len(parts), 0, -1):
            if base := self.custom.get("/".join(parts[:length])):
                return f"{base.rstrip('/')}/{name}"
        return f"{(self.alias or alias).rstrip('/')}/{name}"


def named() -> Condarc:
    """Read the file that MAMBAKERNELS_CONDARC names; InvalidRequestError if it is none, NotFoundError if not there."""
    given = os.environ.get(VARIABLE)
    if not given:
        return Condarc()
    path = Path(given).expanduser()
    content = _content(path)
    return Condarc(
        channels=_texts(content.get("channels"), path, "channels"),
        alias=str(content.get("channel_alias") or ""),
        custom={str(name): str(base) for name, base in _mapping(content, "custom_channels", path).items()},
        mirrored={
            str(name): _texts(mirrors, path, "mirrored_channels")
            for name, mirrors in _mapping(content, "mirrored_channels", path).items()
        },
        default_channels=_texts(content.get("default_channels"), path, "default_channels") or _DEFAULTS,
    )


def _content(path: Path) -> Mapping[str, Any]:
    from mambakernels.system import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.NotFoundError(
            "There is no such .condarc.", where=str(path), next_step=f"Correct or unset {VARIABLE}."
        ) from error
    except ValueError as error:
        raise errors.InvalidRequestError(f"This .condarc is not YAML: {error}", where=str(path)) from error
    return content if isinstance(content, dict) else {}


def _mapping(content: Mapping[str, Any], key: str, path: Path) -> Mapping[Any, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise errors.InvalidRequestError(f"`{key}` in a .condarc is a mapping.", where=str(path))
    return value


def _texts(value: Any, path: Path, key: str) -> tuple[str, ...]:
    listed: Sequence[Any] = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise errors.InvalidRequestError(f"`{key}` in a .condarc is a list of names or addresses.", where=str(path))
    return tuple(item for item in listed if item != "nodefaults")
