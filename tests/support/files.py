"""Everything there is in a folder, to compare before and after."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any


def snapshot(folder: Path) -> dict[str, Any]:
    """Return all files below a folder by path, with content, rights, times and inodes."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        link = str(path.readlink()) if path.is_symlink() else None
        found[str(path.relative_to(folder))] = (content, link, status.st_mode, status.st_mtime_ns, status.st_ino)
    return found
