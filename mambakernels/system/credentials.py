"""Credentials in the addresses of channels: passed on to the engine, and removed from everything that is written."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mambakernels.errors import MambakernelsError
from mambakernels.progress import Progress

# `https://user:password@host/…`, and conda's `https://host/t/TOKEN/…`
_USER = re.compile(r"(?<=://)[^/\s\"']+@")
_TOKEN = re.compile(r"(https?://[^\s\"']*?)/t/[^/\s\"']+")
_HIDDEN = "*****"


def public(text: str) -> str:
    """Return a text without the credentials of any address in it."""
    return _TOKEN.sub(r"\1", _USER.sub("", text))


@dataclass(frozen=True)
class Secrets:
    """The passwords and tokens in some addresses, and their removal from texts."""

    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, urls: Iterable[str]) -> Secrets:
        """Collect the passwords and tokens, as written and as a server reads them."""
        found = [word for url in urls for word in _secret_words(url)]
        return cls(tuple(sorted({*found, *map(unquote, found)}, key=len, reverse=True)))

    def hide(self, text: str) -> str:
        """Return a text with stars in place of each password and token."""
        return functools.reduce(lambda shown, word: shown.replace(word, _HIDDEN), self.words, public(text))

    def hidden_in(self, progress: Progress) -> Progress:
        """Return a progress callback that hides them in the events."""
        return lambda event: progress(replace(event, detail=self.hide(event.detail)))

    def scrub(self, files: Iterable[Path]) -> None:
        """Rewrite text files that hold any of them."""
        for file in files:
            content = file.read_text(encoding="utf-8")
            if (clean := self.hide(content)) != content:
                file.write_text(clean, encoding="utf-8")

    @contextmanager
    def hidden_in_errors(self) -> Iterator[None]:
        """Remove them from any error of this package that is raised."""
        try:
            yield
        except MambakernelsError as error:
            shown = [None if text is None else self.hide(text) for text in (error.what, error.where, error.next_step)]
            if shown == [error.what, error.where, error.next_step]:
                raise
            raise type(error)(shown[0] or "", where=shown[1], next_step=shown[2]) from None


def restored(url: str, channels: Sequence[str]) -> str:
    """Return a package's address with the credentials of its channel, if it has any."""
    for channel in channels:
        if url.startswith(f"{public(channel)}/"):
            return channel + url[len(public(channel)) :]
    return url


def _secret_words(url: str) -> list[str]:
    parts = urlsplit(url)
    words = [parts.password or parts.username] if parts.scheme.startswith("http") else []
    token = re.search(r"/t/([^/]+)", parts.path) if parts.scheme.startswith("http") else None
    return [word for word in (*words, token and token[1]) if word]
