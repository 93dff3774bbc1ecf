"""The identity of the code that measured: a hash over the sources of this package."""

from __future__ import annotations

import hashlib
from pathlib import Path


def code_hash() -> str:
    """Return the SHA-256, in hexadecimal, over the names and contents of this package's Python files, by name."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")  # a Python source holds no zero byte
    return digest.hexdigest()
