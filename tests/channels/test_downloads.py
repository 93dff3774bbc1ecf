"""What pip says when an index cannot be read, with pip itself: a wrong address is never called a wrong name."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import misbehaving_server as bad
from support.misbehaving_server import Server

from mambakernels import errors
from mambakernels.channels import downloads
from mambakernels.progress import silent


@pytest.fixture
def server() -> Iterator[Server]:
    with bad.serving() as running:
        yield running


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing of this machine's configuration of pip; the index is what the test names in `PIP_INDEX_URL`."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_RETRIES", "0")  # with none, pip keeps the reason to itself
    return monkeypatch


def failure(tmp_path: Path) -> errors.ChannelError:
    with pytest.raises(errors.ChannelError) as caught:
        downloads.wheels(["numpy"], tmp_path / "wheels", progress=silent)
    return caught.value


@pytest.mark.parametrize("retries", ["0", "1"])
def test_an_index_nobody_serves_is_not_a_wrong_name(ask: pytest.MonkeyPatch, tmp_path: Path, retries: str) -> None:
    with bad.serving() as gone:
        url = gone.url
    ask.setenv("PIP_INDEX_URL", f"{url}/simple")
    ask.setenv("PIP_RETRIES", retries)
    error = failure(tmp_path)
    assert re.fullmatch(r"The Python package index cannot be reached: Connection refused\.", error.what)
    assert error.where == f"{url}/simple/"
    assert "PIP_INDEX_URL" in str(error.next_step)
    assert "pip config" in str(error.next_step)
    assert "numpy" not in str(error)


def test_a_host_without_an_address_is_said(ask: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ask.setenv("PIP_INDEX_URL", "https://nowhere.invalid/simple")
    error = failure(tmp_path)
    assert "cannot be reached" in error.what
    assert error.where == "https://nowhere.invalid/simple/"


@pytest.mark.parametrize(
    ("status", "what"), [(401, "refused the request: 401"), (403, "refused the request: 403"), (503, "reached: .*503")]
)
def test_an_index_that_answers_with_an_error_is_said(
    ask: pytest.MonkeyPatch, server: Server, tmp_path: Path, status: int, what: str
) -> None:
    server.at("/simple/numpy/", bad.status(status))
    ask.setenv("PIP_INDEX_URL", server.url.replace("://", "://me:geheim@") + "/simple")
    error = failure(tmp_path)
    assert re.search(what, error.what)
    assert "PIP_INDEX_URL" in str(error.next_step)
    assert "geheim" not in str(error)
    assert "numpy" not in str(error)


def test_a_certificate_that_pip_does_not_trust_is_said(ask: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate, key, both = (tmp_path / name for name in ("cert.pem", "key.pem", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    with bad.serving(both) as server:
        ask.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        error = failure(tmp_path)
    assert "refused the request: self" in error.what
    assert "certificates" in str(error.next_step)


def test_a_host_that_is_not_secure_is_said(ask: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ask.setenv("PIP_INDEX_URL", "http://nowhere.invalid/simple")
    error = failure(tmp_path)
    assert error.what == "The package index refused the request: not a trusted or secure host."
    assert error.where == "nowhere.invalid"


def test_a_name_that_an_index_does_not_have_is_a_wrong_name(
    ask: pytest.MonkeyPatch, server: Server, tmp_path: Path
) -> None:
    server.at("/simple/numpy/", bad.status(404))
    ask.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    error = failure(tmp_path)
    assert "matches numpy" in error.what
    assert "Check the name" in str(error.next_step)
    assert "conda-forge" not in str(error.next_step)  # which may just have failed to answer
