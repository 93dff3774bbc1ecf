"""A world for each test: real environments with kernels that run, made once and copied back to be broken."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.conda_packages import Package, write_channel
from support.forge import PACKAGES, SUBDIR
from support.growing_channel import OLD, module
from support.world import Made, World

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


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the worlds are, one at a time, as environments hold their paths; what they begin as is kept next to it."""
    return tmp_path_factory.mktemp("doctor") / "world"


@pytest.fixture(autouse=True)
def session(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep what this session sets, and the user has, out of the test."""
    for name in (*THREAD_VARIABLES, "JUPYTER_PATH", "MKL_DEBUG_CPU_TYPE", "KMP_DUPLICATE_LIB_OK"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in {
        "JUPYTER_DATA_DIR": "jupyter",
        "IPYTHONDIR": "ipython",
        "HOME": "home",
        "PYTHONUSERBASE": "user",
    }.items():
        monkeypatch.setenv(name, str(place / folder))
    monkeypatch.setenv("MAMBAKERNELS_ROOT", str(place / "root ü"))
    place.mkdir()
    yield
    shutil.rmtree(place)


@pytest.fixture
def world(place: Path, ward_channel: Path) -> World:
    """A root without environments."""
    return World(place, ward_channel, "rattler")


@pytest.fixture
def made(world: World) -> Made:
    """Return a function that makes an environment in a world without any, and returns its kernel; the first time."""

    def make(name: str, *specs: str) -> kernels.KernelSpec:
        kept = world.path.with_name(name)
        if not kept.exists():
            world.create(name, "python", "ipykernel", *specs)
            shutil.copytree(world.path, kept, symlinks=True)
        shutil.rmtree(world.path)
        shutil.copytree(kept, world.path, symlinks=True)
        [spec] = kernels.list()
        return spec

    return make


@pytest.fixture
def one(made: Made) -> kernels.KernelSpec:
    """The kernel of an environment that is well."""
    return made("one")
