"""Which code measured: a hash over the sources of this very package."""

from __future__ import annotations

import hashlib
from pathlib import Path


def code_hash() -> str:
    """Return the SHA-256, in hexadecimal, over the names and contents of this package's Python files, by name."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
