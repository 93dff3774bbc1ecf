"""A world for each test: real environments with kernels that run, to be broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.conda_packages import Package, write_channel
from support.forge import PACKAGES, SUBDIR
from support.growing_channel import OLD, module
from support.world import World

from mambakernels import kernels
from mambakernels.numeric.threads import THREAD_VARIABLES


@pytest.fixture(scope="session")
def ward_channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel whose ipykernel needs two other packages, and with one libblas per BLAS."""
    folder = tmp_path_factory.mktemp("ward") / "channel"
    [ipykernel] = [package for package in PACKAGES if package.name == "ipykernel"]
    needing = Package(
        ipykernel.name,
        build=ipykernel.build,
        depends=(*ipykernel.depends, "stem"),
        noarch="python",
        files=ipykernel.files,
    )
    blas = [Package("libblas", "3.11.0", f"0_{name}", SUBDIR) for name in ("openblas", "mkl", "blis")]
    others = [package for package in OLD if package.name != "ipykernel"]
    write_channel([*others, needing, *blas, module("numpy")], folder)
    return folder


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what this session sets, and the user has, out of the test."""
    for name in (*THREAD_VARIABLES, "JUPYTER_PATH", "MKL_DEBUG_CPU_TYPE", "KMP_DUPLICATE_LIB_OK"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in {
        "JUPYTER_DATA_DIR": "jupyter",
        "IPYTHONDIR": "ipython",
        "HOME": "home",
        "PYTHONUSERBASE": "user",
    }.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("MAMBAKERNELS_ROOT", str(tmp_path / "root ü"))


@pytest.fixture
def world(tmp_path: Path, ward_channel: Path) -> World:
    """A root without environments."""
    return World(tmp_path, ward_channel, "rattler")


@pytest.fixture
def one(world: World) -> kernels.KernelSpec:
    """The kernel of an environment that is well."""
    world.create("one", "python", "ipykernel")
    [spec] = kernels.list()
    return spec
