from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.shims import COMPILER

from mambakernels.numeric import libraries, native

# The functions of NVPL that are used here, as its own headers declare them.
NVPL = """
int nvpl_blas_get_version(void) { return 12034; }
int nvpl_blas_get_max_threads(void) { return 3; }
int nvpl_lapack_get_version(void) { return 400; }
"""
NAMES = {
    "/e/lib/libmkl_rt.so.3": "mkl",
    "/e/lib/libmkl_intel_ilp64.so.3": "mkl",
    "/e/site-packages/numpy.libs/libscipy_openblas64_-32a4b2a6.so": "openblas",
    "/e/lib/libopenblasp-r0.3.30.so": "openblas",
    "/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3": "openblas",
    "/usr/lib/x86_64-linux-gnu/openblas64-openmp/liblapack64.so.3": "openblas",
    "/e/lib/libblis64.so.4": "blis",
    "/usr/lib/x86_64-linux-gnu/blis-openmp/libblas.so.3": "blis",
    "/e/lib/libnvpl_blas_core.so.0": "nvpl",
    "/System/Library/Frameworks/Accelerate.framework/Versions/A/Frameworks/vecLib.framework/Versions/A/libBLAS.dylib": (
        "accelerate"
    ),
    "/e/lib/libblas.so.3.9.0": None,
    "/somewhere/envs/np-blis/lib/liblapack64.so.3.11.0": None,
    "/somewhere/envs/np-openblas/lib/libblas64.so.3": None,
    "/somewhere/envs/np-mkl/lib/libcblas.so.3": None,
}


@pytest.mark.parametrize(("file", "name"), NAMES.items())
def test_a_file_is_known_by_its_own_name_never_by_the_environments(file: str, name: str | None) -> None:
    vendor = libraries._by_path(file)
    assert (vendor.name if vendor else None) == name


@pytest.mark.parametrize(
    ("file", "is_netlib"),
    [
        ("/somewhere/envs/np-blis/lib/liblapack64.so.3.11.0", True),
        ("/e/lib/libblas.so.3.9.0", True),
        ("/e/lib/libcblas.so.3", True),
        ("/e/lib/libflexiblas.so.3", False),
        ("/e/liblapack/libother.so", False),
    ],
)
def test_what_no_vendor_claims_is_netlibs_by_its_name(file: str, is_netlib: bool) -> None:  # noqa: FBT001
    assert (libraries._if_netlib(file) is not None) == is_netlib


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["/e/np-blis/lib/libmkl_rt.so.3", "/e/lib/libmkl_core.so.3", "/e/lib/libiomp5.so"], "mkl"),
        (["/e/np-mkl/lib/libblis64.so.4", "/e/lib/liblapack64.so.3", "/e/lib/libgomp.so.1"], "blis"),
        (["/e/numpy.libs/libscipy_openblas64_-32a4b2a6.so", "/e/scipy.libs/libscipy_openblas-68440149.so"], "openblas"),
        (["/e/lib/libblas.so.3.9.0", "/e/lib/libcblas.so.3.9.0", "/e/lib/liblapack.so.3.9.0"], "netlib"),
        (["/e/lib/libmkl_rt.so.3", "/e/scipy.libs/libscipy_openblas-68440149.so"], None),
        (["/lib/libc.so.6"], None),
    ],
)
def test_the_one_blas_among_files_is_named_and_of_several_none(files: list[str], name: str | None) -> None:
    assert libraries.only_blas(files) == name


def test_of_all_mapped_files_the_numeric_libraries_are_kept() -> None:
    files = (
        "/e/lib/libz.so.1",
        "/e/lib/python3.11/site-packages/numpy/linalg/_umath_linalg.so",
        "/e/lib/libgomp.so.1.0.0",
        "/e/lib/libmkl_core.so.3",
        "/e/lib/libiomp5.so",
        "/e/lib/libscipy_openblas-6cdc3b4a.so",
        "/e/lib/libgfortran.so.5",
    )
    kept = ("/e/lib/libgomp.so.1.0.0", "/e/lib/libiomp5.so", "/e/lib/libmkl_core.so.3")
    assert libraries.numeric_libraries(files) == (*kept, "/e/lib/libscipy_openblas-6cdc3b4a.so")
    assert libraries.openmp_files(files) == kept[:2]


class FakeMkl:
    """Stands for libmkl_rt, which comes with no wheel of NumPy; the real one runs in the tests of the channel."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def find(self, stem: str) -> Any:
        assert stem == "MKL_Get_Version_String"

        def write(buffer: Any, size: int) -> None:
            ctypes.memmove(buffer, self._text, min(size, len(self._text)))

        return write

    def call(self, stem: str) -> int:
        assert stem == "MKL_Get_Max_Threads"
        return 2


@pytest.mark.parametrize(
    ("kernels", "path"), [(("def",), "def"), (("avx2",), "avx2"), (("avx512", "def"), "avx512"), ((), None)]
)
def test_mkls_code_path_is_the_kernel_library_that_is_mapped(kernels: tuple[str, ...], path: str | None) -> None:
    text = b"Intel(R) oneAPI Math Kernel Library Version 2026.2-Product Build 20260101 for Intel(R) 64 applications"
    mapped = [f"/e/lib/libmkl_{part}.so.3" for part in (*kernels, "vml_avx2", "core", "intel_thread", "rt")]
    details = libraries._mkl(FakeMkl(text), "/e/lib/libmkl_rt.so.3", mapped)  # type: ignore[arg-type]
    assert details == libraries.Details("2026.2", path, 2, "intel")


def test_a_library_that_does_not_tell_its_version() -> None:
    assert libraries._mkl(FakeMkl(b""), "", []).version is None  # type: ignore[arg-type]


@pytest.mark.skipif(COMPILER is None, reason="no C compiler: install gcc and libc6-dev")
def test_nvpl_says_its_versions_as_numbers(tmp_path: Path) -> None:
    """A library of our own with NVPL's names, as NVPL itself needs an ARM processor."""
    code = tmp_path / "nvpl.c"
    code.write_text(NVPL)
    found = {}
    for part in ("blas", "lapack"):
        file = str(tmp_path / f"libnvpl_{part}_ilp64_gomp.so.0")
        subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", file, str(code)], check=True)
        vendor = libraries.identify_blas(file)
        assert vendor is not None
        found[vendor.name, part] = vendor.describe(native.Exports(file), file, [])
    assert found == {
        ("nvpl", "blas"): libraries.Details(version="1.20.34", threads=3),
        ("nvpl", "lapack"): libraries.Details(version="0.4.0", threads=3),
    }


@pytest.mark.parametrize(
    ("file", "version"),
    [("/e/lib/libblas.so.3.9.0", "3.9.0"), ("/e/lib/libblas.3.11.0.dylib", "3.11.0"), ("/e/lib/libblas.3.dylib", None)],
)
def test_netlib_without_ilaver_has_the_version_of_its_file(file: str, version: str | None) -> None:
    assert libraries.NETLIB.describe(native.Exports(None), file, []).version == version
