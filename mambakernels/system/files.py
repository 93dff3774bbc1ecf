"""Files: their hashes, and how they appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from mambakernels.errors import StorageError, naming

_OPTION = "--output"  # what chooses the place of all that is written here
_BLOCK = 1 << 20


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`, making its folder: readers see the old file or the new one, never a part.

    Raises `StorageError` when it cannot be written; nothing is left behind then.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    with naming(temporary, path, option=_OPTION):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_then_rename(temporary, path, content)


def digest(path: Path, kind: str = "sha256") -> str:
    """Return a file's hash in hexadecimal digits, read block by block; `kind` is `sha256` or `md5`."""
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def writable_folder(folder: Path) -> Path:
    """Return the folder, made if need be, after proving that a file can be written in it."""
    probe = folder / f".{uuid.uuid4().hex}.part"
    with naming(probe, folder, option=_OPTION):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise StorageError("A file is where the output folder should be.", where=str(folder)) from error
        probe.open("xb").close()
        probe.unlink()
    return folder


def _write_then_rename(temporary: Path, path: Path, content: bytes) -> None:
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
        os.replace(temporary, path)  # noqa: PTH105 (the one call that is atomic on every platform, by its name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
