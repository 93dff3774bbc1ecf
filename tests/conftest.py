"""One channel, one set of environments and one Jupyter data folder for the whole session: they are expensive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.blas import BLAS, blas_spec
from support.channel_server import Site, serve
from support.engines import ENGINES, engine_of
from support.forge import write as write_forge

from mambakernels import environments as environments_module
from mambakernels.channels import wheels
from mambakernels.engines import Engine
from mambakernels.environments import Environment
from mambakernels.kernels import registration
from mambakernels.paths import Root

# What the tests start must not see an environment that the developer has activated.
for _name in [name for name in os.environ if name.startswith(("CONDA_", "JUPYTER_", "MAMBAKERNELS_"))]:
    del os.environ[_name]
# Nor may it ignore what they send it, where the tests themselves were started to ignore that (nohup, `&` in a script).
for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own for everything under test, with a space and a letter that is not ASCII in its path."""
    folder = tmp_path_factory.mktemp("häuser am meer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("MPLCONFIGDIR", str(folder / "matplotlib"))
        yield folder


@pytest.fixture(scope="session")
def root(home: Path) -> Root:
    """The root with the `wheels` channel of every BLAS that can be had here, built from nothing."""
    place = Root(home / "root")
    place.packages.mkdir(parents=True)
    wheels.ensure(place, [f"libblas=*=*{name}" for name in BLAS])
    return place


@pytest.fixture(scope="session")
def environments(root: Root) -> dict[str, Environment]:
    """One environment per BLAS, by the name of the BLAS, registered as kernels."""
    made = {name: environments_module.create_environment(blas_spec(name), root=root) for name in BLAS}
    for environment in made.values():
        registration.register_kernels(environment)
    return made


@pytest.fixture
def empty_root(tmp_path: Path) -> Root:
    """A root that nothing was made in."""
    return Root(tmp_path / "root")


@pytest.fixture
def borrowed_root(root: Root, tmp_path: Path) -> Root:
    """A root without environments that shares the session's channels and package cache."""
    place = Root(tmp_path / "root")
    place.path.mkdir()
    place.channels.symlink_to(root.channels)
    place.packages.symlink_to(root.packages)
    return place


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the channels `conda-forge` and `shadow`, which have conda-forge's traits; made in a moment."""
    folder = tmp_path_factory.mktemp("forge")
    write_forge(folder)
    return folder


@pytest.fixture
def site(forge: Path) -> Iterator[Site]:
    """A server of the forge's channels on loopback, for one test."""
    with serve(forge) as running:
        yield running


@pytest.fixture(params=ENGINES)
def any_engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine there is."""
    return engine_of(request.param)


@pytest.fixture
def cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line as a user runs it: a process of its own."""

    def call(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mambakernels", *map(str, words)],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    return call
