"""Files written whole or not at all, their text in any encoding of Unicode, and their hashes."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from mambakernels.errors import StorageError, naming

_BLOCK = 1 << 20
# The longer marks first, as one begins with another. Without a mark, the zeros of ASCII say which UTF-16 it is.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def write_atomically(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Put `content` (text as UTF-8) at `path`: readers see the old file or the new one, never a part.

    The folder is made if need be. `mode` is the file's permissions, by default those of the old file, else of any new
    one. A link stays a link, and what is not a file, such as a pipe, is written to. Raises StorageError and leaves
    nothing if it cannot write.
    """
    old = _mode(path)
    if old is not None and not stat.S_ISREG(old) and not stat.S_ISDIR(old):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return
    if mode is None and old is not None and stat.S_ISREG(old):
        mode = stat.S_IMODE(old)
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
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


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:
        return None


def read_text(path: Path) -> str:
    """Return the text of a file that a user supplies: UTF-8, or UTF-16 and UTF-32 as editors and shells write them.

    Each line ends with a line feed alone. Raises UnicodeDecodeError for anything else, OSError if it cannot be read.
    """
    content = path.read_bytes()
    return "\n".join(content.decode(_encoding(content)).replace("\r\n", "\n").split("\r"))


def _encoding(content: bytes) -> str:
    found = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    without_mark = {(False, True): "utf-16-le", (True, False): "utf-16-be"}
    zeros = (content[:1] == b"\0", content[1:2] == b"\0")
    return found or without_mark.get(zeros, "utf-8")


def remove_abandoned(folder: Path, *, before: float) -> None:
    """Remove the files that processes left below a folder which were killed in `write_atomically` before a time."""
    for path in folder.rglob(".*.part"):
        if re.fullmatch(r"\.[0-9a-f]{32}\.part", path.name):
            with contextlib.suppress(FileNotFoundError):  # its writer has just finished
                if path.stat().st_mtime < before:
                    path.unlink()


def remove_tree(folder: Path, *, ignore_errors: bool = False) -> None:
    """Delete a folder with all that is in it, on Windows also files that are read-only.

    OSError, unless `ignore_errors` asks for as much as can be deleted.
    """

    def again(function: Callable[[str], object], path: str, _error: object) -> None:
        try:
            if function not in {os.unlink, os.rmdir}:
                raise  # noqa: PLE0704 (rmtree calls this while it handles the error)
            os.chmod(path, stat.S_IWRITE)  # noqa: PTH101 (rmtree's paths are texts)
            function(path)
        except OSError:
            if not ignore_errors:
                raise

    if os.name != "nt":
        shutil.rmtree(folder, ignore_errors=ignore_errors)
    elif sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=again)
    else:
        shutil.rmtree(folder, onerror=again)


def digest(path: Path, kind: str = "sha256") -> str:
    """Return a file's hash in hexadecimal digits, read block by block; `kind` is `sha256` or `md5`."""
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def check_writable(folder: Path) -> None:
    """Prove that a folder can be made and written in, and leave nothing of the proof; StorageError if it cannot."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    writable_folder(folder)
    with contextlib.suppress(OSError):  # another process has put something there
        for place in missing:
            place.rmdir()


def writable_folder(folder: Path) -> Path:
    """Return the folder, made if need be, after proving that a file can be written in it."""
    probe = folder / f".{uuid.uuid4().hex}.part"
    with naming(probe, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.open("xb").close()
            probe.unlink()
        except FileExistsError as error:
            raise StorageError("A file is where the output folder should be.", where=str(folder)) from error
        except FileNotFoundError as error:  # parents too: a drive that is not there, or /proc
            what = "file" if folder.is_dir() else "folder"
            raise StorageError(f"No {what} can be made there.", where=str(folder)) from error
    return folder
