"""Downloads from a server that misbehaves: each ends in the right file or the right error, never in a wrong file."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import misbehaving_server as bad
from support.misbehaving_server import Answer, Server

from mambakernels import errors
from mambakernels.bootstrap import download, transport
from mambakernels.bootstrap.transport import Policy
from mambakernels.progress import Event

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
# Bounds as the tests can wait for them; the rules are those of every download.
QUICK = Policy(
    patience=5, connect=2, answer=2, read=0.4, window=0.3, slowest=5_000, attempts=4, pause=0.01, longest_pause=2
)


@pytest.fixture
def server() -> Iterator[Server]:
    with bad.serving() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "to here" / "file"


def is_right(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_file_arrives_with_its_hash_and_progress(server: Server, target: Path) -> None:
    events: list[Event] = []
    url = server.at("/f", bad.whole(CONTENT))
    assert download.fetch(url, target, label="the file", progress=events.append) == SHA256
    is_right(target)
    assert events[-1] == Event("download", "the file", len(CONTENT), len(CONTENT))
    assert [event.done for event in events] == sorted(event.done or 0 for event in events)


@pytest.mark.parametrize("sha256", [SHA256, None])
@pytest.mark.parametrize(
    "answers",
    [
        [bad.truncated(CONTENT, 100_000), bad.truncated(CONTENT, 50_000), bad.whole(CONTENT)],
        [bad.reset(CONTENT, 100_000), bad.whole(CONTENT)],
        [bad.stalled(CONTENT, 100_000), bad.whole(CONTENT)],
        [bad.dripping(CONTENT, 0.05, size=100), bad.whole(CONTENT)],
        [bad.truncated(CONTENT, 100_000), bad.deaf_to_ranges(CONTENT)],
        [bad.truncated(b"x" * 200_000, 100_000, etag='"0"'), bad.whole(CONTENT)],
        [bad.truncated(CONTENT, 100_000), bad.status(416), bad.whole(CONTENT)],
        [bad.truncated(CONTENT, 100_000), bad.wrong_range(CONTENT)],
        [bad.status(503), bad.status(500), bad.status(502), bad.whole(CONTENT)],
        [bad.status(429, Retry_After="0"), bad.whole(CONTENT)],
        [bad.status(503, Retry_After="1"), bad.whole(CONTENT)],
        [bad.mute(), bad.whole(CONTENT)],
        [bad.gzipped(CONTENT)],
        [bad.chunked(CONTENT)],
        [bad.chunked(CONTENT, breaks_off=True), bad.whole(CONTENT)],
    ],
    ids=[
        "truncated twice",
        "reset",
        "stalled",
        "dripping",
        "range ignored",
        "etag changed",
        "416",
        "wrong range",
        "passing statuses",
        "429",
        "503 with Retry-After",
        "mute",
        "gzipped unasked",
        "chunked",
        "chunks break off",
    ],
)
def test_what_passes_is_tried_again(server: Server, target: Path, answers: list[Answer], sha256: str | None) -> None:
    url = server.at("/f", *answers)
    assert download.fetch(url, target, sha256=sha256, policy=QUICK) == SHA256
    is_right(target)
    assert server.count("/f") >= len(answers)


@pytest.mark.parametrize(
    ("answer", "what", "requests"),
    [
        (bad.truncated(CONTENT, 0), "body (broke off|ended)", 4),
        (bad.reset(CONTENT, 10), "reset", 4),
        (bad.stalled(CONTENT, 10), "nothing came for too long", 4),
        (bad.dripping(CONTENT, 0.05), "less than 5000 bytes per second", 4),
        (bad.status(404), "status 404 Not Found", 1),
        (bad.status(403), "status 403", 1),
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
        download.fetch(url, target, policy=QUICK)
    assert caught.value.where == url
    assert not target.exists()
    assert server.count("/f") == requests


def test_a_wrong_hash_names_both_and_leaves_nothing(server: Server, target: Path) -> None:
    url = server.at("/f", bad.whole(b"something else"))
    with pytest.raises(errors.HashMismatchError) as caught:
        download.fetch(url, target, sha256=SHA256, policy=QUICK)
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert list(target.parent.iterdir()) == []
    assert server.count("/f") == 1


def test_a_later_call_goes_on_where_an_earlier_one_broke_off(server: Server, target: Path) -> None:
    url = server.at("/f", bad.truncated(CONTENT, 100_000))
    with pytest.raises(errors.DownloadError):
        download.fetch(url, target, policy=replace(QUICK, attempts=1))
    assert not target.exists()
    server.at("/f", bad.whole(CONTENT))
    assert download.fetch(url, target, policy=QUICK) == SHA256
    is_right(target)
    assert server.seen[-1][1]["Range"] == "bytes=100000-"
    assert server.seen[-1][1]["If-Range"] == '"1"'


def test_a_full_disk_keeps_nothing(server: Server, target: Path) -> None:
    """A limit on the size of files stands for a full disk: writing fails in the middle likewise."""
    import resource

    url = server.at("/f", bad.whole(CONTENT))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            download.fetch(url, target, policy=QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(target.parent.iterdir()) == []


def test_what_another_address_left_is_not_taken_up(server: Server, target: Path) -> None:
    with pytest.raises(errors.DownloadError):
        download.fetch(server.at("/a", bad.truncated(b"x" * 1000, 500)), target, policy=replace(QUICK, attempts=1))
    download.fetch(server.at("/b", bad.whole(CONTENT)), target, policy=QUICK)
    is_right(target)
    assert "Range" not in server.seen[-1][1]


def test_a_partial_file_that_was_damaged_is_fetched_anew(server: Server, target: Path) -> None:
    url = server.at("/f", bad.truncated(CONTENT, 1000))
    with pytest.raises(errors.DownloadError):
        download.fetch(url, target, policy=replace(QUICK, attempts=1))
    (partial,) = target.parent.glob("*.part")
    partial.write_bytes(b"x" * 2000)
    server.at("/f", bad.whole(CONTENT))
    assert download.fetch(url, target, sha256=SHA256, policy=QUICK) == SHA256
    is_right(target)


@pytest.mark.parametrize("note", ["", "[]", '{"url": 1}'])
def test_a_note_that_cannot_be_read_is_no_note(server: Server, target: Path, note: str) -> None:
    target.parent.mkdir()
    target.with_name(".file.part").write_bytes(b"xyz")
    target.with_name(".file.part.json").write_text(note)
    download.fetch(server.at("/f", bad.whole(CONTENT)), target, policy=QUICK)
    is_right(target)


def test_retry_after_may_be_a_date(server: Server, target: Path) -> None:
    url = server.at("/f", bad.status(503, Retry_After=bad.retry_at(3600)))
    with pytest.raises(errors.DownloadError, match=r"tried again in 3[56]\d\d s"):
        download.fetch(url, target, policy=QUICK)
    url = server.at("/f", bad.status(503, Retry_After=bad.retry_at(-10)), bad.whole(CONTENT))
    assert download.fetch(url, target, policy=QUICK) == SHA256


def test_redirects_are_followed_also_without_a_protocol(server: Server, target: Path) -> None:
    server.at("/there", bad.whole(CONTENT))
    url = server.at("/f", bad.redirect(server.url.removeprefix("http:") + "/there"))
    assert download.fetch(url, target, policy=QUICK) == SHA256


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
        download.fetch(url, target, policy=QUICK)
    assert server.seen == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert download.fetch(url, target, policy=QUICK) == SHA256


def test_a_redirect_from_https_to_http_is_refused(
    secure: tuple[Server, Path], server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe, certificate = secure
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    url = safe.at("/f", bad.redirect(server.at("/there", bad.whole(CONTENT))))
    with pytest.raises(errors.DownloadError, match="redirects from https"):
        download.fetch(url, target, policy=QUICK)
    assert server.seen == []
    safe.at("/there", bad.whole(CONTENT))
    for elsewhere in (safe.url.removeprefix("https:") + "/there", "/there", safe.url + "/there"):
        safe.at("/f", bad.redirect(elsewhere))
        assert download.fetch(url, target, policy=QUICK) == SHA256


def test_a_body_longer_than_it_may_be_is_given_up(server: Server, target: Path) -> None:
    with pytest.raises(errors.DownloadError, match="longer than 1000 bytes"):
        download.fetch(server.at("/f", bad.whole(CONTENT)), target, limit=1000, policy=QUICK)
    assert not target.exists()


def test_a_name_that_cannot_be_resolved_is_asked_for_once(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    resolve = transport.socket.getaddrinfo

    def count(host: str, *arguments: object, **options: object) -> object:
        asked.append(host)
        return resolve(host, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("socket.getaddrinfo", count)
    with pytest.raises(errors.DownloadError, match="its name cannot be resolved"):
        download.fetch("https://nowhere.invalid/f", target)
    assert asked == ["nowhere.invalid"]


def test_a_resolver_that_hangs_is_left_alone(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named fake of a resolver whose servers do not answer."""
    done = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: done.wait(30) and [])
    started = time.monotonic()
    with pytest.raises(errors.DownloadError, match="no answer within"):
        download.fetch("https://nowhere.invalid/f", target, policy=replace(QUICK, patience=0.5))
    assert time.monotonic() - started < 5
    done.set()


def test_a_head_that_drips_is_given_up(server: Server, target: Path) -> None:
    started = time.monotonic()
    with pytest.raises(errors.DownloadError, match="no answer within"):
        download.fetch(server.at("/f", bad.dripping_head(0.1)), target, policy=replace(QUICK, answer=0.5, attempts=2))
    assert time.monotonic() - started < 5


def test_nobody_listening_is_said_at_once(target: Path) -> None:
    with bad.serving() as gone:
        url = gone.url
    with pytest.raises(errors.DownloadError, match="refused"):
        download.fetch(url + "/f", target)


def test_a_proxy_is_used_and_named(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.at("http://files.invalid/f", bad.whole(CONTENT))
    assert download.fetch("http://files.invalid/f", target, policy=QUICK) == SHA256
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(errors.DownloadError, match="proxy"):
        download.fetch("https://files.invalid/g", target, policy=QUICK)


def test_what_is_secret_in_an_address_is_never_shown(server: Server, target: Path) -> None:
    server.at("/t/tk-123/f", bad.truncated(CONTENT, 10))
    url = server.url.replace("://", "://me:geheim@") + "/t/tk-123/f?key=abc"
    with pytest.raises(errors.DownloadError) as caught:
        download.fetch(url, target, policy=replace(QUICK, attempts=1))
    left = "".join(path.read_text("latin-1") for path in target.parent.iterdir())
    for secret in ("geheim", "tk-123", "abc"):
        assert secret not in str(caught.value) + left
    assert json.loads((target.parent / ".file.part.json").read_text())["total"] == len(CONTENT)


def test_a_short_text_is_read_or_is_not_there(server: Server) -> None:
    assert download.read_text(server.at("/t", bad.status(503), bad.whole(b"abc\n")), policy=QUICK) == "abc\n"
    assert download.read_text(server.at("/t", bad.status(404)), policy=QUICK) is None
    assert download.read_text(server.at("/t", bad.whole(b"<html>", kind="text/html")), policy=QUICK) is None
    with pytest.raises(errors.DownloadError, match="status 500"):
        download.read_text(server.at("/t", bad.status(500)), policy=QUICK)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_end_in_mid_download_leaves_nothing_wrong_and_the_next_goes_on(
    server: Server, target: Path, number: int
) -> None:
    url = server.at("/f", bad.stalled(CONTENT, 100_000))
    code = "import sys; from pathlib import Path; from mambakernels import download; "
    code += "download.fetch(sys.argv[1], Path(sys.argv[2]))"
    child = subprocess.Popen([sys.executable, "-c", code, url, target], stderr=subprocess.DEVNULL)
    partial = target.with_name(".file.part")
    while not (partial.exists() and partial.stat().st_size == 100_000):
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, number)
    assert child.wait(30) != 0
    assert not target.exists()
    server.at("/f", bad.whole(CONTENT))
    assert download.fetch(url, target, sha256=SHA256, policy=QUICK) == SHA256
    is_right(target)
    assert server.seen[-1][1]["Range"] == "bytes=100000-"
