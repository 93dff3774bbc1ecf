"""Kernels of this very Python for the tests of `bench`, and measurements made up where figures are the point."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.measurements import measured, visits, worker

Install = Callable[..., Path]

ARGV = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

__all__ = ["measured", "visits", "worker"]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a kernelspec of this Python; `site` is code that runs when it starts."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))

    def installed(
        name: str, *, site: str = "", mark: Mapping[str, Any] | None = None, argv: Sequence[str] = ()
    ) -> Path:
        folder = tmp_path / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        spec: dict[str, Any] = {"argv": list(argv) or ARGV, "display_name": name, "language": "python"}
        if site:
            (tmp_path / name).mkdir()
            (tmp_path / name / "sitecustomize.py").write_text(site)
            spec["env"] = {"PYTHONPATH": str(tmp_path / name)}
        if mark:
            spec["metadata"] = {"mambakernels": dict(mark)}
        (folder / "kernel.json").write_text(json.dumps(spec))
        return folder

    return installed
