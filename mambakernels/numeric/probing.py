"""The BLAS and LAPACK that really serve NumPy in this process, and the machine.

`numpy.show_config()` shows how NumPy was built. The probe instead asks the dynamic loader which file serves the
functions that NumPy's extension modules import (`native.imported_symbol`), and then asks that file what it is; the
proof is a function that only one library has (`libraries.is_proven`).
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mambakernels.numeric import formatting, libraries, native
from mambakernels.numeric.machine import Machine, machine
from mambakernels.numeric.threads import THREAD_VARIABLES

LIBRARY_VARIABLES = (
    "OPENBLAS_CORETYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_INTERFACE_LAYER",
    "MKL_THREADING_LAYER",
    "BLIS_ARCH_TYPE",
    "MKL_CBWR",
)
"""The variables that choose a library's code path, interface or threading layer."""
RISKY_VARIABLES = ("MKL_DEBUG_CPU_TYPE", "KMP_DUPLICATE_LIB_OK", "GOTO_NUM_THREADS", "NVPL_BLAS_NUM_THREADS")
VARIABLES = THREAD_VARIABLES + LIBRARY_VARIABLES + RISKY_VARIABLES
_UNKNOWN = "unknown"
_BLAS_FUNCTIONS = ("cblas_dgemm", "cblas_sgemm", "cblas_zgemm", "cblas_ddot", "cblas_dgemv", "cblas_dsyrk")
_LAPACK_FUNCTIONS = ("dgesv", "dpotrf", "dgesdd", "dsyevd")
_PACKAGES = re.compile(
    r"(lib(blas|cblas|lapack|openblas|blis)|openblas|mkl|blis|nvpl|numpy|_openmp_mutex|\w+-openmp)\b"
)


@dataclass(frozen=True)
class Blas:
    """The library that serves NumPy's products; None for a fact that it does not report.

    `name` is mkl, openblas, blis, netlib, accelerate, nvpl or unknown; `architecture` the code path it chose for this
    processor; `integer_bits` the width of its integers (64 or 32); `build` the build string of conda's libblas package;
    `proven` whether it has the function that only this library has, and not just its name (None: there is none).
    """

    name: str = _UNKNOWN
    library: str | None = None
    version: str | None = None
    architecture: str | None = None
    threads: int | None = None
    threading_layer: str | None = None
    integer_bits: Literal[32, 64] | None = None
    build: str | None = None
    proven: bool | None = None


@dataclass(frozen=True)
class Lapack:
    """The library that serves `numpy.linalg`; often, but not always, the same as the BLAS."""

    name: str = _UNKNOWN
    library: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Probe:
    """The software that ran and its machine; `as_dict()` goes into the notebook.

    `functions` are the files that serve some functions NumPy imports, by the functions' names; `packages` the versions
    and builds of the conda packages that matter (empty outside conda); `variables` those that are set.
    """

    python: str
    implementation: str
    numpy: str
    numpy_file: str
    prefix: str
    blas: Blas
    lapack: Lapack
    functions: Mapping[str, str]
    packages: Mapping[str, str]
    libraries: tuple[str, ...]
    openmp: tuple[str, ...]
    machine: Machine
    variables: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values: dictionaries, lists, strings, numbers and None."""
        decoded: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return decoded

    def rows(self) -> list[tuple[str, str]]:
        """Return the facts that a reader wants first, as rows of a table."""
        return [
            ("BLAS", f"{self.blas.name} {self.blas.version or ''}".strip()),
            ("library", self.blas.library or "not found"),
            ("code path", self.blas.architecture or "-"),
            ("threads", f"{self.blas.threads or '?'} ({self.blas.threading_layer or 'threading unknown'})"),
            ("LAPACK", f"{self.lapack.name} {self.lapack.version or ''}".strip()),
            ("NumPy", f"{self.numpy}, Python {self.python}"),
            ("machine", f"{self.machine.cpu}, {self.machine.cores} cores"),
            ("peak", self._peak()),
        ]

    def _peak(self) -> str:
        peak = self.machine.peak
        return peak.how if peak.gflops_per_core is None else f"{peak.gflops_per_core:g} GFLOP/s a core: {peak.how}"

    def __str__(self) -> str:
        return formatting.text_table(("what", "value"), self.rows())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001 (IPython's own signature)
        """Show the table as text where there is no HTML."""
        printer.text("Probe(...)" if cycle else str(self))

    def _repr_html_(self) -> str:
        return formatting.html_table(("what", "value"), self.rows())


COLUMNS: Mapping[str, str] = {
    "blas": "blas.name",
    "blas_version": "blas.version",
    "architecture": "blas.architecture",
    "threads": "blas.threads",
    "library": "blas.library",
    "lapack": "lapack.name",
    "numpy": "numpy",
    "python": "python",
    "cpu": "machine.cpu",
    "cores": "machine.cores",
    "system": "machine.system",
    "peak_gflops": "machine.peak.gflops_per_core",
}
"""The fields that stand next to each measurement in a frame, by the column's name."""


def probe() -> Probe:
    """Find out which BLAS and LAPACK really serve NumPy in this process, and describe the machine.

    Makes one small product and solves one small system first, since some libraries choose their code at the first call.
    """
    _first_calls()
    mapped = native.mapped_files()
    return Probe(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        numpy=np.__version__,
        numpy_file=np.__file__,
        prefix=sys.prefix,
        blas=_blas(mapped),
        lapack=_lapack(mapped),
        functions=_functions(),
        packages=packages(Path(sys.prefix)),
        libraries=libraries.numeric_libraries(mapped),
        openmp=libraries.openmp_files(mapped),
        machine=machine(),
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def blas_threads() -> int | None:
    """Return how many threads the BLAS uses now, or None if it does not report it."""
    return _blas(native.mapped_files()).threads


def libblas_build(prefix: Path) -> str | None:
    """Return the build string of the libblas package that is installed in a conda prefix, or None."""
    builds = [record["build"] for record in _records(prefix, "libblas-*.json", ("name", "build"))]
    return builds[-1] if builds else None


def packages(prefix: Path) -> dict[str, str]:
    """Return version and build (`0.3.30=h1_0`) of the packages in a conda prefix that decide which BLAS runs."""
    return {
        record["name"]: f"{record['version']}={record['build']}"
        for record in _records(prefix, "*.json")
        if _PACKAGES.match(record["name"])
    }


def _records(
    prefix: Path, pattern: str, keys: Sequence[str] = ("name", "version", "build")
) -> Iterator[dict[str, str]]:
    """Yield some fields of the records of packages in a conda prefix; files that have not all of them are left out."""
    for file in sorted((prefix / "conda-meta").glob(pattern)):
        try:
            record = json.loads(file.read_bytes())
            found = {key: record[key] for key in keys}
        except (OSError, LookupError, RecursionError, TypeError, ValueError):
            continue
        if all(isinstance(text, str) for text in found.values()):
            yield found


def _functions() -> dict[str, str]:
    """Return the file that serves each function: the same for all, unless something is wrong."""
    places = {
        **dict.fromkeys(_BLAS_FUNCTIONS, _core()),
        **dict.fromkeys(_LAPACK_FUNCTIONS, _extension("numpy.linalg._umath_linalg")),
    }
    found = {name: native.imported_symbol(module, name) for name, module in places.items() if module}
    return {name: symbol.file for name, symbol in found.items() if symbol}


def _core() -> str | None:
    return _extension("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")


def _first_calls() -> None:
    a = np.eye(64)
    np.linalg.solve(a @ a, a[0])


def _blas(mapped: tuple[str, ...]) -> Blas:
    build = libblas_build(Path(sys.prefix))
    module = _core()
    symbol = native.imported_symbol(module, "cblas_dgemm") if module else None
    if symbol is None:
        return _blas_by_threadpoolctl(build)
    vendor = libraries.identify_blas(symbol.file)
    if vendor is None:
        return Blas(library=symbol.file, build=build)
    details = vendor.describe(native.Exports(symbol.file), symbol.file, mapped)
    return Blas(
        name=vendor.name,
        library=symbol.file,
        integer_bits=integer_bits(native.Exports(symbol.file), symbol.name.replace("dgemm", "ddot")),
        build=build,
        proven=libraries.is_proven(vendor, symbol.file, mapped),
        **asdict(details),
    )


def _lapack(mapped: tuple[str, ...]) -> Lapack:
    module = _extension("numpy.linalg._umath_linalg")
    symbol = native.imported_symbol(module, "dgesv") if module else None
    if symbol is None:
        return Lapack()
    vendor = libraries.identify_lapack(symbol.file)
    if vendor is None:
        return Lapack(library=symbol.file)
    details = vendor.describe(native.Exports(symbol.file), symbol.file, mapped)
    return Lapack(name=vendor.name, library=symbol.file, version=details.version)


def _extension(*names: str) -> str | None:
    loaded = (sys.modules.get(name) for name in names)
    return next((module.__file__ for module in loaded if module is not None), None)


def integer_bits(exports: native.Exports, ddot: str) -> Literal[32, 64] | None:
    """Return how wide a library's integers are, by calling its `cblas_ddot`.

    The length passed is 1 in its low 32 bits and negative as 64 bits: a library with 32-bit integers multiplies
    the one pair of numbers, one with 64-bit integers sees a negative length and returns 0, as BLAS prescribes.
    """
    function = exports.exact(ddot)
    if function is None or sys.maxsize <= 2**32:
        return None
    pointer = ctypes.POINTER(ctypes.c_double)
    function.argtypes = (ctypes.c_int64, pointer, ctypes.c_int64, pointer, ctypes.c_int64)
    function.restype = ctypes.c_double
    number = ctypes.c_double(2.0)
    product = function(1 - 2**32, ctypes.byref(number), 1, ctypes.byref(number), 1)
    widths: dict[float, Literal[32, 64]] = {4.0: 32, 0.0: 64}
    return widths.get(product)


def _blas_by_threadpoolctl(build: str | None) -> Blas:
    """Ask threadpoolctl, for systems whose loader cannot be asked (Windows) and for static builds of NumPy."""
    try:
        import threadpoolctl
    except ImportError:
        return Blas(build=build)
    found = [entry for entry in threadpoolctl.threadpool_info() if entry["user_api"] == "blas"]
    own = sorted(found, key=lambda entry: "numpy" not in entry["filepath"])  # SciPy may have brought another
    if not own:
        return Blas(build=build)
    entry = own[0]
    return Blas(
        name=entry["internal_api"],
        library=entry["filepath"],
        version=entry["version"],
        architecture=entry.get("architecture"),
        threads=entry["num_threads"],
        threading_layer=entry.get("threading_layer"),
        build=build,
    )
