from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

from mambakernels.numeric import native, probe, probing

BLAS_KEYS = {
    "name",
    "library",
    "version",
    "architecture",
    "threads",
    "threading_layer",
    "integer_bits",
    "build",
    "proven",
}
MACHINE_KEYS = {"cpu", "instruction_sets", "cores", "quota", "load", "memory_bytes", "system", "architecture"}
MACHINE_KEYS |= {"virtual", "governor", "ghz", "peak"}
PROBE_KEYS = {
    "python",
    "implementation",
    "numpy",
    "numpy_file",
    "prefix",
    "blas",
    "lapack",
    "functions",
    "packages",
    "libraries",
    "openmp",
    "machine",
    "variables",
}


def known_to_threadpoolctl() -> dict[str, Any]:
    found = [entry for entry in threadpoolctl.threadpool_info() if entry["user_api"] == "blas"]
    return next(entry for entry in found if "numpy" in entry["filepath"] or len(found) == 1)


def test_it_agrees_with_threadpoolctl_where_that_knows() -> None:
    blas, known = probe().blas, known_to_threadpoolctl()
    assert blas.library == str(Path(known["filepath"]).resolve())
    assert (blas.name, blas.version, blas.threads) == (known["internal_api"], known["version"], known["num_threads"])
    assert (blas.architecture, blas.threading_layer) == (known.get("architecture"), known["threading_layer"])


def test_it_sees_the_number_of_threads_change() -> None:
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert probing.blas_threads() == 1


def test_openblas_brings_its_own_lapack() -> None:
    probed = probe()
    assert probed.blas.name == probed.lapack.name == "openblas"
    assert probed.lapack.library == probed.blas.library
    assert probed.blas.integer_bits == 64
    assert probed.blas.library in probed.libraries


def test_the_dictionary_is_json_with_the_keys_agreed_upon() -> None:
    found = probe().as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == PROBE_KEYS
    assert set(found["blas"]) == BLAS_KEYS
    assert set(found["lapack"]) == {"name", "library", "version"}
    assert set(found["machine"]) == MACHINE_KEYS
    assert found["numpy"] == np.__version__
    assert found["numpy_file"] == np.__file__
    assert found["prefix"] == sys.prefix


def test_the_variables_that_are_set_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in probing.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    assert probe().variables == {"OPENBLAS_CORETYPE": "Haswell", "MKL_NUM_THREADS": "2"}


def test_another_code_path_is_seen() -> None:
    """OpenBLAS reads its variable when it loads, so this takes a new process."""
    code = "from mambakernels.numeric import probe; print(probe().blas.architecture)"
    other = "Nehalem" if platform.machine() in ("x86_64", "AMD64") else "cortexa57"
    variables = os.environ | {"OPENBLAS_CORETYPE": other}
    ran = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == other


def test_the_build_string_of_libblas(tmp_path: Path) -> None:
    assert probing.libblas_build(tmp_path) is None
    record = tmp_path / "conda-meta" / "libblas-3.11.0-0_h1_mkl.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"name": "libblas", "build": "0_h1_mkl"}))
    (record.parent / "libblas-devel-3.11.0-0_h2_x.txt").write_text("not a record")
    assert probing.libblas_build(tmp_path) == "0_h1_mkl"


def test_the_conda_packages_that_decide_which_blas_runs(tmp_path: Path) -> None:
    assert probing.packages(tmp_path) == {}
    (tmp_path / "conda-meta").mkdir()
    for name in ("libblas", "openblas-devel", "libopenblas", "mkl", "numpy", "llvm-openmp", "zlib", "numpydoc"):
        record = {"name": name, "version": "1.2", "build": "h0_0"}
        (tmp_path / "conda-meta" / f"{name}-1.2-h0_0.json").write_text(json.dumps(record))
    found = probing.packages(tmp_path)
    assert found == dict.fromkeys(
        ["libblas", "libopenblas", "llvm-openmp", "mkl", "numpy", "openblas-devel"], "1.2=h0_0"
    )


def test_every_function_is_served_by_one_library_that_proves_what_it_is() -> None:
    probed = probe()
    assert {"cblas_dgemm", "cblas_zgemm", "cblas_ddot", "dgesv", "dgesdd"} <= set(probed.functions)
    assert set(probed.functions.values()) == {probed.blas.library}
    assert probed.blas.proven is True


class FakeExports32:
    """Stands for a library with 32-bit integers, which this NumPy's is not."""

    def exact(self, name: str) -> Any:
        assert name == "cblas_ddot"
        pointer = ctypes.POINTER(ctypes.c_double)
        prototype = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int, pointer, ctypes.c_int, pointer, ctypes.c_int)
        return prototype(lambda n, x, _incx, y, _incy: x[0] * y[0] * n)


def test_integers_of_32_bits_are_told_from_64() -> None:
    assert probing.integer_bits(FakeExports32(), "cblas_ddot") == 32  # type: ignore[arg-type]


def test_a_library_without_ddot_does_not_tell_its_integers() -> None:
    assert probing.integer_bits(native.Exports(None), "cblas_nothing_of_the_kind") is None


def test_where_the_loader_cannot_be_asked_threadpoolctl_is(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = probe().blas
    monkeypatch.setattr(native, "imported_symbol", lambda *_: None)
    blas = probe().blas
    assert (blas.name, blas.version, blas.threads) == (expected.name, expected.version, expected.threads)
    assert probe().lapack.name == "unknown"


def test_without_threadpoolctl_too_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "imported_symbol", lambda *_: None)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert probe().blas == probing.Blas(build=probing.libblas_build(Path(sys.prefix)))


def test_people_can_read_it() -> None:
    probed = probe()
    text, html = str(probed), probed._repr_html_()
    for shown in (probed.blas.name, probed.blas.library or "", probed.lapack.name, probed.machine.cpu):
        assert shown in text
    assert html.startswith("<table>")
