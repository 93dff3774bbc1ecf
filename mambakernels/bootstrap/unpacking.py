"""The one executable in a download: the file itself, a `.tar.bz2` or a `.conda`, recognised by its content."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import zstandard

from mambakernels.errors import DownloadError

LARGEST = 200_000_000  # bytes; micromamba has about 15 million
_MEMBERS = frozenset({"bin/micromamba", "Library/bin/micromamba.exe"})
_CHUNK = 1 << 20
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, zstandard.ZstdError, EOFError)


def take(source: Path, target: Path) -> str:
    """Write the executable that `source` is, or holds, to `target` and return its SHA-256.

    DownloadError for a damaged archive, one without it, or one with links, paths that lead elsewhere, or more than
    `LARGEST` bytes; what was written to `target` by then stays.
    """
    try:
        with _executable(source) as stream:
            return _copy(stream, target)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # bz2 raises one without a number
            raise
        raise DownloadError(f"The archive is damaged: {error}.") from error


@contextmanager
def _executable(source: Path) -> Iterator[IO[bytes]]:
    with source.open("rb") as stream:
        magic = stream.read(4)
        stream.seek(0)
        if magic.startswith(b"BZh"):
            with tarfile.open(fileobj=stream, mode="r:bz2") as archive:
                yield _member(archive)
        elif magic == b"PK\x03\x04":
            with _conda(stream) as archive:
                yield _member(archive)
        else:
            yield stream


@contextmanager
def _conda(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """Yield the archive of files inside a `.conda`: a zip that holds it compressed with zstd."""
    with zipfile.ZipFile(stream) as outer:
        inner = [name for name in outer.namelist() if name.startswith("pkg-") and name.endswith(".tar.zst")]
        if len(inner) != 1:
            raise DownloadError("This is a zip file, but not a .conda package.")
        with (
            outer.open(inner[0]) as packed,
            zstandard.ZstdDecompressor().stream_reader(packed) as plain,
            tarfile.open(fileobj=plain, mode="r|") as archive,
        ):
            yield archive


def _member(archive: tarfile.TarFile) -> IO[bytes]:
    """Return the executable's content; a hostile member before it is an error."""
    seen = 0
    for item in archive:
        path = PurePosixPath(item.name)
        if path.is_absolute() or ".." in path.parts or "\\" in item.name:
            raise _hostile(f"a member's path leads elsewhere: {item.name}")
        seen += item.size
        if seen > LARGEST:
            raise _hostile(f"it is larger than {LARGEST} bytes")
        if path.as_posix() in _MEMBERS:
            if not item.isreg():
                raise _hostile(f"{item.name} is a link or not a regular file")
            content = archive.extractfile(item)
            assert content is not None
            return content
    raise DownloadError(f"The archive contains none of {', '.join(sorted(_MEMBERS))}.")


def _hostile(why: str) -> DownloadError:
    return DownloadError(f"The archive is refused: {why}.")


def _copy(stream: IO[bytes], target: Path) -> str:
    """Write a stream to a file, down to the disk, and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while block := stream.read(_CHUNK):
            size += len(block)
            if size > LARGEST:
                raise _hostile(f"it is larger than {LARGEST} bytes")
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
