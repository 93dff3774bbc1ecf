"""Environment files in the shapes that real ones have are read exactly as micromamba reads them.

`recorded.json` has what a real micromamba (its version is in there) read; where MAMBA_EXE names one, it is asked again.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.engines import needs_micromamba

from mambakernels.environments import EnvironmentSpec, read_file

FOLDER = Path(__file__).parents[1] / "data" / "environments"
FILES = sorted(FOLDER.glob("*.yml"))
RECORDED = json.loads((FOLDER / "recorded.json").read_text(encoding="utf-8"))
VARIABLES = {"FORTY_HOST": "packages.example.org", "FORTY_CHANNEL": "bioconda"}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FORTY_UNSET", raising=False)
    monkeypatch.setattr("mambakernels.paths.subdir", lambda: "linux-64")


def as_micromamba(path: Path, home: Path) -> dict[str, Any]:
    """Return what micromamba reads of a file: name, channels, specs and variables, as it prints its configuration."""
    words = ["create", "--dry-run", "--debug", "--print-config-only", "--no-rc", "--platform", "linux-64"]
    done = subprocess.run(
        [os.environ["MAMBA_EXE"], *words, "-r", home / "root", "-n", "x", "-f", path],
        env={**os.environ, "HOME": str(home), "MAMBA_SHOW_ALL_CONFIGS": "true"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    # each value is followed by a comment on its source; texts that YAML would take for something else are quoted
    printed = yaml.load(done.stdout, yaml.BaseLoader)
    return {
        "name": printed["spec_file_env_name"],
        "channels": printed["channels"],
        "specs": printed["specs"],
        "variables": printed["spec_file_env_vars"],
    }


def as_read(spec: EnvironmentSpec, recorded: dict[str, Any]) -> dict[str, Any]:
    """Return the same of what we read, with micromamba's defaults for what a file does not say."""
    return {
        "name": spec.name if recorded["name"] else recorded["name"],
        "channels": ["conda-forge"] if spec.channels == ("auto",) else list(spec.channels),
        "specs": list(spec.specs),
        "variables": dict(spec.variables),
    }


def expected(name: str) -> dict[str, Any]:
    """Return what was recorded, without `nodefaults`, which is no channel."""
    found: dict[str, Any] = RECORDED["files"][name]
    return {**found, "channels": [channel for channel in found["channels"] if channel != "nodefaults"]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_read_as_micromamba_reads_it(path: Path) -> None:
    assert as_read(read_file(path), expected(path.name)) == expected(path.name)


@needs_micromamba
def test_this_micromamba_reads_them_as_recorded(tmp_path: Path) -> None:
    assert {path.name: as_micromamba(path, tmp_path) for path in FILES} == RECORDED["files"]


def test_there_are_at_least_forty_of_them() -> None:
    assert len(FILES) >= 40
    assert {path.name for path in FILES} == set(RECORDED["files"])


@pytest.mark.parametrize("path", [path for path in FILES if "pip" in path.read_text("latin-1")], ids=lambda p: p.stem)
def test_the_pip_part_is_the_text_as_it_stands(path: Path) -> None:
    content = yaml.load(path.read_bytes(), yaml.BaseLoader)
    parts = [item["pip"] for item in content["dependencies"] if isinstance(item, dict) and "pip" in item]
    assert list(read_file(path).pip) == [line for part in parts for line in part]
