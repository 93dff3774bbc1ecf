"""Two kernels of this very Python, which live as long as the tests of a module: each costs a second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.python_kernels import ARGV, install
from support.r_kernel import irkernel

import mambakernels
from mambakernels.sessions.kernel_session import KernelSession

__all__ = ["install", "irkernel"]


@pytest.fixture(scope="module")
def jupyter_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Jupyter folder with the kernelspecs `one` and `two`, whose kernels know their names; no other is visible."""
    folder = tmp_path_factory.mktemp("jupyter dätä")
    for name in ("one", "two"):
        place = folder / "kernels" / name
        place.mkdir(parents=True)
        spec = {"argv": ARGV, "display_name": name, "language": "python", "env": {"NAME": name}}
        (place / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("user")))
        yield folder


@pytest.fixture(scope="module")
def lasting(jupyter_path: Path) -> Iterator[KernelSession]:
    """A session of both kernels for all tests of a module."""
    assert jupyter_path
    with mambakernels.session(["one", "two"]) as kernels:
        yield kernels


@pytest.fixture
def pair(lasting: KernelSession) -> KernelSession:
    """The session of both kernels, which run and have nothing to do."""
    return lasting.start()
