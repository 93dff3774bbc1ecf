"""The one reading of match specs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mambakernels import errors
from mambakernels.engines import match_spec
from mambakernels.engines.match_spec import MatchSpec


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("numpy", MatchSpec("numpy", "", "")),
        ("numpy=1.26", MatchSpec("numpy", "1.26.*", "")),
        ("numpy>=1.26,<2", MatchSpec("numpy", ">=1.26,<2", "")),
        ("libblas=*=*mkl", MatchSpec("libblas", "*", "*mkl")),
        ("libblas * *_mkl", MatchSpec("libblas", "*", "*_mkl")),
        ("libblas >=3.9,<4 *mkl", MatchSpec("libblas", ">=3.9,<4", "*mkl")),
        ("libblas=*[build=*mkl]", MatchSpec("libblas", "*", "*mkl")),
        ("libblas[build='*openblas']", MatchSpec("libblas", "", "*openblas")),
        ("conda-forge::libblas=3.11.0=*blis", MatchSpec("libblas", "==3.11.0", "*blis")),
        ("https://conda.anaconda.org/conda-forge::libblas=*=*mkl", MatchSpec("libblas", "*", "*mkl")),
        ("conda-forge/linux-64::numpy", MatchSpec("numpy", "", "")),
        ("Python_Dateutil", MatchSpec("python_dateutil", "", "")),
        ("  pip  ", MatchSpec("pip", "", "")),
        ("numpy 1.2 *mkl", MatchSpec("numpy", "==1.2", "*mkl")),
        ("libblas=*=^.*(mkl|blis)$", MatchSpec("libblas", "*", "^.*(mkl|blis)$")),
    ],
)
def test_name_version_and_build_are_read(spec: str, expected: MatchSpec) -> None:
    assert match_spec.read(spec) == expected


@pytest.mark.parametrize(
    "spec", ["", "  ", "=1.0", ">3", "*", "a[", "numpy=", "pip @ https://x", "pip:numpy", "numpy 1.2 3 4 5", "a=1=2=3"]
)
def test_an_invalid_spec_is_refused_with_an_example(spec: str) -> None:
    with pytest.raises(errors.InvalidRequestError, match="is not a valid match spec") as caught:
        match_spec.read(spec)
    assert "libblas=*=*mkl" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "build", "fits"),
    [
        ("libblas=*=*mkl", "20_linux64_mkl", True),
        ("libblas=3.9=*_mkl", "h1_0_mkl", True),  # of another version, perhaps: the build alone is asked
        ("libblas=*=^.*(mkl|blis)$", "0_blis", True),
        ("libblas=*=*mkl", "0_openblas", False),
        ("libblas>=3", "0_openblas", True),
    ],
)
def test_a_build_fits_as_rattler_says(spec: str, build: str, fits: bool) -> None:  # noqa: FBT001 (a case's answer)
    assert match_spec.read(spec).allows_build(build) is fits


@pytest.mark.parametrize(
    ("entry", "name"), [("numpy >=1.2,<3", "numpy"), ("_openmp_mutex * *_llvm", "_openmp_mutex"), ("odd ===1.0", "odd")]
)
def test_the_name_in_a_dependency_is_read_whatever_follows(entry: str, name: str) -> None:
    assert match_spec.dependency_name(entry) == name


def test_reading_waits_for_rattler_only_when_a_spec_is_read() -> None:
    code = "import sys; from mambakernels.engines import match_spec; print('rattler' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
