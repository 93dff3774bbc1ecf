"""Channels, where packages come from: the choice between conda-forge, any address, and `wheels`, built here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mambakernels import errors
from mambakernels.channels import condarc
from mambakernels.paths import Root
from mambakernels.progress import Progress, silent
from mambakernels.system import reachable
from mambakernels.system.credentials import public

_CONDA_FORGE_VARIABLE = "MAMBAKERNELS_CONDA_FORGE"
_ANSWER_WITHIN = 2.0
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9._-]+)*", re.IGNORECASE)


@dataclass(frozen=True)
class Channel:
    """A chosen channel: its name or address as given, its URL, and the reason for the choice."""

    name: str
    url: str
    why: str

    @property
    def is_wheels(self) -> bool:
        """Whether it is built here and grows on demand."""
        return self.name == "wheels"


def choose_all(names: str | Sequence[str], root: Root) -> list[Channel]:
    """Return the channels of these names; `auto` and `defaults` follow a `.condarc` that the user named."""
    rc, expanded = condarc.named(), [names] if isinstance(names, str) else list(names)
    for word, meant in (("auto", condarc.listed(rc.channels)), ("defaults", condarc.listed(rc.default_channels))):
        expanded = [other for name in expanded for other in (meant if name == word and meant else (name,))]
    return [choose(name, root) for name in dict.fromkeys(expanded)]


def choose(name: str, root: Root) -> Channel:
    """Return the channel of that name, URL or folder; `auto` is conda-forge if it answers soon, else `wheels`."""
    from mambakernels.channels import wheels

    if name == "auto":
        return _auto(root)
    if name == "wheels":
        return Channel(name, wheels.url(root), "wheels, built here, as requested")
    if name == "conda-forge":
        return Channel(name, conda_forge(), f"conda-forge at {public(conda_forge())}, as requested")
    if re.match(r"(https?|file)://", name):
        return Channel(public(name), name.rstrip("/"), f"{public(name)}, as requested")
    folder = Path(name).expanduser().absolute()
    if any((folder / part / "repodata.json").exists() for part in ("noarch", *_subdirs(folder))):
        return Channel(name, folder.as_uri(), f"{folder}, as requested")
    if is_name(name) and not folder.exists():
        address = condarc.named().address(name, **_alias())
        return Channel(name, address, f"{name} at {public(address)}, as requested")
    raise errors.ChannelError(
        f"{name!r} is not a channel: neither auto, wheels, a channel's name, a URL, nor a folder with an index.",
        next_step="Name one of these with --channel.",
    )


def is_name(text: str) -> bool:
    """Whether a text can be a channel's name, such as bioconda or conda-forge/label/broken."""
    return _NAME.fullmatch(text) is not None


def reopen(url: str, root: Root) -> Channel:
    """Return the channel an environment was made from, by the address in its manifest (without credentials)."""
    from mambakernels.channels import wheels

    if url == wheels.url(root):
        return choose("wheels", root)
    if url == public(conda_forge()):
        return choose("conda-forge", root)
    return Channel(url, url, f"{url}, as before")


def provide(
    channel: Channel,
    root: Root,
    specs: Sequence[str],
    *,
    insist: bool = False,
    update: bool = False,
    progress: Progress = silent,
) -> None:
    """Make sure that a channel that is built here has packages for the specs; any other channel is left alone.

    `insist` asks for exactly these versions even if the channel has packages of these names, `update` for newer ones.
    """
    from mambakernels.channels import spec_channels, wheels

    if channel.is_wheels:
        wheels.ensure(root, spec_channels.for_wheels(specs), insist=insist, update=update, progress=progress)


def what_wheels_offer() -> str:
    """Return sentences on the packages that the `wheels` channel can offer."""
    from mambakernels.channels import interpreter

    return (
        f"Check names and versions. The wheels channel has Python {interpreter.VERSION}, which mambakernels runs on, "
        "and packages with wheels for it; where conda-forge can be reached, it has more: --channel conda-forge."
    )


def _auto(root: Root) -> Channel:
    from mambakernels.channels import wheels

    address = conda_forge()
    problem = reachable.remembered(root, f"channel {address}", lambda: _problem(address))
    if problem is None:
        return Channel("conda-forge", address, f"conda-forge at {public(address)}, which answers")
    return Channel("wheels", wheels.url(root), f"wheels, built here, as conda-forge does not answer ({problem})")


def conda_forge() -> str:
    """Return the address that `conda-forge` stands for; a mirror can be named with MAMBAKERNELS_CONDA_FORGE."""
    mirror = os.environ.get(_CONDA_FORGE_VARIABLE)
    return mirror.rstrip("/") if mirror else condarc.named().address("conda-forge")


def _alias() -> dict[str, str]:
    """Return where other channels are if conda-forge has a mirror: next to it, if its address ends in its name."""
    base, found, rest = os.environ.get(_CONDA_FORGE_VARIABLE, "").rstrip("/").rpartition("/conda-forge")
    return {"alias": base} if found and not rest else {}


def _problem(address: str) -> str | None:
    """Return why a channel does not answer, in a few words; None if it does. It takes two seconds at most."""
    if address.startswith("file://"):
        return None
    try:
        return reachable.within(_ANSWER_WITHIN, lambda: _ask(address))
    except TimeoutError as error:
        return str(error)


def _ask(address: str) -> str | None:
    """Ask for the compressed index, and where that is not known or not answered to HEAD, for the plain one."""
    import requests

    try:
        url = f"{address}/noarch/repodata.json"
        answer = requests.head(f"{url}.zst", timeout=_ANSWER_WITHIN, allow_redirects=True)
        if answer.status_code in {requests.codes.not_found, requests.codes.method_not_allowed}:
            with requests.get(url, timeout=_ANSWER_WITHIN, stream=True) as answer:
                return None if answer.ok else f"status {answer.status_code}"
    except requests.RequestException as error:
        return type(error).__name__
    return None if answer.ok else f"status {answer.status_code}"


def _subdirs(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
