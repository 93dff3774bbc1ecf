"""Channels that match specs name, as `conda-forge::numpy` does: resolved as `--channel` resolves them, and added."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mambakernels.channels import Channel, choose_all
from mambakernels.paths import Root
from mambakernels.system.credentials import public

_PREFIX = re.compile(r"(?P<channel>[^\s\[\]'\"=<>!,;]+?)::(?P<rest>.*)", re.DOTALL)
_BRACKET = re.compile(r"(?P<before>[^\[]*)\[(?P<inside>.*)\]\s*", re.DOTALL)
_FIELD = re.compile(r"(?:[^,'\"]|'[^']*'|\"[^\"]*\")+")
_SUBDIR = re.compile(r"(?P<name>.+)/(?P<subdir>noarch|(?:linux|osx|win|emscripten|wasi|freebsd|zos)-[a-z0-9]+)")


@dataclass(frozen=True)
class _Named:
    """A spec taken apart: its channel, empty without one, the channel's subdir, and the spec without them."""

    channel: str
    subdir: str
    spec: str

    @classmethod
    def of(cls, text: str) -> _Named:
        if match := _PREFIX.fullmatch(text.strip()):
            channel, spec = match["channel"], match["rest"].strip()
        elif found := _in_brackets(text):
            channel, spec = found
        else:
            return cls("", "", text)
        inner = _SUBDIR.fullmatch(channel)
        name, subdir = (inner["name"], inner["subdir"]) if inner else (channel, "")
        return cls("" if name == "*" else name, subdir, spec)

    def at(self, url: str) -> str:
        """Return the spec with its channel's address, which both engines read; of subdirs, they read only a field."""
        inside = f"subdir={self.subdir}"
        if not self.subdir:
            spec = self.spec
        else:
            spec = f"{self.spec[:-1]},{inside}]" if self.spec.endswith("]") else f"{self.spec}[{inside}]"
        return f"{url}::{spec}"


def _in_brackets(text: str) -> tuple[str, str] | None:
    """Return the channel among the fields of a spec, and the spec without it; None without one."""
    match = _BRACKET.fullmatch(text.strip())
    fields = [field.strip() for field in _FIELD.findall(match["inside"])] if match else []
    channels = [field for field in fields if re.match(r"channel\s*=", field)]
    if match is None or not channels:
        return None
    rest = ",".join(field for field in fields if field not in channels)
    return channels[0].partition("=")[2].strip(" '\""), match["before"].strip() + (f"[{rest}]" if rest else "")


def with_named(chosen: Sequence[Channel], specs: Sequence[str], root: Root) -> list[Channel]:
    """Return the chosen channels, followed by those that only the specs name, as micromamba has it."""
    known = {public(channel.url).rstrip("/") for channel in chosen}
    named = choose_all([name for spec in specs if (name := _Named.of(spec).channel)], root)
    more = {public(channel.url).rstrip("/"): channel for channel in named}
    return [*chosen, *(_as_named(channel) for url, channel in more.items() if url not in known)]


def resolved(specs: Sequence[str], root: Root) -> tuple[str, ...]:
    """Return the specs with the addresses of the channels that they name."""
    return tuple(_resolved(_Named.of(spec), spec, root) for spec in specs)


def for_wheels(specs: Sequence[str]) -> tuple[str, ...]:
    """Return the specs that the `wheels` channel may satisfy, without a channel."""
    return tuple(named.spec for named in map(_Named.of, specs) if named.channel in {"", "wheels"})


def _resolved(named: _Named, spec: str, root: Root) -> str:
    if not named.channel:
        return named.spec if named.spec != spec else spec
    found = choose_all([named.channel], root)
    # `defaults` is several channels, and a spec can have one: R's packages are in the one called r, others in the first
    is_r = re.match(r"_?r-|r(?![\w-])|rpy2", named.spec) is not None
    chosen = next((channel for channel in found if is_r and channel.url.endswith("/r")), found[0])
    return named.at(chosen.url)


def _as_named(channel: Channel) -> Channel:
    return replace(channel, why=channel.why.replace("as requested", "as a spec names it"))
