"""Several processes at once: one does the work, and all succeed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import misbehaving_server as bad
from support.engines import needs_micromamba
from support.growing_channel import tree
from support.world import World

import mambakernels
from mambakernels import kernels

pytestmark = pytest.mark.slow

MANY = 4


def start(world: World, *words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mambakernels", *words, "--engine", world.engine, "--root", world.root],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(children: list[subprocess.Popen[str]]) -> list[str]:
    """Wait for all, see that all succeeded, and return what they said of their progress."""
    said = [child.communicate(timeout=240) for child in children]
    assert [child.returncode for child in children] == [0] * len(children), said
    return [err for _, err in said]


def test_several_create_the_same_environment(world: World) -> None:
    said = ended([start(world, "create", "one", "python", "grown", "big", "-c", world.url) for _ in range(MANY)])
    assert sum("solving" in text or "linking" in text for text in said) == 1
    assert [item.name for item in mambakernels.list(root=world.root)] == ["one"]
    assert mambakernels.verify("one", root=world.root).damage == ()
    assert [spec.name for spec in kernels.list()] == ["one"]
    assert world.hidden() == []
    before = tree(world.root / "envs")
    ended([start(world, "create", "one", "python", "grown", "big", "-c", world.url)])
    assert tree(world.root / "envs") == before


def test_several_create_different_environments(world: World) -> None:
    """With one package cache, which is empty at first."""
    ended([start(world, "create", f"e{number}", "python", "big", "-c", world.url) for number in range(MANY)])
    assert len(mambakernels.list(root=world.root)) == MANY
    assert all(mambakernels.verify(f"e{number}", root=world.root).damage == () for number in range(MANY))
    assert len(kernels.list()) == MANY
    assert world.hidden() == []


def test_packages_installed_at_once_are_all_there(world: World) -> None:
    world.create("one", "python")
    wanted = ["grown", "stem", "activating", "native"]
    ended([start(world, "install", "one", name) for name in wanted])
    after = world.read("one")
    assert {item.name for item in after.packages} >= set(wanted)
    assert set(after.specs) >= set(wanted)
    assert mambakernels.verify("one", root=world.root).damage == ()
    assert world.variables("one")["ACTIVATING"] == "1.0"
    assert world.hidden() == []


def test_environments_are_removed_at_once(world: World) -> None:
    """Half of them at paths."""
    places = [world.path / "project" / f"e{number}" for number in range(MANY // 2)]
    for place in places:
        mambakernels.create("", ["python"], prefix=place, channel=world.url, register=False, **world.options)
    names = [f"e{number}" for number in range(MANY // 2)]
    for name in names:
        world.create(name, "python")
    code = "import sys, mambakernels; mambakernels.remove(sys.argv[1], root=sys.argv[2])"
    words = [[sys.executable, "-c", code, str(one), world.root] for one in (*places, *names)]
    ended([subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in words])
    assert list((world.path / "project").iterdir()) == []
    assert list((world.root / "envs").iterdir()) == []
    assert world.hidden() == []


@needs_micromamba
@pytest.mark.parametrize("engine", ["micromamba"])
def test_several_fetch_micromamba_and_create(world: World) -> None:
    content = Path(os.environ["MAMBA_EXE"]).read_bytes()
    with bad.serving() as server:
        url = server.at("/micromamba", bad.whole(content))
        server.at("/micromamba.sha256", bad.whole(hashlib.sha256(content).hexdigest().encode()))
        variables = {"MAMBAKERNELS_MICROMAMBA_URL": url, "PATH": "/usr/bin:/bin", "MAMBA_EXE": ""}
        said = ended(
            [start(world, "create", "one", "python", "grown", "-c", world.url, **variables) for _ in range(MANY)]
        )
        assert server.count("/micromamba") == 1, server.seen
    assert sum("linking" in text for text in said) == 1
    assert mambakernels.get("one", root=world.root).engine.startswith("micromamba ")
    assert (world.root / "bin" / "micromamba").read_bytes() == content
    assert world.hidden() == []
