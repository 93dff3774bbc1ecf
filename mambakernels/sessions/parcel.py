"""Values in a file, from one process to others; the same code packs and unpacks on both sides.

It is sent as text to kernels that have nothing of ours, so it needs Python 3.8 and the standard library only. Arrays
lie in the file as they lie in memory. They are mapped, not read: several kernels share the pages, and one that changes
an array gets pages of its own. A pickle names nothing of NumPy but `ndarray` and `dtype`, which all versions have.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import pickle
import platform
import struct
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

_ALIGNMENT = 64
_SIZE = struct.Struct("<Q")  # of the index, which is at the end of the file
_SPARE = 1 << 20


class NotSentError(Exception):
    """A value cannot be sent; the text says which one and why."""


def pack(values: Mapping[str, Any], paths: Sequence[str]) -> str:
    """Write values by name to the first of the paths that has room for them, and return it; NotSentError, OSError."""
    pickled = {name: _pickled(name, value) for name, value in values.items()}
    parts = {name: [memoryview(body), *views] for name, (body, views) in pickled.items()}
    needed = _SPARE + sum(view.nbytes + _ALIGNMENT for views in parts.values() for view in views)
    path = next((path for path in paths[:-1] if _has_room(path, needed)), paths[-1])
    with open(path, "xb", opener=_open_for_us) as file:
        try:
            index = {name: [_write(file, view) for view in views] for name, views in parts.items()}
            about = json.dumps({"values": index, "versions": _versions()}).encode()
            file.write(about + _SIZE.pack(len(about)))
        except BaseException:
            os.unlink(path)  # noqa: PTH108 (as above)
            raise
    return path


def unpack(path: str) -> dict[str, Any]:
    """Return the values in a file, by name; they do not need it any more. NotSentError, OSError."""
    memory = _memory(path)
    (size,) = _SIZE.unpack(memory[-_SIZE.size :])
    about = json.loads(bytes(memory[-_SIZE.size - size : -_SIZE.size]))
    values = {}
    for name, places in about["values"].items():
        body, *buffers = [memory[start:end] for start, end in places]
        try:
            values[name] = pickle.loads(body, buffers=buffers)  # noqa: S301 (from a kernel of this user)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise NotSentError(f"{name!r} cannot be read here: {reason} ({_difference(about['versions'])}).") from error
    return values


class _Pickler(pickle.Pickler):
    """Pickles arrays so that any version of NumPy reads them, and refuses what only this process has."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, (type, types.FunctionType)) and value.__module__ == "__main__":
            raise NotSentError(f"{value.__qualname__} is defined in a cell, not in a module")
        numpy = sys.modules.get("numpy")
        if numpy is None or type(value) is not numpy.ndarray or value.dtype.hasobject or not value.dtype.itemsize:
            return NotImplemented
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        flat = numpy.asarray(value, order=order).reshape(-1, order=order)
        content = pickle.PickleBuffer(flat.view(numpy.uint8))
        return numpy.ndarray, (value.shape, value.dtype, content, 0, None, order)


def _pickled(name: str, value: Any) -> tuple[bytes, list[memoryview]]:
    written = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    try:
        _Pickler(written, protocol=5, buffer_callback=buffers.append).dump(value)
    except Exception as error:
        raise NotSentError(f"{name!r} cannot be sent: {error}.") from error
    return written.getvalue(), [buffer.raw() for buffer in buffers]


def _open_for_us(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _has_room(path: str, needed: int) -> bool:
    try:
        free = os.statvfs(os.path.dirname(path))  # noqa: PTH120 (as above)
    except (OSError, AttributeError):  # there is no such folder, or this is Windows
        return False
    return free.f_bavail * free.f_frsize > needed


def _write(file: BinaryIO, view: memoryview) -> tuple[int, int]:
    """Write a buffer at an aligned place, and return where it begins and ends."""
    file.write(b"\0" * (-file.tell() % _ALIGNMENT))
    start = file.tell()
    file.write(view)
    return start, start + view.nbytes


def _memory(path: str) -> memoryview:
    with open(path, "rb") as file:  # noqa: PTH123 (pathlib is slow to import)
        if os.name == "nt":  # a mapped file could not be removed there
            return memoryview(bytearray(file.read()))
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _versions() -> dict[str, str]:
    found: Iterable[tuple[str, Any]] = ((name, sys.modules.get(name)) for name in ("numpy", "pandas"))
    return {"Python": platform.python_version(), **{name: module.__version__ for name, module in found if module}}


def _difference(theirs: Mapping[str, str]) -> str:
    """Say with which versions the values were written, and what is here."""
    ours = _versions()
    written = ", ".join(f"{name} {version}" for name, version in theirs.items())
    here = ", ".join(f"{name} {ours[name]}" if name in ours else f"no {name}" for name in theirs)
    return f"written with {written}; here: {here}"
