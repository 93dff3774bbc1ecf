"""`auto` on a machine that is cut off: it knows soon, remembers, and asks anew where that may help."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import misbehaving_server as bad
from support.misbehaving_server import Server

from mambakernels import channels, engines
from mambakernels.paths import Root

Cli = Callable[..., subprocess.CompletedProcess[str]]
# A proxy stands for the whole network: whatever is asked for comes here first.
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No micromamba is to be found here."""
    monkeypatch.delenv("MAMBA_EXE", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    for name in (*PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def through(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, server.url)


def choose(root: Root) -> None:
    engine, _why = engines.choose("auto", root)
    assert (engine.name, channels.choose("auto", root).name) == ("rattler", "wheels")


@pytest.mark.slow
def test_a_network_that_swallows_everything_is_given_up_soon_and_once(
    empty_root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy takes connections and says nothing, as a firewall that drops packets."""
    with bad.serving() as server:
        monkeypatch.setattr(bad.Request, "do_CONNECT", bad.Request.do_GET, raising=False)
        server.answers = _Everything(bad.mute())
        through(server, monkeypatch)
        began = time.monotonic()
        choose(empty_root)
        assert time.monotonic() - began < 60  # 5 s are meant; this machine may be busy
        asked = len(server.seen)
        assert asked
        before = empty_root.reachability.read_bytes()
        choose(empty_root)
        assert len(server.seen) == asked
        assert empty_root.reachability.read_bytes() == before


class _Everything(dict[str, list[bad.Answer]]):
    """The same answer for whatever is asked."""

    def __init__(self, answer: bad.Answer) -> None:
        super().__init__()
        self._answer = answer

    def get(self, _key: object, _default: object = None) -> list[bad.Answer]:  # type: ignore[override]
        return [self._answer]


def test_another_proxy_is_another_question(empty_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad.Request, "do_CONNECT", bad.Request.do_GET, raising=False)
    with bad.serving() as first, bad.serving() as second:
        first.answers = second.answers = _Everything(bad.status(403))
        through(first, monkeypatch)
        choose(empty_root)
        choose(empty_root)
        counts = len(first.seen), len(second.seen)
        assert counts[0]
        assert not counts[1]
        through(second, monkeypatch)
        choose(empty_root)
        assert len(first.seen) == counts[0]
        assert second.seen
        assert len(json.loads(empty_root.reachability.read_text())) == 4


def test_a_verdict_is_forgotten_by_clean(empty_root: Root, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setattr(bad.Request, "do_CONNECT", bad.Request.do_GET, raising=False)
    with bad.serving() as server:
        server.answers = _Everything(bad.status(403))
        through(server, monkeypatch)
        choose(empty_root)
        assert empty_root.reachability.exists()
        done = cli("clean", "--root", empty_root.path)
        assert done.returncode == 0, done.stderr
        assert not empty_root.reachability.exists()


def test_the_command_line_says_why(world_file: Path, empty_root: Root, cli: Cli) -> None:
    """The whole creation goes on with what is here, and says what it chose and why."""
    with bad.serving() as gone:
        mirror = gone.url
    done = cli(
        *("create", "one", "-f", world_file, "--root", empty_root.path),
        MAMBAKERNELS_MICROMAMBA_URL=mirror,
        PATH=os.defpath,
    )
    assert done.returncode == 0, done.stderr
    assert "embedded rattler, as there is no micromamba, and none can be fetched" in done.stderr


@pytest.fixture
def world_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from support import growing_channel

    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    url = growing_channel.write(tmp_path / "channel")
    file = tmp_path / "environment.yml"
    file.write_text(f"channels: ['{url}']\ndependencies: [python, grown]\n")
    return file
