"""Environments that only look like some, and a Jupyter folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kernelspecs import Make, made


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a test a Jupyter data folder of its own; return where kernelspecs go."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter dätä"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    return tmp_path / "jupyter dätä" / "kernels"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a maker of environments that hold the kernelspecs given; `python` and `R` in them only exist."""
    return made(tmp_path / "root with späces")
