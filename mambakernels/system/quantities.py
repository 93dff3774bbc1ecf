"""Durations, moments and amounts of memory, as people write them and read them."""

from __future__ import annotations

import datetime as dt
import math
import re

from mambakernels.errors import InvalidRequestError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)([smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) *([KMGT])(?:i?B)?", re.IGNORECASE)
_MINUTE = 60
_WITHOUT = {"time-out": "none at all", "budget": "the default"}


def read_duration(given: float | str, what: str = "time-out") -> float:
    """Return seconds from a number or a text such as `90`, `10m`, `1h30m`.

    InvalidRequestError unless more than 0, and finite; it calls the value by `what` it is.
    """
    try:
        seconds = float(given)
    except ValueError:
        text = str(given).replace(" ", "")
        parts = _PART.findall(text) if _DURATION.fullmatch(text) else ()
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidRequestError(
            f"{given!r} is not a {what}: a number of seconds, finite and more than 0.",
            next_step="Write it as seconds, 90, or with units: 45s, 10m, 2h, 1h30m. "
            f"Leave it out for {_WITHOUT[what]}.",
        )
    return seconds


def duration_in_words(seconds: float) -> str:
    """Return a time in seconds for people: `3.2 s`, `2 min 10 s`, `1 h 5 min`."""
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE} min"


def moment_in_words(started: str) -> str:
    """Return an ISO 8601 time for people, in UTC: `2026-11-26 23:39:33`."""
    return f"{dt.datetime.fromisoformat(started).astimezone(dt.timezone.utc):%Y-%m-%d %H:%M:%S}"


def read_memory(given: int | str) -> int:
    """Return bytes from a number of them or a text such as `4G` or `500M`, powers of 1024; else InvalidRequestError."""
    if isinstance(given, str):
        found = _MEMORY.fullmatch(given.strip())
        amount = float(found[1]) * 1024 ** (1 + "KMGT".index(found[2].upper())) if found else 0
    else:
        amount = given
    if amount < 1:
        raise InvalidRequestError(f"{given!r} is not an amount of memory.", next_step="Write it as 500M or 4G.")
    return int(amount)


def memory_in_words(amount: float) -> str:
    """Return an amount of memory in bytes for people, as `read_memory` reads it: `1.5G`, `500M`."""
    for unit in "KMG":
        amount /= 1024
        if amount < 1024:  # noqa: PLR2004 (the step between units)
            return f"{amount:.3g}{unit}"
    return f"{amount / 1024:.3g}T"


def size(count: float) -> str:
    """Return a number of bytes for people, such as `4 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def amount(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural but for one: `1 kernel`, `2 kernels`."""
    return f"{number} {noun}{'s' * (number != 1)}"
