"""Downloads over HTTP: retried, bounded in time and size, and explained in a few words where they fail."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import requests
from requests import exceptions
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader, MaxRetryError, NameResolutionError, ReadTimeoutError
from urllib3.util import Retry

from mambakernels.errors import DownloadError
from mambakernels.progress import Event, Progress, silent
from mambakernels.system.credentials import public
from mambakernels.system.reachable import within

PATIENCE = 60.0  # seconds until a server answers, retries included; a body may take longer
_CONNECT = 5.0  # seconds
_READ = 20.0  # seconds without a byte
_ATTEMPTS = 4
_BACKOFF = 0.5  # seconds, doubling from one attempt to the next
_LONGEST_WAIT = 20  # seconds that a server may ask to wait
_CHUNK = 1 << 16
_TEXT_LIMIT = 4096
_PASSING = (429, 500, 502, 503, 504)  # statuses that may be gone a moment later
ABSENT = frozenset({403, 404, 410})  # object stores answer 403 for a missing object

# The first kind found among an error and its causes gives the words.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.ProxyError, "the proxy cannot be reached, or does not let it through"),
    (NameResolutionError, "the server's name cannot be resolved"),
    (exceptions.SSLError, "the server's certificate is not trusted (REQUESTS_CA_BUNDLE names your own)"),
    (exceptions.TooManyRedirects, "it redirects without end"),
    (exceptions.InvalidSchema, "such an address cannot be used"),
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionResetError, "the connection was reset"),
    (exceptions.ConnectTimeout, "no connection in time"),
    (exceptions.ReadTimeout, "nothing came for too long"),
    (ReadTimeoutError, "nothing came for too long"),
    (exceptions.ChunkedEncodingError, "the body broke off"),
)


def fetch(
    url: str, target: Path, *, limit: int, label: str = "", patience: float = PATIENCE, progress: Progress = silent
) -> None:
    """Download `url` to `target`; if that fails, DownloadError with what happened instead, and no `target`.

    `limit` is the most bytes it may have, `label` its name in progress events.
    """
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with _opened(url, patience) as response:
                    return _receive(url, response, target, limit=limit, label=label or target.name, progress=progress)
            except requests.RequestException as error:  # the body broke off; all before it is retried in _session
                if attempt == _ATTEMPTS:
                    raise _failure(url, _reason(error, url), attempts=attempt) from error
                time.sleep(_BACKOFF)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def read_text(url: str, *, patience: float = PATIENCE) -> str | None:
    """Return a short text, or None where there is none (404, 403, 410); DownloadError with what answered."""
    try:
        with _opened(url, patience) as response:
            text: bytes = next(response.iter_content(_TEXT_LIMIT), b"")
            return None if _is_web_page(response, text) else text.decode("utf-8", "replace")
    except requests.RequestException as error:
        raise _failure(url, _reason(error, url)) from error
    except DownloadError as error:
        if error.status in ABSENT:
            return None
        raise


def redacted(url: str) -> str:
    """Return an address without what may be secret: user, password, token, query."""
    return re.split(r"[?#]", public(url))[0]


class _Retries(Retry):
    """urllib3's retries, which end at once if a server asks for a long wait, and ignore a malformed Retry-After."""

    def increment(self, *arguments: Any, **options: Any) -> _Retries:
        response = options.get("response")
        if response is not None and (self.get_retry_after(response) or 0) > _LONGEST_WAIT:
            raise MaxRetryError(options["_pool"], "")  # as raise_on_status is false, the response is returned
        return super().increment(*arguments, **options)

    def parse_retry_after(self, retry_after: str) -> float:
        try:
            return super().parse_retry_after(retry_after)
        except InvalidHeader:
            return 0.0


def _session(url: str) -> requests.Session:
    """Return a session that retries, and follows no redirect from https to http."""
    # A name that is not resolved and a connection that is refused stay so: `connect` and `other` are not retried.
    retries = _Retries(
        _ATTEMPTS - 1,
        connect=0,
        other=0,
        status_forcelist=_PASSING,
        backoff_factor=_BACKOFF,
        backoff_jitter=_BACKOFF,
        raise_on_status=False,
    )
    session = requests.Session()
    session.max_redirects = 10
    session.headers.update({"User-Agent": "mambakernels", "Accept": "*/*", "Accept-Encoding": "identity"})
    session.adapters.clear()
    for scheme in ("https://",) if url.lower().startswith("https:") else ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retries))
    return session


@contextmanager
def _opened(url: str, patience: float) -> Iterator[requests.Response]:
    """Yield the answer to a GET, all redirects followed, its body unread; DownloadError unless it is a success."""
    with _session(url) as session:
        # Half of the time for connecting, as a name may have two addresses, the first of which leads nowhere.
        get = partial(session.get, url, stream=True, timeout=(min(_CONNECT, patience / 2), _READ))
        try:
            response = within(patience, get)
        except TimeoutError as error:
            raise _failure(url, f"no answer within {patience:.0f} s") from error
        except requests.RequestException as error:
            raise _failure(url, _reason(error, url)) from error
        with response:
            if not response.ok:
                raise _refusal(url, response)
            yield response


def _refusal(url: str, response: requests.Response) -> DownloadError:
    why = f"status {response.status_code} {response.reason or ''}".rstrip()
    retries = response.raw.retries
    assert retries is not None
    if (wait := retries.get_retry_after(response.raw) or 0) > _LONGEST_WAIT:
        why += f", to be tried again in {wait:.0f} s"
    return _failure(url, why, status=response.status_code, attempts=len(retries.history) + 1)


def _failure(url: str, why: str, *, status: int | None = None, attempts: int = 1) -> DownloadError:
    answer = f"{why} ({attempts} attempts)" if attempts > 1 else why
    return DownloadError(f"The file cannot be downloaded: {answer}.", where=redacted(url), answer=answer, status=status)


def _receive(
    url: str, response: requests.Response, target: Path, *, limit: int, label: str, progress: Progress
) -> None:
    """Write the body to a file; requests.RequestException if the network fails meanwhile."""
    # Of an encoded body, which nobody asked for, the header gives the encoded length.
    length = "" if "Content-Encoding" in response.headers else response.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    received = 0
    with target.open("wb") as file:
        for block in response.iter_content(_CHUNK):
            if not received and _is_web_page(response, block):
                raise _failure(url, "a web page came instead of the file (a login page, or a proxy's)")
            received += len(block)
            if received > limit:
                raise _failure(url, f"the body is longer than {limit} bytes")
            file.write(block)
            progress(Event("download", label, received, total))


def _reason(error: BaseException, url: str) -> str:
    """Say in a few words what happened; an error's own text may hold an address with a key."""
    chain = list(_causes(error))
    if url.lower().startswith("https:") and isinstance(error, exceptions.InvalidSchema):
        return "it redirects from https to an address that is not"
    known = (words for kind, words in _REASONS if any(isinstance(item, kind) for item in chain))
    system = (item.strerror for item in chain if isinstance(item, OSError) and item.strerror)
    return next(known, None) or next(system, None) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_web_page(response: requests.Response, first: bytes) -> bool:
    """Whether a body is a web page: by its first bytes, as servers call all kinds of files text/html."""
    begins = first[:64].lstrip().lower()
    typed = "html" in response.headers.get("Content-Type", "").lower()
    return begins.startswith((b"<!doctype html", b"<html")) or (typed and begins.startswith(b"<"))
