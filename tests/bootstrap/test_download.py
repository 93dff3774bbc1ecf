"""Downloads from a server that misbehaves: each ends in the right file or the right error, never in a wrong file."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import misbehaving_server as bad
from support.misbehaving_server import Answer, Server

from mambakernels import errors
from mambakernels.bootstrap import download
from mambakernels.progress import Event

CONTENT = random.Random(1).randbytes(300_000)
LIMIT = 1_000_000


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds as tests can wait for them."""
    for name, value in {"_READ": 0.4, "_BACKOFF": 0.01, "_LONGEST_WAIT": 2}.items():
        monkeypatch.setattr(download, name, value)


@pytest.fixture
def server() -> Iterator[Server]:
    with bad.serving() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "to here").mkdir()
    return tmp_path / "to here" / "file"


def fetch(url: str, target: Path, *, limit: int = LIMIT, patience: float = 5) -> None:
    download.fetch(url, target, limit=limit, patience=patience)


def is_right(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_file_arrives_with_progress(server: Server, target: Path) -> None:
    events: list[Event] = []
    url = server.at("/f", bad.whole(CONTENT))
    download.fetch(url, target, limit=LIMIT, label="the file", progress=events.append)
    is_right(target)
    assert events[-1] == Event("download", "the file", len(CONTENT), len(CONTENT))
    assert [event.done for event in events] == sorted(event.done or 0 for event in events)


@pytest.mark.parametrize(
    "answers",
    [
        [bad.truncated(CONTENT, 100_000), bad.truncated(CONTENT, 50_000), bad.whole(CONTENT)],
        [bad.reset(CONTENT, 100_000), bad.whole(CONTENT)],
        [bad.stalled(CONTENT, 100_000), bad.whole(CONTENT)],
        [bad.status(503), bad.status(500), bad.status(502), bad.whole(CONTENT)],
        [bad.status(429, Retry_After="0"), bad.whole(CONTENT)],
        [bad.status(503, Retry_After="1"), bad.whole(CONTENT)],
        [bad.status(503, Retry_After="soon"), bad.whole(CONTENT)],
        [bad.mute(), bad.whole(CONTENT)],
        [bad.gzipped(CONTENT)],
        [bad.chunked(CONTENT)],
        [bad.chunked(CONTENT, breaks_off=True), bad.whole(CONTENT)],
    ],
    ids=[
        "truncated twice",
        "reset",
        "stalled",
        "passing statuses",
        "429",
        "503 with Retry-After",
        "503 with a malformed Retry-After",
        "mute",
        "gzipped unasked",
        "chunked",
        "chunks break off",
    ],
)
def test_what_passes_is_tried_again(server: Server, target: Path, answers: list[Answer]) -> None:
    url = server.at("/f", *answers)
    fetch(url, target)
    is_right(target)
    assert server.count("/f") >= len(answers)


@pytest.mark.parametrize(
    ("answer", "what", "requests"),
    [
        (bad.truncated(CONTENT, 0), "body (broke off|ended)", 4),
        (bad.reset(CONTENT, 10), "reset", 4),
        (bad.stalled(CONTENT, 10), "nothing came for too long", 4),
        (bad.status(404), "status 404 Not Found", 1),
        (bad.status(403), "status 403", 1),
        (bad.status(403, Retry_After="soon"), "status 403", 1),
        (bad.status(501), "status 501", 1),
        (bad.status(429), r"status 429 .*4 attempts", 4),
        (bad.status(500), "status 500", 4),
        (bad.status(503), "status 503", 4),
        (bad.status(503, Retry_After="3600"), "tried again in 3600 s", 1),
        (bad.whole(b"<!DOCTYPE html><p>Log in", kind="text/html"), "a web page came", 1),
        (bad.whole(b"  <html>Blocked", kind="application/octet-stream"), "a web page came", 1),
        (bad.whole(b"<p>Blocked", kind="text/html; charset=utf-8"), "a web page came", 1),
        (bad.redirect("/f"), "redirects without end", 11),
        (bad.redirect("ftp://127.0.0.1/f"), "cannot be used", 1),
    ],
)
def test_what_stays_is_an_error(server: Server, target: Path, answer: Answer, what: str, requests: int) -> None:
    url = server.at("/f", answer)
    with pytest.raises(errors.DownloadError, match=what) as caught:
        fetch(url, target)
    assert caught.value.where == url
    assert not target.exists()
    assert server.count("/f") == requests


def test_a_full_disk_keeps_nothing(server: Server, target: Path) -> None:
    """A limit on the size of files stands for a full disk: writing fails in the middle likewise."""
    import resource

    url = server.at("/f", bad.whole(CONTENT))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            fetch(url, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(target.parent.iterdir()) == []


def test_retry_after_may_be_a_date(server: Server, target: Path) -> None:
    url = server.at("/f", bad.status(503, Retry_After=bad.retry_at(3600)))
    with pytest.raises(errors.DownloadError, match=r"tried again in 3[56]\d\d s"):
        fetch(url, target)
    url = server.at("/f", bad.status(503, Retry_After=bad.retry_at(-10)), bad.whole(CONTENT))
    fetch(url, target)


def test_redirects_are_followed_also_without_a_protocol(server: Server, target: Path) -> None:
    server.at("/there", bad.whole(CONTENT))
    url = server.at("/f", bad.redirect(server.url.removeprefix("http:") + "/there"))
    fetch(url, target)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A server that speaks https, and the certificate that makes it trusted."""
    certificate, key, both = (tmp_path / name for name in ("cert.pem", "key.pem", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    with bad.serving(both) as running:
        yield running, certificate


def test_a_certificate_must_be_trusted(
    secure: tuple[Server, Path], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = secure
    url = server.at("/f", bad.whole(CONTENT))
    with pytest.raises(errors.DownloadError, match="certificate is not trusted"):
        fetch(url, target)
    assert server.seen == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    fetch(url, target)


def test_a_redirect_from_https_to_http_is_refused(
    secure: tuple[Server, Path], server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe, certificate = secure
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    url = safe.at("/f", bad.redirect(server.at("/there", bad.whole(CONTENT))))
    with pytest.raises(errors.DownloadError, match="redirects from https"):
        fetch(url, target)
    assert server.seen == []
    safe.at("/there", bad.whole(CONTENT))
    for elsewhere in (safe.url.removeprefix("https:") + "/there", "/there", safe.url + "/there"):
        safe.at("/f", bad.redirect(elsewhere))
        fetch(url, target)


def test_a_body_longer_than_it_may_be_is_given_up(server: Server, target: Path) -> None:
    with pytest.raises(errors.DownloadError, match="longer than 1000 bytes"):
        fetch(server.at("/f", bad.whole(CONTENT)), target, limit=1000)
    assert not target.exists()


def test_a_name_that_cannot_be_resolved_is_asked_for_once(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    resolve = socket.getaddrinfo

    def count(host: str, *arguments: object, **options: object) -> object:
        asked.append(host)
        return resolve(host, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("socket.getaddrinfo", count)
    with pytest.raises(errors.DownloadError, match="the server's name cannot be resolved"):
        fetch("https://nowhere.invalid/f", target)
    assert asked == ["nowhere.invalid"]


def test_a_resolver_that_hangs_is_left_alone(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named fake of a resolver whose servers do not answer."""
    done = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: done.wait(120) and [])
    started = time.monotonic()
    with pytest.raises(errors.DownloadError, match="no answer within"):
        fetch("https://nowhere.invalid/f", target, patience=0.5)
    assert time.monotonic() - started < 60
    done.set()


def test_a_head_that_drips_is_given_up(server: Server, target: Path) -> None:
    started = time.monotonic()
    with pytest.raises(errors.DownloadError, match="no answer within"):
        fetch(server.at("/f", bad.dripping_head(0.1)), target, patience=0.5)
    assert time.monotonic() - started < 60


def test_nobody_listening_is_said_at_once(target: Path) -> None:
    with bad.serving() as gone:
        url = gone.url
    with pytest.raises(errors.DownloadError, match="refused"):
        fetch(url + "/f", target)


def test_a_proxy_is_used_and_named(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.at("http://files.invalid/f", bad.whole(CONTENT))
    fetch("http://files.invalid/f", target)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(errors.DownloadError, match="proxy"):
        fetch("https://files.invalid/g", target)


def test_what_is_secret_in_an_address_is_never_shown(server: Server, target: Path) -> None:
    server.at("/t/tk-123/f", bad.status(404))
    url = server.url.replace("://", "://me:geheim@") + "/t/tk-123/f?key=abc"
    with pytest.raises(errors.DownloadError) as caught:
        fetch(url, target)
    assert "status 404" in str(caught.value)
    for secret in ("geheim", "tk-123", "abc"):
        assert secret not in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_a_short_text_is_read_or_is_not_there(server: Server) -> None:
    assert download.read_text(server.at("/t", bad.status(503), bad.whole(b"abc\n"))) == "abc\n"
    assert download.read_text(server.at("/t", bad.status(404))) is None
    assert download.read_text(server.at("/t", bad.whole(b"<html>", kind="text/html"))) is None
    with pytest.raises(errors.DownloadError, match="status 500"):
        download.read_text(server.at("/t", bad.status(500)))
