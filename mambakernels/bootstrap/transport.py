"""One HTTP answer at a time, and how often to ask again: time-outs, redirects, failures in a few words."""

from __future__ import annotations

import email.utils
import math
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urljoin

import requests
import urllib3

from mambakernels.errors import DownloadError
from mambakernels.system.credentials import public

_CHUNK = 1 << 16
_PASSING = frozenset({429, 500, 502, 503, 504})  # statuses that may be gone a moment later
T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    """How long something is waited for, in seconds, and how often it is tried.

    `patience` bounds the time until the first answer, over all attempts; `answer` bounds each of them: name
    resolution, connecting, redirects, headers. A body must bring `slowest` bytes per second in each `window`.
    """

    patience: float = 60.0
    connect: float = 5.0
    answer: float = 20.0
    read: float = 20.0
    window: float = 20.0
    slowest: float = 2_000.0
    attempts: int = 5
    pause: float = 0.5
    longest_pause: float = 20.0


USUAL = Policy()


def redacted(url: str) -> str:
    """Return an address without what may be secret: user, password, token, query."""
    return re.split(r"[?#]", public(url))[0]


class Failure(Exception):  # noqa: N818 (an answer that ends one attempt; it never leaves this module)
    """One attempt failed: why, in a few words, and whether another may do better."""

    def __init__(self, why: str, *, again: bool, wait: float | None = None, status: int | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.again = again
        self.wait = wait
        self.status = status


class _InsecureRedirectError(requests.RequestException):
    """An https address led to one that is not."""


class _Session(requests.Session):
    """Follows a few redirects, also protocol-relative ones, and none from https to anything less."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = 10
        self.headers.update({"User-Agent": "mambakernels", "Accept": "*/*", "Accept-Encoding": "identity"})

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where an answer leads to, or None."""
        target = super().get_redirect_target(resp)
        if target and resp.url.startswith("https:") and not urljoin(resp.url, target).startswith("https:"):
            resp.close()
            raise _InsecureRedirectError(f"redirects from https to {redacted(urljoin(resp.url, target))}")
        return target


def body(response: requests.Response, policy: Policy, limit: int) -> Iterator[bytes]:
    """Yield the body as it comes; Failure if it is longer than `limit`, or slower than it may be."""
    mark, since, received = time.monotonic(), 0, 0
    # read1 returns what is there; iter_content would wait for a whole chunk, for hours if it drips.
    while block := response.raw.read1(_CHUNK, decode_content=True):
        received += len(block)
        if received > limit:
            raise Failure(f"the body is longer than {limit} bytes", again=False)
        yield block
        elapsed = time.monotonic() - mark
        if elapsed >= policy.window:
            if (received - since) / elapsed < policy.slowest:
                raise Failure(f"it came at less than {policy.slowest:.0f} bytes per second", again=True)
            mark, since = time.monotonic(), received


class Exchange:
    """All attempts to get one address: the session they share, and the time that is left until something answers."""

    def __init__(self, url: str, policy: Policy) -> None:
        self.url = url
        self.policy = policy
        self._session = _Session()
        self._until = time.monotonic() + policy.patience

    def left(self) -> float:
        """Return the seconds of patience that are left; without end once something good has answered."""
        return self._until - time.monotonic()

    @contextmanager
    def opened(self, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """Yield the answer to a GET, all redirects followed, its body not read yet."""
        within = max(0.1, min(self.policy.answer, self.left()))
        # Half of the time for connecting, as a name may have two addresses, the first of which leads nowhere.
        timeout = (min(self.policy.connect, within / 2), self.policy.read)
        call = partial(self._session.get, self.url, headers=dict(headers or {}), stream=True, timeout=timeout)
        with _bounded(call, within) as response:
            yield response

    def accept(self, response: requests.Response) -> None:
        """Raise Failure for a status that is not success; after one that is, patience is not asked for again."""
        refuse(response, self.policy)
        self._until = math.inf

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def attempts(url: str, policy: Policy, once: Callable[[Exchange], T]) -> T:
    """Call `once` until it succeeds, as often and as long as the policy has it; DownloadError with the last answer."""
    with closing(Exchange(url, policy)) as exchange:
        for attempt in range(1, policy.attempts + 1):
            try:
                with _translated():
                    return once(exchange)
            except Failure as failure:
                pause = _pause(failure, attempt, policy)
                if not failure.again or attempt == policy.attempts or pause > exchange.left():
                    raise _given_up(failure, url, attempt) from failure
                time.sleep(pause)
    raise AssertionError("a policy allows at least one attempt")


def _given_up(failure: Failure, url: str, attempt: int) -> DownloadError:
    answer = f"{failure.why} ({attempt} attempts)" if attempt > 1 else failure.why
    return DownloadError(
        f"It cannot be downloaded: {answer}.", where=redacted(url), answer=answer, status=failure.status
    )


def _pause(failure: Failure, attempt: int, policy: Policy) -> float:
    """Return the seconds until the next attempt: as the server asks, else doubling, and not all at the same moment."""
    if failure.wait is not None:
        return failure.wait
    doubled: float = policy.pause * 2 ** (attempt - 1)
    return min(policy.longest_pause, doubled) * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)


@contextmanager
def _bounded(call: Callable[[], requests.Response], within: float) -> Iterator[requests.Response]:
    """Yield what `call` answers, and close it; Failure if that takes longer than so many seconds.

    A thread asks, as looking up a name can be neither interrupted nor bounded otherwise.
    """
    answers: list[requests.Response | Exception] = []
    there, gone = threading.Event(), threading.Event()

    def ask() -> None:
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001 (raised again by the thread that waits)
            answers.append(error)
        there.set()
        if gone.is_set():
            _close(answers)

    threading.Thread(target=ask, daemon=True).start()
    try:
        if not there.wait(within):
            raise Failure(f"no answer within {within:.0f} s", again=True)
        answer = answers[0]
        if isinstance(answer, Exception):
            raise answer
        yield answer
    finally:
        gone.set()
        _close(answers)


def _close(answers: list[requests.Response | Exception]) -> None:
    for answer in answers:
        if isinstance(answer, requests.Response):
            answer.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the libraries raise into one kind of failure."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _understood(error) from error


def _understood(error: Exception) -> Failure:
    """Say what happened in a few words, and whether another attempt may do better."""
    chain = list(_causes(error))
    for kind, why, again in _KINDS:
        if any(isinstance(item, kind) for item in chain):
            return Failure(why, again=again)
    return Failure(type(error).__name__, again=False)  # its words may hold an address with a key


# The first kind that is found among an error and its causes says it. A name that cannot be resolved is not tried
# again: it would only take longer.
_KINDS: tuple[tuple[type[BaseException], str, bool], ...] = (
    (requests.exceptions.ProxyError, "the proxy cannot be reached, or does not let it through", False),
    (socket.gaierror, "its name cannot be resolved", False),
    (requests.exceptions.SSLError, "its certificate is not trusted (REQUESTS_CA_BUNDLE names your own)", False),
    (_InsecureRedirectError, "it redirects from https to an address that is not", False),
    (requests.exceptions.TooManyRedirects, "it redirects without end", False),
    (ConnectionRefusedError, "the connection was refused", False),
    (requests.exceptions.ConnectTimeout, "no connection in time", True),
    (urllib3.exceptions.ReadTimeoutError, "nothing came for too long", True),
    (requests.exceptions.ReadTimeout, "nothing came for too long", True),
    (ConnectionResetError, "the connection was reset", True),
    (urllib3.exceptions.IncompleteRead, "the body broke off", True),
    (urllib3.exceptions.ProtocolError, "the connection broke off", True),
    (requests.exceptions.ChunkedEncodingError, "the body broke off", True),
    (requests.exceptions.InvalidSchema, "such an address cannot be used", False),
    (requests.exceptions.InvalidURL, "that is no address", False),
    (requests.exceptions.MissingSchema, "that is no address", False),
    (requests.exceptions.ConnectionError, "it cannot be reached", False),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it, wherever the libraries keep them."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        item = waiting.pop()
        if isinstance(item, BaseException) and item not in seen:
            seen.append(item)
            yield item
            waiting += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]


def refuse(response: requests.Response, policy: Policy) -> None:
    """Raise Failure for a status that is not success."""
    if response.ok:
        return
    status = response.status_code
    why = f"status {status} {response.reason or ''}".strip()
    wait = _retry_after(response)
    if wait is not None and wait > policy.longest_pause:
        raise Failure(f"{why}, to be tried again in {wait:.0f} s", again=False, status=status)
    raise Failure(why, again=status in _PASSING, wait=wait, status=status)


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds a server asks to wait, given as a number or as a date; None if it does not ask."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        moment = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max(0.0, (aware - datetime.now(timezone.utc)).total_seconds())


def validator(response: requests.Response) -> str:
    """Return what names this state of the file: a strong ETag, else its date, else nothing."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def looks_like_html(response: requests.Response, first: bytes) -> bool:
    """Whether a body is a web page: by its first bytes, as servers call all kinds of files text/html."""
    begins = first[:64].lstrip().lower()
    typed = "html" in response.headers.get("Content-Type", "").lower()
    return begins.startswith((b"<!doctype html", b"<html")) or (typed and begins.startswith(b"<"))
