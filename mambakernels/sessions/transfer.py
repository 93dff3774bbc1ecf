"""Values sent to kernels and brought back, through files in shared memory that are gone once they have been mapped."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from mambakernels.errors import InvalidRequestError, from_os_error
from mambakernels.sessions import parcel

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the names in it cannot be guessed)
_MODULE = "_mambakernels_parcel"
_NUMBERS = itertools.count()


def folders() -> tuple[str, ...]:
    """Return the folders for values on their way: shared memory if there is any, then the one for temporary files."""
    return (*([_SHARED_MEMORY] if os.access(_SHARED_MEMORY, os.W_OK) else []), tempfile.gettempdir())


@contextmanager
def packed(values: Mapping[str, Any], mark: str) -> Iterator[str]:
    """Yield the path of a file that holds the values, and remove it; InvalidRequestError if one cannot be sent."""
    try:
        path = parcel.pack(values, _paths(mark))
    except parcel.NotSentError as error:
        step = "Send arrays, frames and plain values; define the rest in each kernel with the same cell."
        raise InvalidRequestError(str(error), next_step=step) from error
    except OSError as error:
        raise from_os_error(error) from error
    try:
        yield path
    finally:
        Path(path).unlink(missing_ok=True)


@contextmanager
def awaited(mark: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths of which a kernel is to write one, and remove it."""
    paths = _paths(mark)
    try:
        yield paths
    finally:
        for path in paths:
            with contextlib.suppress(OSError):
                Path(path).unlink(missing_ok=True)


def unpacking(path: str) -> str:
    """Return the code that defines the values of a file in a Python kernel."""
    return f"globals().update({_remote()}.unpack({path!r}))"


def packing(name: str, paths: tuple[str, ...]) -> str:
    """Return the code that writes a value of a Python kernel to the first of these paths that has room."""
    return f"{_remote()}.pack({{{name!r}: {name}}}, {list(paths)!r})"


def read(paths: tuple[str, ...], name: str) -> Any:
    """Return the value that a kernel has written; NotSentError, or OSError if it has written none that is seen here."""
    path = next((path for path in paths if os.path.exists(path)), paths[-1])  # noqa: PTH110
    return parcel.unpack(path)[name]


def pattern(mark: str) -> str:
    """Return the beginning of the names of all files of a session."""
    return f"mambakernels-{mark}-"


def _paths(mark: str) -> tuple[str, ...]:
    name = f"{pattern(mark)}{os.getpid()}-{next(_NUMBERS)}"
    return tuple(os.path.join(folder, name) for folder in folders())  # noqa: PTH118 (texts for other processes)


@cache
def _remote() -> str:
    """Return the expression for the module `parcel` in a kernel, which it makes there at its first use."""
    source = Path(parcel.__file__).read_text(encoding="utf-8")
    made = f"(lambda m: exec({source!r}, m.__dict__) or m)(__import__('types').ModuleType({_MODULE!r}))"
    return f"__import__('sys').modules.setdefault({_MODULE!r}, {made})"
