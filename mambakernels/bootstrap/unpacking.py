"""Take the one executable out of what it comes in: nothing, a `.tar.bz2` or a `.conda`, told apart by their content."""

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

from mambakernels.errors import DownloadError

LARGEST = 200_000_000  # bytes; micromamba has about 15 million
_MEMBERS = frozenset({"bin/micromamba", "Library/bin/micromamba.exe"})
_CHUNK = 1 << 20
# And OSError without a number, as bz2 has it.
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError)


def take(source: Path, target: Path) -> str:
    """Write the executable that `source` is, or holds, to `target` and return its SHA-256.

    Links, members with paths that lead elsewhere, and oversized ones are refused: DownloadError, and no target.
    """
    try:
        with _executable(source) as stream:
            return _copy(stream, target, source)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, _DAMAGED) or (isinstance(error, OSError) and error.errno is None):
            raise DownloadError(f"The archive is damaged: {error}.", where=source.name) from error
        raise


@contextmanager
def _executable(source: Path) -> Iterator[IO[bytes]]:
    with source.open("rb") as stream:
        magic = stream.read(4)
        stream.seek(0)
        if magic.startswith(b"BZh"):
            with tarfile.open(fileobj=stream, mode="r:bz2") as archive:
                yield _member(archive, source)
        elif magic == b"PK\x03\x04":
            with _conda(stream, source) as archive:
                yield _member(archive, source)
        else:
            yield stream


@contextmanager
def _conda(stream: IO[bytes], source: Path) -> Iterator[tarfile.TarFile]:
    """Yield the archive of files inside a `.conda`: a zip that holds it compressed with zstd."""
    import zstandard

    with zipfile.ZipFile(stream) as outer:
        inner = [name for name in outer.namelist() if name.startswith("pkg-") and name.endswith(".tar.zst")]
        if len(inner) != 1:
            raise DownloadError("This is a zip file, but not a .conda package.", where=source.name)
        try:
            with (
                outer.open(inner[0]) as packed,
                zstandard.ZstdDecompressor().stream_reader(packed) as plain,
                tarfile.open(fileobj=plain, mode="r|") as archive,
            ):
                yield archive
        except zstandard.ZstdError as error:
            raise DownloadError(f"The archive is damaged: {error}.", where=source.name) from error


def _member(archive: tarfile.TarFile, source: Path) -> IO[bytes]:
    """Return the executable's content; every member on the way to it is looked at, and a hostile one ends it."""
    seen = 0
    for item in archive:
        path = PurePosixPath(item.name)
        if path.is_absolute() or ".." in path.parts or "\\" in item.name:
            raise _hostile(source, f"a member's path leads elsewhere: {item.name}")
        seen += item.size
        if seen > LARGEST:
            raise _hostile(source, f"it is larger than {LARGEST} bytes")
        if path.as_posix() in _MEMBERS:
            if not item.isreg():
                raise _hostile(source, f"{item.name} is a link or no file at all")
            content = archive.extractfile(item)
            assert content is not None
            return content
    raise DownloadError(f"The archive holds none of {', '.join(sorted(_MEMBERS))}.", where=source.name)


def _hostile(source: Path, why: str) -> DownloadError:
    return DownloadError(f"The archive is refused: {why}.", where=source.name, next_step="Nothing of it was kept.")


def _copy(stream: IO[bytes], target: Path, source: Path) -> str:
    """Write a stream to a file, for good, and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while block := stream.read(_CHUNK):
            size += len(block)
            if size > LARGEST:
                raise _hostile(source, f"it is larger than {LARGEST} bytes")
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
