"""Files mapped into this process, and the file that really serves a symbol, as the dynamic loader reports them."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# The OpenBLAS in NumPy's and SciPy's wheels has a prefix; 64-bit integers show in a suffix.
PREFIXES = ("", "scipy_")
SUFFIXES = ("", "_", "64_", "_64", "_64_", "$NEWLAPACK", "$NEWLAPACK$ILP64")

_MAPS_FIELDS = 6
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Symbol:
    """A function another module imports: the name it has there, and the file (links resolved) that serves it."""

    name: str
    file: str


class _DlInfo(ctypes.Structure):
    _fields_ = (
        ("dli_fname", ctypes.c_char_p),
        ("dli_fbase", ctypes.c_void_p),
        ("dli_sname", ctypes.c_char_p),
        ("dli_saddr", ctypes.c_void_p),
    )


class Exports:
    """The functions that a mapped library and the libraries it needs export.

    Raises OSError if the file cannot be opened as a library.
    """

    def __init__(self, file: str | None) -> None:
        self._handle = ctypes.CDLL(file)

    def exact(self, name: str) -> Any | None:
        """Return the function of exactly that name, or None."""
        try:
            return self._handle[name]
        except AttributeError:
            return None

    def find(self, stem: str) -> Any | None:
        """Return the function of that name with any known prefix and suffix, or None."""
        found = (self.exact(prefix + stem + suffix) for prefix in PREFIXES for suffix in SUFFIXES)
        return next((function for function in found if function is not None), None)

    def call(self, stem: str, restype: Any = ctypes.c_int) -> Any | None:
        """Call a function without arguments, with any known prefix and suffix; None where there is none."""
        function = self.find(stem)
        if function is None:
            return None
        function.restype = restype
        return function()


def file_of(function: Any) -> str | None:
    """Return the file (links resolved) whose code a function is, as `dladdr` says; None if it does not know."""
    if os.name != "posix":
        return None
    dladdr = ctypes.CDLL(None).dladdr
    dladdr.argtypes = (ctypes.c_void_p, ctypes.POINTER(_DlInfo))
    info = _DlInfo()
    known = dladdr(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(info))
    return os.path.realpath(os.fsdecode(info.dli_fname)) if known and info.dli_fname else None


@cache
def imported_symbol(module_file: str, stem: str) -> Symbol | None:
    """Return the name under which an extension module imports the function `stem`, and the file that serves it.

    A renamed module may still hold the old name in its string table, so a name counts only if the loader finds it.
    None if the module does not import it dynamically, or on systems whose loader cannot be asked (Windows). Cached, as
    the loader binds a function once.
    """
    if os.name != "posix":
        return None
    scopes = [Exports(file) for file in (*_preloaded_scope(), module_file)]
    for name in sorted(_names_in(module_file, stem), key=len, reverse=True):
        functions = (exports.exact(name) for exports in scopes)
        files = (file_of(function) for function in functions if function is not None)
        file = next((file for file in files if file is not None), None)
        if file is not None:
            return Symbol(name, file)
    return None


def _preloaded_scope() -> tuple[None, ...]:
    """Return the global scope (None, to dlopen) if a library was preloaded, since that takes precedence.

    Not otherwise: MKL loads its layers globally, but after NumPy's functions have been bound.
    """
    return (None,) if os.environ.get("LD_PRELOAD") or os.environ.get("DYLD_INSERT_LIBRARIES") else ()


def _names_in(file: str, stem: str) -> set[str]:
    suffixes = "|".join(re.escape(suffix) for suffix in SUFFIXES)
    # macOS writes an underscore before each name.
    pattern = re.compile(rf"_?((?:{'|'.join(PREFIXES)}){stem}(?:{suffixes}))")
    with Path(file).open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        matches = [pattern.fullmatch(name) for name in _strings_with(content, stem.encode())]
    return {match.group(1) for match in matches if match}


def _strings_with(content: mmap.mmap, part: bytes) -> Iterator[str]:
    """Yield the zero-terminated strings that contain `part`; finding it first is ten times faster than one pattern."""
    position = content.find(part)
    while position >= 0:
        start = content.rfind(b"\0", 0, position) + 1
        end = content.find(b"\0", position)
        yield content[start:end].decode("ascii", errors="replace")
        position = content.find(part, end)


def mapped_files() -> tuple[str, ...]:
    """Return every file mapped into this process, links resolved, each once; nothing where that cannot be known."""
    source = _SOURCES.get(sys.platform)
    return tuple(dict.fromkeys(map(_resolved, dict.fromkeys(source())))) if source else ()


@cache
def _resolved(file: str) -> str:
    """Resolve the links of a mapped file, once: all of them take milliseconds, and each measurement asks."""
    return os.path.realpath(file)


def sysctl(name: str, *, library: ctypes.CDLL | None = None) -> bytes | None:
    """Return what macOS' kernel knows by that name, such as `machdep.cpu.brand_string`; None on other systems."""
    if os.name != "posix":
        return None
    ask = getattr(library or ctypes.CDLL(None), "sysctlbyname", None)
    answer = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(answer))
    if ask is None or ask(name.encode(), answer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return None
    return answer.raw[: size.value]


def parse_maps(text: str) -> Iterator[str]:
    """Yield the files in the text of a Linux `/proc/<pid>/maps`, a file as often as it is mapped."""
    for line in text.splitlines():
        fields = line.split(maxsplit=_MAPS_FIELDS - 1)
        if len(fields) == _MAPS_FIELDS and fields[-1].startswith("/"):
            # The kernel writes a line break in a name as \012.
            yield _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), fields[-1].removesuffix(" (deleted)"))


def _linux() -> Iterator[str]:
    return parse_maps(Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape"))


def _macos() -> Iterator[str]:  # not tested: needs macOS
    dyld = ctypes.CDLL(None)
    dyld._dyld_get_image_name.restype = ctypes.c_char_p  # noqa: SLF001 (Apple's public name for it)
    for index in range(dyld._dyld_image_count()):  # noqa: SLF001
        name = dyld._dyld_get_image_name(index)  # noqa: SLF001
        if name:
            yield os.fsdecode(name)


_SOURCES: Mapping[str, Callable[[], Iterator[str]]] = {"linux": _linux, "darwin": _macos}
