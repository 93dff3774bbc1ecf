"""BLAS libraries of the wheels channel, as data: their distributions, and the symbols that NumPy must call."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mambakernels import paths
from mambakernels.engines.match_spec import MatchSpec
from mambakernels.system import process

# The interface that libblas, libcblas and liblapack stand for: reference LAPACK's version, as on conda-forge.
INTERFACE_VERSION = "3.11.0"
INTERFACES = ("libblas", "libcblas", "liblapack")

# NumPy's Linux wheels call `scipy_cblas_dgemm64_` and `scipy_dgesv_64_` in the OpenBLAS that they contain.
WHEEL_LIBRARY = "libscipy_openblas64_*.so*"
_CBLAS_NAME = re.compile(r"scipy_(cblas_\w+?)64_")
_LAPACK_NAME = re.compile(r"scipy_(\w+?)_64_")


Processor = Literal["x86-64", "64-bit ARM"]
_MACHINES: Mapping[Processor, frozenset[str]] = {
    "x86-64": frozenset({"x86_64", "amd64"}),
    "64-bit ARM": frozenset({"aarch64", "arm64"}),
}


@dataclass(frozen=True)
class Provider:
    """One upstream distribution that becomes one conda package of shared libraries in `lib/`."""

    name: str
    source: Literal["wheel", "deb"]
    distribution: str
    libraries: tuple[str, ...]
    license: str
    depends: tuple[str, ...] = ()
    replace_needed: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class BlasLibrary:
    """A BLAS that NumPy can run on.

    `providers` are its libraries; those of Debian may need `RUNTIMES` as well. It exists for one `processor` only, if
    one is named. `needed` are the libraries that NumPy's modules load in place of the wheel's (empty: they keep it).
    `cblas` and `lapack` are the symbols of the routine `{}` in these libraries, for 64-bit integers.
    """

    name: str
    title: str
    providers: tuple[Provider, ...] = ()
    needed: tuple[str, ...] = ()
    cblas: str = "{}"
    lapack: str = "{}_"
    build_number: int = 0
    processor: Processor | None = None

    def symbol(self, wheel_symbol: str) -> str | None:
        """Return this library's name of a symbol that NumPy's wheel imports; None if it is not a BLAS symbol."""
        if match := _CBLAS_NAME.fullmatch(wheel_symbol):
            return self.cblas.format(match[1])
        if match := _LAPACK_NAME.fullmatch(wheel_symbol):
            return self.lapack.format(match[1])
        return None


_INTEL = "LicenseRef-Intel-Simplified-Software-License"
_NVIDIA = "LicenseRef-Nvidia-NVPL-License"
_GCC = "GPL-3.0-only WITH GCC-exception-3.1"

INTEL_OPENMP = Provider("intel-openmp", "wheel", "intel-openmp", ("libiomp5.so",), _INTEL)
MKL = Provider(
    "mkl",
    "wheel",
    "mkl",
    (
        "libmkl_rt.so.*",
        "libmkl_core.so.*",
        "libmkl_intel_?lp64.so.*",
        "libmkl_intel_lp64.so.*",
        "libmkl_*_thread.so.*",
        "libmkl_sequential.so.*",
        "libmkl_def.so.*",
        "libmkl_mc3.so.*",
        "libmkl_avx*.so.*",
        "libmkl_vml_*.so.*",
    ),
    _INTEL,
    depends=("intel-openmp",),
)
GOMP = Provider("libgomp", "deb", "libgomp1", ("libgomp.so.1",), _GCC)
RUNTIMES: tuple[Provider, ...] = (
    GOMP,
    Provider("libgfortran5", "deb", "libgfortran5", ("libgfortran.so.5",), _GCC),
    Provider("libquadmath", "deb", "libquadmath0", ("libquadmath.so.0",), "LGPL-2.1-or-later"),
)
"""Libraries of compilers: each of Debian's packages names those that it needs, which depends on the machine."""
NETLIB_BLAS = Provider("blas-netlib", "deb", "libblas64-3", ("libblas64.so.3",), "BSD-3-Clause-Open-MPI")
NETLIB_LAPACK = Provider(
    "lapack-netlib",
    "deb",
    "liblapack64-3",
    ("liblapack64.so.3",),
    "BSD-3-Clause-Open-MPI",
    depends=("blas-netlib",),
)
BLIS = Provider("blis", "deb", "libblis64-4-openmp", ("libblis64.so.4",), "BSD-3-Clause")
# conda-forge pairs BLIS with netlib's LAPACK as well; here it must call BLIS for its products, not netlib's BLAS.
BLIS_LAPACK = Provider(
    "lapack-netlib-blis",
    "deb",
    "liblapack64-3",
    ("liblapack64.so.3",),
    "BSD-3-Clause-Open-MPI",
    depends=("blis",),
    replace_needed={"libblas64.so.3": "libblis64.so.4"},
)
NVPL_BLAS = Provider(
    "nvpl-blas",
    "wheel",
    "nvpl-blas",
    ("libnvpl_blas_core.so.0", "libnvpl_blas_ilp64_gomp.so.0"),
    _NVIDIA,
    depends=("libgomp",),  # it looks for that when it starts threads
)
NVPL_LAPACK = Provider(
    "nvpl-lapack",
    "wheel",
    "nvpl-lapack",
    ("libnvpl_lapack_core.so.0", "libnvpl_lapack_ilp64_gomp.so.0"),
    _NVIDIA,
    depends=("nvpl-blas",),
)

TABLE: tuple[BlasLibrary, ...] = (
    # The highest build number wins if no spec names a BLAS: OpenBLAS, as on conda-forge for Linux.
    BlasLibrary("openblas", "OpenBLAS", build_number=100),
    BlasLibrary(
        "mkl",
        "Intel MKL",
        (INTEL_OPENMP, MKL),
        ("libmkl_rt.so.*",),
        cblas="{}_64",
        lapack="{}_64_",
        processor="x86-64",
    ),
    BlasLibrary("blis", "BLIS", (BLIS, BLIS_LAPACK), ("libblis64.so.4", "liblapack64.so.3")),
    BlasLibrary("netlib", "netlib (reference)", (NETLIB_BLAS, NETLIB_LAPACK), ("libblas64.so.3", "liblapack64.so.3")),
    BlasLibrary(
        "nvpl",
        "NVIDIA NVPL",
        (GOMP, NVPL_BLAS, NVPL_LAPACK),
        ("libnvpl_blas_ilp64_gomp.so.0", "libnvpl_lapack_ilp64_gomp.so.0"),
        cblas="{}_64",
        lapack="{}_64_",
        processor="64-bit ARM",
    ),
)
BY_NAME = {blas.name: blas for blas in TABLE}
PROVIDERS = {provider.name: provider for blas in TABLE for provider in (*blas.providers, *RUNTIMES)}

# The builds of libblas on conda-forge by subdir (looked up 2026-11).
CONDA_FORGE: Mapping[str, tuple[str, ...]] = {
    "linux-64": ("openblas", "mkl", "blis", "netlib"),
    "linux-aarch64": ("openblas", "netlib", "nvpl"),
    "osx-64": ("openblas", "blis", "netlib", "accelerate"),
    "osx-arm64": ("openblas", "netlib", "accelerate"),
    "win-64": ("mkl", "openblas", "blis", "netlib"),
}


def why_not(blas: BlasLibrary) -> str | None:
    """Return why a BLAS is not available on this machine; None if no reason is known."""
    sources = {provider.source for provider in blas.providers}
    if not is_made_for_here(blas):
        return f"{blas.title} exists for {blas.processor} only"
    if sources and sys.platform != "linux":
        return f"{blas.title} can be used by NumPy on Linux only for now"
    if "deb" in sources and not (process.which("apt-get") and process.which("dpkg-deb")):
        return f"{blas.title} comes from Debian's packages, and this machine has no apt-get"
    return None


def is_made_for_here(blas: BlasLibrary) -> bool:
    """Whether a BLAS exists for this machine's processor."""
    return blas.processor is None or platform.machine().lower() in _MACHINES[blas.processor]


def runtimes(packages: Collection[str]) -> tuple[Provider, ...]:
    """Return the providers of `RUNTIMES` among these packages of Debian."""
    return tuple(provider for provider in RUNTIMES if provider.distribution in packages)


def available() -> tuple[BlasLibrary, ...]:
    """Return the BLAS libraries that are available on this machine, as far as is known without trying."""
    return tuple(blas for blas in TABLE if why_not(blas) is None)


def offered() -> tuple[str, ...]:
    """Return the names of the BLAS libraries that a channel may have for this platform."""
    return tuple(dict.fromkeys([*(blas.name for blas in available()), *CONDA_FORGE.get(paths.subdir(), ())]))


def numpy_specs(blas: str) -> tuple[str, ...]:
    """Return the match specs of an environment with NumPy on a BLAS, and a kernel."""
    return ("python", "numpy", f"libblas=*=*{blas}", "threadpoolctl", "ipykernel")


def matching(spec: MatchSpec) -> tuple[BlasLibrary, ...]:
    """Return the BLAS libraries whose libblas has a build that a spec such as `libblas=*=*mkl` asks for."""
    return tuple(blas for blas in TABLE if spec.allows_build(f"h00000000_{blas.build_number}_{blas.name}"))
