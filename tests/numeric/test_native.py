from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from mambakernels.numeric import native

MAPS = """\
55d0-55d1 r--p 00000000 08:01 123                      /usr/bin/python3.11
7f00-7f01 r-xp 00001000 08:01 124                      /opt/my envs/np mkl/lib/libmkl_rt.so.3
7f01-7f02 r--p 00002000 08:01 124                      /opt/my envs/np mkl/lib/libmkl_rt.so.3
7f02-7f03 r--p 00000000 08:01 125                      /tmp/gone/libblas.so.3 (deleted)
7f03-7f04 r--p 00000000 08:01 126                      /tmp/two\\012lines.so
7f04-7f05 rw-p 00000000 00:00 0
7f05-7f06 rw-p 00000000 00:00 0                        [heap]
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc")
posix = pytest.mark.skipif(sys.platform == "win32", reason="only where there is no Windows: asks dladdr")


def extension() -> str:
    module = sys.modules.get("numpy._core._multiarray_umath") or sys.modules["numpy.core._multiarray_umath"]
    assert module.__file__
    return module.__file__


def test_maps_with_spaces_deleted_files_and_line_breaks() -> None:
    assert list(dict.fromkeys(native.parse_maps(MAPS))) == [
        "/usr/bin/python3.11",
        "/opt/my envs/np mkl/lib/libmkl_rt.so.3",
        "/tmp/gone/libblas.so.3",
        "/tmp/two\nlines.so",
    ]


@linux
def test_this_process_has_numpy_mapped_once() -> None:
    assert native.mapped_files().count(str(Path(extension()).resolve())) == 1


@posix
def test_the_file_that_serves_numpys_products() -> None:
    symbol = native.imported_symbol(extension(), "cblas_dgemm")
    assert symbol is not None
    assert "cblas_dgemm" in symbol.name
    known = {str(Path(entry["filepath"]).resolve()) for entry in threadpoolctl.threadpool_info()}
    assert symbol.file in known


@posix
def test_a_function_that_is_not_imported() -> None:
    assert native.imported_symbol(extension(), "cblas_nothing_of_the_kind") is None


@posix
def test_a_name_left_behind_by_a_renaming_does_not_count(tmp_path: Path) -> None:
    """As patchelf leaves them: the file still holds the string, the loader no longer knows it."""
    content = Path(extension()).read_bytes()
    renamed = tmp_path / "renamed.so"
    renamed.write_bytes(content + b"\0scipy_cblas_dgemm_64_\0")
    assert "scipy_cblas_dgemm_64_" in native._names_in(str(renamed), "cblas_dgemm")
    symbol = native.imported_symbol(str(renamed), "cblas_dgemm")
    assert symbol is not None
    assert symbol == native.imported_symbol(extension(), "cblas_dgemm")


@posix
def test_the_file_of_a_function_follows_links() -> None:
    file = native.file_of(native.Exports(extension()).find("cblas_dgemm"))
    assert file is not None
    assert Path(file) == Path(file).resolve()


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    broken = tmp_path / "libblas.so"
    broken.write_text("no library")
    with pytest.raises(OSError, match=r"libblas\.so"):
        native.Exports(str(broken))


@posix
def test_exports_are_found_with_any_prefix_and_suffix() -> None:
    exports = native.Exports(extension())
    assert exports.exact("PyInit_nothing_of_the_kind") is None
    assert exports.call("nothing_of_the_kind") is None
    function = exports.find("cblas_ddot")
    assert function is not None
    function.restype = ctypes.c_double
    pointer = np.array([3.0]).ctypes.data_as(ctypes.c_void_p)
    assert function(1, pointer, 1, pointer, 1) == 9.0
