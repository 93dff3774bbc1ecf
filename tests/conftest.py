"""One channel, one set of environments and one Jupyter data folder for the whole session: they are expensive."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from jupyter_client.connect import LocalPortCache
from support import channel_cache, scheduling, skips
from support.blas import BLAS, blas_spec
from support.channel_server import Site, serve
from support.command_line import Call, command_line
from support.engines import ENGINES, engine_of
from support.forge import write as write_forge
from support.ports import Ports

from mambakernels.engines import Engine
from mambakernels.environments import Environment, create_environment
from mambakernels.kernels import registration
from mambakernels.paths import Root
from mambakernels.runs.notebooks import prepare_nbformat

prepare_nbformat()  # before the test modules import it

# What the tests start must not see an environment that the developer has activated. A venv exports even its prompt,
# which no shell in between passes on.
for _name in [name for name in os.environ if name.startswith(("CONDA_", "JUPYTER_", "MAMBAKERNELS_", "VIRTUAL_ENV"))]:
    del os.environ[_name]
os.environ.pop("PS1", None)
# Programs are found from any folder, even where this Python was found by a relative entry of PATH.
sys.executable = str(Path(sys.executable).absolute())
os.environ["PATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in os.get_exec_path())
# Nor may it ignore what they send it, where the tests themselves were started to ignore that (nohup, `&` in a script).
for _name, _default in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    _number = getattr(signal, _name, None)  # Windows has no SIGHUP
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)


_HOMES = ("USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA")  # what Windows calls so


def pytest_configure(config: pytest.Config) -> None:
    """Say which tests a worker runs, and which may be skipped."""
    config.pluginmanager.register(scheduling)
    config.pluginmanager.register(skips)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own for everything under test, with a space and a letter that is not ASCII in its path."""
    folder = tmp_path_factory.mktemp("häuser am meer")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", *(_HOMES if sys.platform == "win32" else ())):
            patch.setenv(name, str(folder))
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("MPLCONFIGDIR", str(folder / "matplotlib"))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def ports() -> Iterator[None]:
    """Ports for the kernels that these processes start, which nobody else takes."""
    with pytest.MonkeyPatch.context() as patch:
        given = Ports()
        patch.setattr(LocalPortCache, "find_available_port", lambda _self, ip: given.free(ip))
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def root(shared: Path) -> Root:
    """The root with the `wheels` channel of every BLAS that can be had here; no test changes it."""
    place = Root(shared / "häuser am meer" / "root")
    with FileLock(shared / "root.lock"):
        if not (shared / "root.built").exists():
            channel_cache.build(place)
            (shared / "root.built").touch()
    return place


@pytest.fixture(scope="session")
def environments(root: Root, shared: Path) -> dict[str, Environment]:
    """One environment per BLAS, by the name of the BLAS, registered as kernels; no test changes them."""
    with FileLock(shared / "environments.lock"):
        made = {name: create_environment(blas_spec(name), root=root) for name in BLAS}
    for environment in made.values():
        registration.register_kernels(environment)
    return made


@pytest.fixture
def empty_root(tmp_path: Path) -> Root:
    """A root that nothing was made in."""
    return Root(tmp_path / "root")


@pytest.fixture
def borrowed_root(root: Root, tmp_path: Path) -> Root:
    """A root without environments: it has the session's channels as copies, and its package cache with its locks."""
    place = Root(tmp_path / "root")
    place.path.mkdir()
    channel_cache.copy(root.channels, place.channels)
    root.locks.mkdir(exist_ok=True)
    place.locks.symlink_to(root.locks)
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


@pytest.fixture(scope="session")
def _cli() -> Iterator[Call]:
    with command_line() as call:
        yield call


@pytest.fixture
def cli(_cli: Call) -> Call:
    """The command line as a user runs it: a process of its own."""
    return _cli
