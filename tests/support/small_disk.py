"""A file system of a few megabytes that one process sees, with or without root's rights."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def mounting(place: Path, megabytes: int) -> list[str]:
    """Return what to put before a command that is to find a file system of that size at `place`; it goes with it."""
    mount = f'mount -t tmpfs -o size={megabytes}m tmpfs "$0" && exec "$@"'
    before = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(place)]
    if not shutil.which("unshare") or subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a process may not mount anything for itself here")
    return before
