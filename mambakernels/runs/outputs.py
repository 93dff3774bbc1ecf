"""Where records go: a folder of this machine, or any address that fsspec can open (`s3://bucket/runs`)."""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mambakernels.errors import InvalidRequestError, StorageError
from mambakernels.paths import PathLike, by_numbers
from mambakernels.system.files import writable_folder, write_atomically

OUTPUT = "runs"
"""The folder for executed notebooks where none is named."""

# Where a write replaces the whole object at once. Elsewhere, a file is written under another name and then renamed.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"})
_TIMES = ("LastModified", "mtime", "updated", "last_modified", "created")  # what file systems call it


@dataclass(frozen=True)
class RemotePath:
    """A file or folder at an address, with the few methods of `pathlib.Path` that records need."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in."""
        return RemotePath(self.url.rstrip("/").rpartition("/")[0])

    def exists(self) -> bool:
        """Whether something is there; what was listed by this process a moment ago may be taken from that list."""
        return bool(self.system.exists(self._inside))

    def read_bytes(self) -> bytes:
        """Return the content; FileNotFoundError or another OSError if it cannot be read."""
        content: bytes = self.system.cat_file(self._inside)
        return content

    @property
    def system(self) -> Any:
        """The file system of fsspec that it is on; InvalidRequestError if what opens it is not installed."""
        scheme, _, rest = self.url.partition("://")
        return file_system(scheme, rest.partition("/")[0])

    @property
    def _inside(self) -> str:
        return str(self.system._strip_protocol(self.url))  # noqa: SLF001 (what fsspec's own functions call first)


Place = Path | RemotePath


Shelf = Callable[[Place], bool]
"""Whether a record is at a place: a question to the file system, or to a list of what is there."""


def is_there(path: Place) -> bool:
    """Whether something is at a place."""
    return path.exists()


def shelf(folder: Place) -> Shelf:
    """Return a function that knows which records are in a folder: at an address from one list, as of now."""
    if isinstance(folder, Path):
        return is_there
    listed = {str(entry.place) for entry in entries(folder)}
    return lambda path: str(path) in listed


@dataclass(frozen=True)
class Entry:
    """A file in a listing: where, its size in bytes, and the time of its last change, in the words of its system."""

    place: Place
    size: int
    modified: str


def place(output: PathLike | RemotePath) -> Place:
    """Return a path or an address (a text with `://` in it) as a place."""
    if isinstance(output, RemotePath):
        return output
    text = os.fspath(output)
    scheme, found, rest = text.partition("://")
    if scheme == "file":
        return Path(rest).absolute()
    return RemotePath(text) if found else Path(text).expanduser().absolute()


def writable(folder: Place) -> Place:
    """Return a folder after proving that a file can be written in it; `StorageError` or OSError if not."""
    if isinstance(folder, Path):
        return writable_folder(folder)
    probe = folder / f".{uuid.uuid4().hex}.part"
    try:
        write(probe, b"")
        probe.system.rm_file(probe._inside)  # noqa: SLF001 (of this module)
    except OSError as error:
        why = str(error.strerror or error).rstrip(".")
        advice = "Check the address, the network and what its kind needs to open it, such as a user and a password."
        raise StorageError(f"Nothing can be written there: {why}.", where=str(folder), next_step=advice) from error
    return folder


def write(target: Place, content: bytes | str) -> None:
    """Put `content` (text as UTF-8) at a place: readers see the old file or the new one, never a part."""
    if isinstance(target, Path):
        write_atomically(target, content)
        return
    system, path = target.system, target._inside  # noqa: SLF001 (of this module)
    raw = content.encode() if isinstance(content, str) else content
    if target.url.partition("://")[0] in _OBJECT_STORES:
        system.pipe_file(path, raw)
        return
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{uuid.uuid4().hex}.part"
    system.makedirs(folder, exist_ok=True)
    try:
        system.pipe_file(temporary, raw)
        system.mv(temporary, f"{folder}/{name}")
    except BaseException:
        if system.exists(temporary):
            system.rm_file(temporary)
        raise


def read_all(files: Sequence[RemotePath]) -> list[bytes | OSError]:
    """Read files of one file system side by side, where it can; an error takes the place of its file's content."""
    paths = [file._inside for file in files]  # noqa: SLF001 (of this module)
    nothing = [None] * len(paths)
    found = files[0].system.cat_ranges(paths, nothing, nothing, on_error="return")
    return [OSError(str(one)) if isinstance(one, Exception) and not isinstance(one, OSError) else one for one in found]


def entries(folder: Place) -> Iterator[Entry]:
    """List the notebooks in a folder and below, without what is hidden and without reading them."""
    if isinstance(folder, Path):
        for path in sorted(folder.rglob("*.ipynb"), key=by_numbers):
            if not _is_hidden(path.relative_to(folder).as_posix()):
                state = path.stat()
                yield Entry(path, state.st_size, str(state.st_mtime_ns))
        return
    base = folder._inside.rstrip("/")  # noqa: SLF001 (of this module)
    folder.system.invalidate_cache(base)
    found = folder.system.find(base, detail=True)
    for path in sorted(found, key=by_numbers):
        relative = path.removeprefix(base).lstrip("/")
        if relative.endswith(".ipynb") and not _is_hidden(relative):
            time = next((found[path][name] for name in _TIMES if found[path].get(name)), "")
            yield Entry(folder / relative, int(found[path]["size"]), f"{time} {found[path].get('ETag', '')}".strip())


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))


@functools.cache
def file_system(scheme: str, host: str) -> Any:
    """Return the file system of fsspec for addresses of a kind; InvalidRequestError if it cannot be used here.

    `host` is what an address has before its first slash; some kinds (`sftp`, `ftp`) need it, and what stands there with
    it: a user, a port.
    """
    advice = "Install it: pip install 'mambakernels[cluster]'"
    try:
        import fsspec

        return fsspec.url_to_fs(f"{scheme}://{host}")[0]
    except ImportError as error:
        raise InvalidRequestError(
            f"{scheme}:// cannot be opened: {error}.", next_step=f"{advice}, and s3fs, gcsfs, … for its kind."
        ) from error
    except ValueError as error:
        raise InvalidRequestError(
            f"{scheme}:// is not an address that fsspec knows: {error}.",
            next_step="Name a folder, or an address such as s3://bucket/runs.",
        ) from error
