"""A `.condarc` that the user names: the default channels, and where channels are. No other `.condarc` is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mambakernels import errors

VARIABLE = "MAMBAKERNELS_CONDARC"
_ALIAS = "https://conda.anaconda.org"
_ANACONDA = "https://repo.anaconda.com/pkgs"
_OF_ANACONDA = frozenset({"main", "r", "msys2", "pro", "free"})
_DEFAULTS = (f"{_ANACONDA}/main", f"{_ANACONDA}/r")
_KINDS = {
    "channel_alias": "an address",
    "custom_channels": "a mapping of names to addresses",
    "mirrored_channels": "a mapping of names to lists of addresses",
}


@dataclass(frozen=True)
class Condarc:
    """The settings of a `.condarc` about channels, under its own keys; without one, conda's defaults.

    `custom_channels` are bases of single channels, `mirrored_channels` where a channel is instead, the first one first.
    """

    channels: tuple[str, ...] | str = ()
    channel_alias: str = ""
    custom_channels: Mapping[str, str] = field(default_factory=dict)
    mirrored_channels: Mapping[str, tuple[str, ...] | str] = field(default_factory=dict)
    default_channels: tuple[str, ...] | str = _DEFAULTS

    def address(self, name: str, *, alias: str = _ALIAS) -> str:
        """Return where the channel of a name is; `alias` is where channels are if the file does not say."""
        if mirrors := listed(self.mirrored_channels.get(name, ())):
            return mirrors[0].rstrip("/")
        if anacondas := self._of_anaconda(name):
            return anacondas
        parts = name.split("/")
        for length in range(len(parts), 0, -1):
            if base := self.custom_channels.get("/".join(parts[:length])):
                return f"{base.rstrip('/')}/{name}"
        return f"{(self.channel_alias or alias).rstrip('/')}/{name}"

    def _of_anaconda(self, name: str) -> str | None:
        """Return the address of `main`, `r` and the like: where `default_channels` has it, else Anaconda's own."""
        last = name.removeprefix("pkgs/")
        if last not in _OF_ANACONDA or name in self.custom_channels:
            return None
        defaults = (url.rstrip("/") for url in listed(self.default_channels) if "://" in url)
        return next((url for url in defaults if url.endswith(f"/{last}")), f"{_ANACONDA}/{last}")


def named() -> Condarc:
    """Read the file that MAMBAKERNELS_CONDARC names; InvalidRequestError or NotFoundError if it cannot be read."""
    given = os.environ.get(VARIABLE)
    if not given:
        return Condarc()
    from mambakernels.system import decoding

    path = Path(given).expanduser()
    content = _content(path)
    keys = [item.name for item in fields(Condarc) if content.get(item.name)]
    try:
        return decoding.decode({key: content[key] for key in keys}, Condarc)
    except decoding.MisfitError as error:
        kind = _KINDS.get(error.key, "a list of names or addresses")
        raise errors.InvalidRequestError(f"`{error.key}` in a .condarc must be {kind}.", where=str(path)) from error


def listed(value: tuple[str, ...] | str) -> tuple[str, ...]:
    """Return a list that may be a single name, without `nodefaults`, which says what holds here anyway."""
    return tuple(item for item in ((value,) if isinstance(value, str) else value) if item != "nodefaults")


def _content(path: Path) -> Mapping[str, Any]:
    from mambakernels.system import files, yaml

    try:
        content = yaml.load(files.read_text(path))
    except FileNotFoundError as error:
        raise errors.NotFoundError(
            "There is no such .condarc.", where=str(path), next_step=f"Correct or unset {VARIABLE}."
        ) from error
    except ValueError as error:
        raise errors.InvalidRequestError(f"This .condarc is not YAML: {error}.", where=str(path)) from error
    return content if isinstance(content, dict) else {}
