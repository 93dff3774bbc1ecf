"""Kernels that root makes for all: two students run them, change nothing there, and make kernels of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import channel_cache
from support.blas import blas_spec

import mambakernels
from mambakernels.environments import create_environment
from mambakernels.paths import Root

pytestmark = pytest.mark.slow
STUDENTS = (64_001, 64_002)  # users that no system has by itself
# As a notebook server would: start the kernel that Jupyter lists, run a cell, end it.
SERVER = """
import json, os, sys
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import run_kernel
said = []
with run_kernel(kernel_name="class") as client:
    client.execute_interactive(sys.argv[1], timeout=120, output_hook=lambda message: said.append(message["content"]))
shown = [item for item in said if "text" in item or "ename" in item]
print(json.dumps([sorted(KernelSpecManager().find_kernel_specs()), shown]))
"""
CELL = """
import numpy, os
print(float((numpy.ones((9, 9)) @ numpy.ones((9, 9))).sum()), os.getuid())
"""


@pytest.fixture(scope="module")
def room(root: Root) -> Iterator[Path]:
    """A folder that everybody can read: environments of root, and a Jupyter folder with their kernel."""
    if os.geteuid() != 0:
        pytest.skip("This machine lacks root, who makes kernels for others.")
    folder = Path(tempfile.mkdtemp(prefix="class-room-", dir="/tmp"))
    folder.chmod(0o755)
    before = os.umask(0o022)
    try:
        place = Root(folder / "srv")
        place.path.mkdir()
        channel_cache.copy(root.channels, place.channels)
        place.packages.symlink_to(root.packages)
        made = create_environment(blas_spec("openblas", "class"), root=place)
        mambakernels.kernels.register(made.name, root=place.path, jupyter=folder / "jupyter")
        yield folder
    finally:
        os.umask(before)
        shutil.rmtree(folder)


def as_student(uid: int, room: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a user who has a home and nothing else."""
    home = room / f"home-{uid}"
    if not home.exists():
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
    return subprocess.run(
        [*words],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "JUPYTER_PATH": str(room / "jupyter"), "LANG": "C.UTF-8"},
        cwd=home,
        user=uid,
        group=uid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("uid", STUDENTS)
def test_a_student_runs_the_kernel_and_leaves_no_trace(room: Path, uid: int) -> None:
    prefix = room / "srv" / "envs" / "class"
    before = {path: path.lstat().st_mtime_ns for path in prefix.rglob("*")}
    done = as_student(uid, room, prefix / "bin" / "python", "-c", SERVER, CELL)
    assert done.returncode == 0, done.stderr
    kernels, said = json.loads(done.stdout.splitlines()[-1])
    assert "class" in kernels
    assert [item["text"] for item in said] == [f"729.0 {uid}\n"]
    assert {path: path.lstat().st_mtime_ns for path in prefix.rglob("*")} == before


def test_a_student_can_damage_nothing(room: Path) -> None:
    prefix = room / "srv" / "envs" / "class"
    code = f"open({str(prefix / 'bin' / 'python')!r}, 'wb')"
    assert "PermissionError" in as_student(STUDENTS[0], room, prefix / "bin" / "python", "-c", code).stderr
    assert as_student(STUDENTS[0], room, "rm", "-rf", prefix, room / "jupyter").returncode != 0
    writable = as_student(STUDENTS[0], room, "find", room / "srv", room / "jupyter", "-writable", "-not", "-type", "l")
    assert writable.stdout == ""
