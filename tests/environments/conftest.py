"""A world for each test and each engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import growing_channel
from support.engines import ENGINES
from support.world import World


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine there is, by name."""
    return str(request.param)


@pytest.fixture
def world(tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """A root without environments, and a channel that the test may change."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    growing_channel.write(tmp_path / "channel")
    return World(tmp_path, tmp_path / "channel", engine)
