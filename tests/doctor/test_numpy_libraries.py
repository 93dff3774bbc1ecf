"""BLAS and OpenMP as files tell."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
from support.examination import change, examine, left_alone, only, site
from support.world import Made, World

from mambakernels import kernels
from mambakernels.doctor import Finding

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: other systems' libraries are not read")


@pytest.fixture
def mkl(made: Made) -> kernels.KernelSpec:
    """The kernel of an environment that is made for MKL."""
    spec = made("np-mkl", "numpy", "libblas=*=*mkl")
    assert spec.blas == "mkl"
    return spec


def put_numpy(prefix: Path, **needed: str) -> str:
    """Put NumPy's own extension module there, and let it need another library; return which it is."""
    from mambakernels.channels import elf

    found = importlib.util.find_spec("numpy._core._multiarray_umath")
    assert found is not None
    assert found.origin is not None
    module = site(prefix) / "numpy" / "_core" / Path(found.origin).name
    module.parent.mkdir(parents=True)
    shutil.copyfile(found.origin, module)
    [library] = [name for name in elf.needed(module) if "blas" in name]
    if needed:
        elf.edit(module, needed={library: needed["blas"]})
    return needed.get("blas", library)


def test_the_package_that_was_asked_for(world: World, mkl: kernels.KernelSpec) -> None:
    assert examine(world).findings == ()
    [record] = (mkl.prefix / "conda-meta").glob("libblas-*.json")
    record.rename(record.with_name("libblas-3.11.0-0_openblas.json"))
    finding = left_alone(world, "blas")
    assert finding.severity == "error"
    assert "mkl" in finding.text
    assert "0_openblas" in finding.text
    assert finding.remedy == "mambakernels install np-mkl 'libblas=*=*mkl'"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("libblas=*=*openblas", True),
        ("libblas * *_openblas", True),
        ("conda-forge::libblas[build=*openblas]", True),
        ("libblas=3.11=*mkl", False),
        ("libblas[version='*',build='*_mkl']", False),
        ("libblas", False),
        ("numpy", False),
    ],
)
def test_ways_to_ask(world: World, mkl: kernels.KernelSpec, spec: str, found: bool) -> None:  # noqa: FBT001
    change(mkl.prefix, lambda manifest: manifest.update(specs=["python", spec]))
    assert [finding.rule for finding in examine(world).findings] == ["blas"] * found


@on_linux
def test_a_numpy_of_pip_brings_its_own(world: World, mkl: kernels.KernelSpec) -> None:
    library = put_numpy(mkl.prefix)
    libraries = site(mkl.prefix) / "numpy.libs"
    assert "not there" in only(examine(world)).text
    libraries.mkdir()
    (libraries / library).touch()
    finding = left_alone(world, "blas")
    assert "runs on openblas" in finding.text
    assert "pip uninstall -y numpy && mambakernels verify np-mkl --repair" in finding.remedy


@on_linux
@pytest.mark.parametrize(
    ("target", "runs"),
    [("libmkl_rt.so.2", None), ("libopenblasp-r0.3.30.so", "openblas"), ("libcblas.so.3.11.0", "netlib")],
)
def test_the_library_behind_the_link(world: World, mkl: kernels.KernelSpec, target: str, runs: str | None) -> None:
    """As conda-forge has it: NumPy needs libcblas.so.3, a link to whichever library was chosen."""
    put_numpy(mkl.prefix, blas="libcblas.so.3")
    (mkl.prefix / "lib" / target).touch()
    (mkl.prefix / "lib" / "libcblas.so.3").symlink_to(target)
    found = examine(world).findings
    assert [finding.text for finding in found] == (
        [f"It was made for mkl, and NumPy runs on {runs}: {mkl.prefix / 'lib' / target}."] if runs else []
    )


def test_wheels_that_bring_openmp_once_more(world: World, mkl: kernels.KernelSpec) -> None:
    brought = site(mkl.prefix) / "scikit_learn.libs"
    brought.mkdir()
    (brought / "libgomp-a34b3233.so.1.0.0").touch()
    assert examine(world).findings == ()
    (mkl.prefix / "lib" / "libiomp5.so").touch()
    finding: Finding = left_alone(world, "openmp")
    assert finding.severity == "note"
    assert "scikit_learn.libs/libgomp-a34b3233.so.1.0.0" in finding.text
    assert examine(world).healthy
