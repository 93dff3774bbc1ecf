"""Verified, atomic, resumable downloads: a file is under its name only when it is whole and right."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import requests

from mambakernels.bootstrap import transport
from mambakernels.bootstrap.transport import USUAL, Exchange, Failure, Policy, redacted
from mambakernels.errors import HashMismatchError
from mambakernels.progress import Event, Progress, silent

LIMIT = 400_000_000
_CHUNK = 1 << 16
_REPORT_EVERY = 0.1
_TEXT_LIMIT = 1_000_000
_PARTIAL, _UNSATISFIABLE = 206, 416
_NONE_THERE = frozenset({403, 404, 410})  # object stores say 403 for what they do not have


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    limit: int = LIMIT,
    label: str = "",
    policy: Policy = USUAL,
    progress: Progress = silent,
) -> str:
    """Download `url` to `target` and return the SHA-256 of what is there now; one caller per target at a time.

    `limit` is the most bytes it may have, `label` what progress calls it. What has come of it stays in a hidden file
    beside `target` if it breaks off, and the next call goes on from there. Raises HashMismatchError, or DownloadError
    with what answered.
    """
    report = _Reporter(progress, label or target.name)
    with _Partial(target, url) as partial:
        again = partial.begun  # what an earlier process left may be of another file
        digest = _complete(url, partial, sha256=sha256, limit=limit, policy=policy, report=report)
        if sha256 and digest != sha256 and again:
            partial.discard()
            digest = _complete(url, partial, sha256=sha256, limit=limit, policy=policy, report=report)
        if sha256 and digest != sha256:
            partial.discard()
            raise mismatch(redacted(url), expected=sha256, found=digest)
        partial.publish()
    return digest


def read_text(url: str, *, policy: Policy = USUAL) -> str | None:
    """Return a short text, or None where there is none (404, 403, 410); DownloadError with what answered."""

    def once(exchange: Exchange) -> str | None:
        with exchange.opened() as response:
            if response.status_code in _NONE_THERE:
                return None
            exchange.accept(response)
            text = b"".join(transport.body(response, policy, _TEXT_LIMIT))
            return None if transport.looks_like_html(response, text) else text.decode("utf-8", "replace")

    return transport.attempts(url, policy, once)


def mismatch(where: str, *, expected: str, found: str) -> HashMismatchError:
    """Return the error that names both hashes."""
    return HashMismatchError(
        f"This is not the file that was expected: its SHA-256 is {found}, and it must be {expected}.",
        where=where,
        next_step="Nothing of it was kept. It was changed on the way or at its source: take it from another one.",
    )


@dataclass(frozen=True)
class _Note:
    """What is known about a partial file: of which address (hashed, it may hold a token), and which state of it."""

    url: str
    validator: str
    total: int | None

    @classmethod
    def read(cls, path: Path) -> _Note | None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(content["url"]), str(content["validator"]), content["total"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None


class _Partial:
    """The hidden file beside the target that holds what has come so far, and its running hash."""

    def __init__(self, target: Path, url: str) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name}.part")
        self._note_path = target.with_name(f".{target.name}.part.json")
        self._url = hashlib.sha256(url.encode()).hexdigest()
        self._file: IO[bytes]
        self._hash = hashlib.sha256()
        self.size = 0
        self.validator = ""
        self.total: int | None = None

    def __enter__(self) -> _Partial:  # noqa: PYI034 (Self is newer than Python 3.10)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "a+b", buffering=0)  # noqa: PTH123 (unbuffered; closed on exit)
        note = _Note.read(self._note_path)
        if note and note.url == self._url:
            self._take_up(note)
        else:
            self.restart("", None)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._file.close()
        # What is left of a download that broke off is worth keeping, but not on a disk that is full.
        if isinstance(error, OSError) or (self._path.exists() and self._path.stat().st_size == 0):
            self.discard()

    @property
    def begun(self) -> bool:
        """Whether there is something to go on from."""
        return self.size > 0

    @property
    def digest(self) -> str:
        """The SHA-256 of what has come so far."""
        return self._hash.hexdigest()

    def _take_up(self, note: _Note) -> None:
        self._file.seek(0)
        while block := self._file.read(_CHUNK):
            self._hash.update(block)
            self.size += len(block)
        self.validator, self.total = note.validator, note.total

    def rest(self) -> dict[str, str]:
        """Return the headers that ask for what is missing, or for all of it if it is another file by now."""
        headers = {"Range": f"bytes={self.size}-"}
        return {**headers, "If-Range": self.validator} if self.validator else headers

    def restart(self, validator: str, total: int | None) -> None:
        """Forget what has come, and note what is about to come."""
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.size, self.validator, self.total = 0, validator, total
        note = {"url": self._url, "validator": validator, "total": total}
        self._note_path.write_text(json.dumps(note), encoding="utf-8")

    def append(self, block: bytes) -> None:
        """Add what has just come."""
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        self._hash.update(block)
        self.size += len(block)

    def publish(self) -> None:
        """Give the whole file its name, for good."""
        os.fsync(self._file.fileno())
        self._file.close()  # Windows renames no open file
        self._path.replace(self._target)
        self._note_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what has come."""
        if self._file.closed:
            self._path.unlink(missing_ok=True)
            self._note_path.unlink(missing_ok=True)
        else:
            self.restart("", None)


class _Reporter:
    """Says how much has come, a few times a second."""

    def __init__(self, progress: Progress, detail: str) -> None:
        self._progress = progress
        self._detail = detail
        self._next = 0.0

    def __call__(self, done: int, total: int | None, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now >= self._next:
            self._next = now + _REPORT_EVERY
            self._progress(Event("download", self._detail, done, total))


def _complete(url: str, partial: _Partial, *, sha256: str | None, limit: int, policy: Policy, report: _Reporter) -> str:
    """Bring the partial file to its end, over as many attempts as it may take, and return its SHA-256."""

    def once(exchange: Exchange) -> str:
        # Without a validator only the hash can tell afterwards whether the pieces are of one file.
        resuming = partial.begun and bool(partial.validator or sha256)
        with exchange.opened(partial.rest() if resuming else None) as response:
            if resuming and response.status_code == _UNSATISFIABLE:
                partial.discard()
                raise Failure("the file is shorter now", again=True, wait=0)
            exchange.accept(response)
            _join(response, partial, resuming=resuming)
            _receive(response, partial, policy, limit, report)
        return partial.digest

    return transport.attempts(url, policy, once)


def _join(response: requests.Response, partial: _Partial, *, resuming: bool) -> None:
    """Decide from the headers whether the body goes on where we are or starts from zero."""
    if response.status_code != _PARTIAL:
        plain = "Content-Encoding" not in response.headers  # else the length and the tag are of something else
        length = response.headers.get("Content-Length", "") if plain else ""
        partial.restart(transport.validator(response) if plain else "", int(length) if length.isdigit() else None)
        return
    span = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    changed = bool(partial.validator and transport.validator(response) not in {"", partial.validator})
    if not resuming or span is None or int(span[1]) != partial.size or changed:
        partial.discard()
        raise Failure("another part of the file came than was asked for", again=True, wait=0)


def _receive(response: requests.Response, partial: _Partial, policy: Policy, limit: int, report: _Reporter) -> None:
    report(partial.size, partial.total, last=True)
    for block in transport.body(response, policy, limit - partial.size):
        if not partial.begun and transport.looks_like_html(response, block):
            partial.discard()
            raise Failure("a web page came instead of the file (a login page, or a proxy's)", again=False)
        partial.append(block)
        report(partial.size, partial.total)
    if partial.total is not None and partial.size != partial.total:
        raise Failure(f"the body ended after {partial.size} of {partial.total} bytes", again=True)
    report(partial.size, partial.total, last=True)
