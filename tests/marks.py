"""Marks that several test modules share."""

from __future__ import annotations

import os

import pytest

needs_micromamba = pytest.mark.skipif(
    "MAMBA_EXE" not in os.environ, reason="no micromamba: none comes from a package index; name one with MAMBA_EXE"
)
ENGINES = ["rattler", pytest.param("micromamba", marks=needs_micromamba)]
