"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from mambakernels.errors import StorageError, naming

_BLOCK = 1 << 20


def write_atomically(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Put `content` (text as UTF-8) at `path`: readers see the old file or the new one, never a part.

    The folder is made if need be. `mode` is the file's permissions, those of any new file by default. Raises
    StorageError and leaves nothing if it cannot write.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    with naming(temporary, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as stream:
                stream.write(content.encode() if isinstance(content, str) else content)
            if mode is not None:
                temporary.chmod(mode)
            os.replace(temporary, path)  # noqa: PTH105 (the one call that is atomic on every platform, by its name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


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
    with naming(probe, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise StorageError("A file is where the output folder should be.", where=str(folder)) from error
        probe.open("xb").close()
        probe.unlink()
    return folder
