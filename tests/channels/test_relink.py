"""NumPy on another BLAS: it calls that library and no other, and its own test suite passes."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from support.blas import BLAS

from mambakernels import errors
from mambakernels.channels import blas_libraries, elf, relink, wheels
from mambakernels.environments import Environment
from mambakernels.numeric.threads import THREAD_VARIABLES


@pytest.mark.parametrize(
    ("name", "cblas", "lapack"),
    [
        ("openblas", "cblas_dgemm", "dgesv_"),
        ("mkl", "cblas_dgemm_64", "dgesv_64_"),
        ("blis", "cblas_dgemm", "dgesv_"),
        ("netlib", "cblas_dgemm", "dgesv_"),
    ],
)
def test_symbols_are_called_as_the_library_calls_them(name: str, cblas: str, lapack: str) -> None:
    row = blas_libraries.BY_NAME[name]
    assert row.symbol("scipy_cblas_dgemm64_") == cblas
    assert row.symbol("scipy_dgesv_64_") == lapack
    assert row.symbol("PyInit_umath") is None


@pytest.mark.parametrize("name", [name for name in BLAS if blas_libraries.BY_NAME[name].needed])
def test_a_relinked_numpy_has_no_trace_of_its_wheels_library(environments: dict[str, Environment], name: str) -> None:
    site = next(environments[name].prefix.glob("lib/python3*/site-packages"))
    modules = list((site / "numpy").rglob("*.so"))
    assert modules
    assert not any(symbol.startswith("scipy_") for path in modules for symbol in elf.imported(path))
    assert not (site / "numpy.libs").exists()
    record = next(site.glob("numpy-*.dist-info/RECORD")).read_text()
    assert "numpy.libs" not in record


def test_a_library_without_the_routines_is_refused(environments: dict[str, Environment], tmp_path: Path) -> None:
    """NumPy's OpenBLAS build is pointed at a library that is real but has no BLAS in it."""
    import shutil

    source = environments["openblas"].prefix
    site = next(source.glob("lib/python3*/site-packages"))
    target = tmp_path / "prefix" / site.relative_to(source)
    shutil.copytree(site / "numpy" / "linalg", target / "numpy" / "linalg")
    python = next(source.glob("lib/libpython3*.so*"), None) or next(site.glob("numpy.libs/libquadmath*.so*"))
    row = blas_libraries.BlasLibrary("bad", "a library without BLAS", needed=(python.name,))
    with pytest.raises(errors.ChannelError, match=r"lacks .* routines that NumPy calls"):
        relink.relink(tmp_path / "prefix", row, [python])


# Its pytest is that of these tests, behind everything of the environment's own, and without these tests' plugins.
_SUITE = """
import sys
sys.path.append(sys.argv.pop(1))
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=.", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", BLAS)
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(["-k", "not generalized and not threading and not sdot_bug"], id="one"),
        # Stacks of matrices take the same calls of the library once more; 200 products look for faults of threads,
        # which are one here; and four more Pythons for one of macOS: together, they take three quarters of the time.
        pytest.param([], id="stacks", marks=pytest.mark.exhaustive),
    ],
)
def test_numpys_own_linalg_tests_pass(environments: dict[str, Environment], name: str, cases: list[str]) -> None:
    environment = environments[name]
    words = [environment.python, "-IB", "-c", _SUITE, sysconfig.get_path("purelib"), "--pyargs", "numpy.linalg", *cases]
    threads = dict.fromkeys(THREAD_VARIABLES, "1")  # matrices this small gain nothing from a second
    environ = {**os.environ, **threads, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    answer = subprocess.run(words, cwd=environment.prefix, env=environ, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    assert int(re.findall(r"(\d+) passed", answer.stdout)[-1]) > 300


def test_every_provider_belongs_to_a_row_of_the_table() -> None:
    runtimes = {provider.name for provider in blas_libraries.RUNTIMES}
    listed = {provider.name for row in blas_libraries.TABLE for provider in row.providers}
    assert set(blas_libraries.PROVIDERS) == listed | runtimes
    for row in blas_libraries.TABLE:
        have = {provider.name for provider in row.providers}
        assert all(set(provider.depends) <= have for provider in row.providers), row.name
    assert wheels.BASE
