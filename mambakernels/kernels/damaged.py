"""Kernelspecs of ours that can no longer say so: our launcher is there, and their `kernel.json` cannot be read."""

from __future__ import annotations

import shlex
from pathlib import Path

from mambakernels.kernels import launching
from mambakernels.kernels.specs import load

WHAT = "Its kernel.json is damaged"


def is_damaged(folder: Path) -> bool:
    """Whether a folder, none of ours as its `kernel.json` tells, has a launcher as we write it."""
    return not folder.is_symlink() and _has_launcher(folder) and load(folder) is None


def remedy(folder: Path) -> str:
    """Return the command that makes room for writing it again."""
    return shlex.join(["rm", "-r", str(folder)])


def _has_launcher(folder: Path) -> bool:
    return any(_names_us(folder / name) for name in (launching.SHELL_FILE, launching.PYTHON_FILE))


def _names_us(file: Path) -> bool:
    try:
        return b"mambakernels.kernels.standin" in file.read_bytes()
    except OSError:
        return False  # not there, or not ours to read
