"""What several test modules share about the engines: which there are, and the mark of tests that need micromamba."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mambakernels.engines import Engine, micromamba, rattler

needs_micromamba = pytest.mark.skipif(
    "MAMBA_EXE" not in os.environ, reason="no micromamba: none comes from a package index; name one with MAMBA_EXE"
)
# The engines that a fixture or test is run with.
ENGINES = ["rattler", pytest.param("micromamba", marks=needs_micromamba)]


def engine_of(name: str) -> Engine:
    """Return the engine of that name; micromamba is the one that MAMBA_EXE names."""
    return rattler.Rattler() if name == "rattler" else micromamba.Micromamba(Path(os.environ["MAMBA_EXE"]))
