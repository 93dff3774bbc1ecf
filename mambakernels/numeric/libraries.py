"""The BLAS libraries as data: how to recognise each, and how to ask it for its version, code path and threads."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mambakernels.numeric.native import Exports, file_of

_RELEVANT = re.compile(
    r"^lib\w*(mkl_|openblas|blis|blas|lapack|nvpl_|armpl|flexiblas)|^lib(iomp5|gomp|omp)\b", re.IGNORECASE
)
_OPENMP = re.compile(r"^lib(iomp5|gomp|omp)\b")
_MKL_KERNELS = ("def", "mc", "mc3", "avx", "avx2", "avx512_mic", "avx512", "avx10")  # from plain to newest
_MKL_LAYERS = {"intel_thread": "intel", "gnu_thread": "gnu", "tbb_thread": "tbb", "sequential": "sequential"}
_OPENBLAS_LAYERS = {0: "disabled", 1: "pthreads", 2: "openmp"}


@dataclass(frozen=True)
class Details:
    """Facts a library reports about itself; None for those it does not report."""

    version: str | None = None
    architecture: str | None = None
    threads: int | None = None
    threading_layer: str | None = None


@dataclass(frozen=True)
class Vendor:
    """One BLAS library: a function that only it has, a pattern of its files' names, and how to ask it for details."""

    name: str
    marker: str | None
    path: re.Pattern[str]
    describe: Callable[[Exports, str, Sequence[str]], Details]


def numeric_libraries(files: Sequence[str]) -> tuple[str, ...]:
    """Keep the BLAS, LAPACK and OpenMP libraries of some files."""
    return tuple(file for file in sorted(files) if _RELEVANT.search(PurePath(file).name) or "vecLib" in file)


def openmp_files(files: Sequence[str]) -> tuple[str, ...]:
    """Keep the OpenMP runtimes of some files; more than one in a process is a risk."""
    return tuple(file for file in sorted(files) if _OPENMP.search(PurePath(file).name))


def identify_blas(file: str) -> Vendor | None:
    """Return the vendor of a mapped BLAS file; a thin wrapper around another library counts as that library."""
    exports = Exports(file)
    return _by_own_marker(file, exports) or _by_path(file) or _by_any_marker(exports) or _if_netlib(file)


def identify_lapack(file: str) -> Vendor | None:
    """Return the vendor of a mapped LAPACK file; netlib's LAPACK remains netlib's, whichever BLAS it calls."""
    return _by_own_marker(file, Exports(file)) or _by_path(file) or _if_netlib(file)


def only_blas(files: Sequence[str]) -> str | None:
    """Return the name of the BLAS that some files belong to, by their names; None if it is not just one."""
    others = (file for file in files if "lapack" not in PurePath(file).name)  # netlib's may come with any BLAS
    names = {vendor.name for file in others if (vendor := _by_path(file) or _if_netlib(file))}
    return names.pop() if len(names) == 1 else None


def is_proven(vendor: Vendor, file: str, mapped: Sequence[str]) -> bool | None:
    """Return whether a library, or another mapped file of its vendor, has the function that only this vendor has.

    None if the vendor has no such function. MKL keeps it in a different file from the products.
    """
    if vendor.marker is None:
        return None
    others = [other for other in mapped if vendor.path.search(other)]
    return any(Exports(candidate).find(vendor.marker) is not None for candidate in (file, *others))


def _by_own_marker(file: str, exports: Exports) -> Vendor | None:
    for vendor in VENDORS:
        marker = exports.find(vendor.marker) if vendor.marker else None
        if marker is not None and file_of(marker) == file:
            return vendor
    return None


def _by_any_marker(exports: Exports) -> Vendor | None:
    return next((vendor for vendor in VENDORS if vendor.marker and exports.find(vendor.marker) is not None), None)


def _by_path(file: str) -> Vendor | None:
    return next((vendor for vendor in VENDORS if vendor.path.search(file)), None)


def _if_netlib(file: str) -> Vendor | None:
    return NETLIB if NETLIB.path.search(file) else None


def _mkl(exports: Exports, _file: str, mapped: Sequence[str]) -> Details:
    text = ctypes.create_string_buffer(256)
    ask = exports.find("MKL_Get_Version_String")
    if ask is not None:
        ask(text, len(text))
    version = re.search(r"Version ([\d.]+)", text.value.decode(errors="replace"))
    parts = {PurePath(name).name.partition(".")[0].partition("mkl_")[2] for name in mapped}
    kernels = [kernel for kernel in _MKL_KERNELS if kernel in parts]
    layers = [layer for part, layer in _MKL_LAYERS.items() if part in parts]
    return Details(
        version=version.group(1) if version else None,
        architecture=kernels[-1] if kernels else None,
        threads=exports.call("MKL_Get_Max_Threads"),
        threading_layer=layers[0] if layers else None,
    )


def _openblas(exports: Exports, _file: str, _mapped: Sequence[str]) -> Details:
    version = re.search(r"OpenBLAS\s+([\w.]+)", _text(exports, "openblas_get_config") or "")
    return Details(
        version=version.group(1) if version else None,
        architecture=_text(exports, "openblas_get_corename"),
        threads=exports.call("openblas_get_num_threads"),
        threading_layer=_OPENBLAS_LAYERS.get(exports.call("openblas_get_parallel") or 0),
    )


def _blis(exports: Exports, _file: str, _mapped: Sequence[str]) -> Details:
    to_text = exports.find("bli_arch_string")
    architecture = None
    if to_text is not None:
        to_text.restype = ctypes.c_char_p
        architecture = _decoded(to_text(exports.call("bli_arch_query_id")))
    layers = {"openmp": "bli_info_get_enable_openmp", "pthreads": "bli_info_get_enable_pthreads"}
    enabled = [layer for layer, function in layers.items() if exports.call(function, ctypes.c_int64)]
    return Details(
        version=_text(exports, "bli_info_get_version_str"),
        architecture=architecture,
        # BLIS answers -1 until a number is set, and then uses one thread.
        threads=max(1, exports.call("bli_thread_get_num_threads", ctypes.c_int64) or 1),
        threading_layer=enabled[0] if enabled else "disabled",
    )


def _netlib(exports: Exports, file: str, _mapped: Sequence[str]) -> Details:
    release = re.search(r"\.so\.(\d+\.\d+\.\d+)$|\.(\d+\.\d+\.\d+)\.dylib$", file)
    return Details(
        version=_lapack_version(exports) or (release.group(1) or release.group(2) if release else None),
        threads=1,
        threading_layer="disabled",
    )


def _lapack_version(exports: Exports) -> str | None:
    ask = exports.find("ilaver")
    if ask is None:
        return None
    # Wide and zero, so that the answer is right whether the library writes 32 or 64 bits (little-endian).
    parts = [ctypes.c_int64(0) for _ in range(3)]
    ask(*(ctypes.byref(part) for part in parts))
    return ".".join(str(part.value) for part in parts)


def _accelerate(_exports: Exports, _file: str, _mapped: Sequence[str]) -> Details:  # not tested: needs macOS
    return Details(version=platform.mac_ver()[0] or None)  # Accelerate has the version of macOS


def _nvpl(exports: Exports, file: str, _mapped: Sequence[str]) -> Details:
    part = "lapack" if "nvpl_lapack" in PurePath(file).name else "blas"
    number = exports.call(f"nvpl_{part}_get_version")  # 10203 is 1.2.3
    version = f"{number // 10000}.{number // 100 % 100}.{number % 100}" if number else None
    return Details(version=version, threads=exports.call("nvpl_blas_get_max_threads"))


def _text(exports: Exports, stem: str) -> str | None:
    return _decoded(exports.call(stem, ctypes.c_char_p))


def _decoded(text: bytes | None) -> str | None:
    return text.decode(errors="replace").strip() or None if text else None


# Only the file's name counts, and Debian's folder for it (openblas-pthread/libblas.so.3). Users name the folders above:
# an environment may be called np-blis.
NETLIB = Vendor("netlib", None, re.compile(r"/lib(c?blas|lapack)[^/]*$"), _netlib)
VENDORS = (
    Vendor("mkl", "MKL_Get_Version_String", re.compile(r"/libmkl_[^/]*$"), _mkl),
    Vendor("blis", "bli_info_get_version_str", re.compile(r"/(libblis[^/]*|blis(64)?-\w+/[^/]*)$"), _blis),
    Vendor(
        "openblas", "openblas_get_config", re.compile(r"/(lib\w*openblas[^/]*|openblas(64)?-\w+/[^/]*)$"), _openblas
    ),
    Vendor("nvpl", "nvpl_blas_get_version", re.compile(r"/libnvpl_[^/]*$"), _nvpl),
    Vendor("accelerate", None, re.compile(r"/(Accelerate|vecLib)\.framework/"), _accelerate),
)
