"""SIGKILL at any moment: what is listed works, the next call succeeds, and nothing is left over."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import growing_channel
from support.world import World

import mambakernels
from mambakernels import kernels
from mambakernels.environments import Environment


@dataclass(frozen=True)
class Action:
    """A command that is killed; what it leads to if it is not; and how to get back to where it started."""

    words: tuple[str, ...]
    done: Callable[[World], bool]
    back: Callable[[World], object]


def has(world: World, name: str, spec: str) -> bool:
    found = {item.name: item for item in mambakernels.list(root=world.root)}
    return name in found and any(str(package).startswith(spec) for package in found[name].packages)


def start_over(world: World) -> None:
    """Bring the environment `moved` back to the old versions."""
    mambakernels.install("moved", ["grown=1.0", "seed=1.0"], **world.options)
    mambakernels.install("moved", ["grown", "seed"], **world.options)


ACTIONS = (
    Action(
        ("create", "made", "python<3.99", "grown", "big", "-c", "CHANNEL"),
        lambda world: has(world, "made", "big"),
        lambda world: mambakernels.remove("made", root=world.root),
    ),
    Action(
        ("install", "one", "big", "activating"),
        lambda world: has(world, "one", "big"),
        lambda world: mambakernels.uninstall("one", ["big", "activating"], **world.options),
    ),
    Action(
        ("update", "moved"),
        lambda world: has(world, "moved", "grown=2.0"),
        start_over,
    ),
    Action(
        ("rename", "one", "renamed"),
        lambda world: has(world, "renamed", "grown") and not has(world, "one", "grown"),
        lambda world: mambakernels.rename("renamed", "one", **world.options),
    ),
)


def start(world: World, words: tuple[str, ...]) -> subprocess.Popen[str]:
    given = [world.url if word == "CHANNEL" else word for word in words]
    return subprocess.Popen(
        [sys.executable, "-m", "mambakernels", *given, "--engine", world.engine, "--root", world.root, "-q"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def succeeds(world: World, words: tuple[str, ...]) -> None:
    child = start(world, words)
    said = child.communicate(timeout=120)
    assert child.returncode == 0, (words, said)


def check(environment: Environment) -> None:
    """An environment that is listed is what its manifest says, and is whole."""
    wanted = {item.name: item.version for item in environment.packages}
    modules = sorted(wanted.keys() & {"grown", "seed", "big"})
    code = f"import {', '.join(modules)}; print({', '.join(f'{name}.VERSION' for name in modules)})"
    done = subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [wanted[name] for name in modules]
    assert mambakernels.verify(environment.prefix, root=environment.root.path).damage == ()
    assert (environment.prefix / "mine.txt").exists() or environment.name == "made"


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(13, marks=pytest.mark.exhaustive)])
def test_killed_at_random_moments(world: World, kills: int) -> None:
    world.create("one", "python", "grown")
    world.create("moved", "python", "grown", "seed")
    growing_channel.grow(world.channel)
    start_over(world)
    for name in ("one", "moved"):
        (world.read(name).prefix / "mine.txt").write_text("mine\n")
    chance = random.Random(3)
    duration: dict[Action, float] = {}
    killed = dict.fromkeys(ACTIONS, 0)
    for action in itertools.islice(itertools.cycle(ACTIONS), len(ACTIONS) * (1 + 4 * kills)):
        if killed[action] == kills:
            continue
        if action in duration:
            child = start(world, action.words)
            time.sleep(chance.uniform(0.1, 0.9) * duration[action])
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            killed[action] += child.returncode != 0
            for environment in mambakernels.list(root=world.root):
                check(environment)
        began = time.monotonic()
        if not (action.words[0] == "rename" and action.done(world)):
            succeeds(world, action.words)
            duration[action] = time.monotonic() - began  # as busy as this machine now is
        assert action.done(world)
        for environment in mambakernels.list(root=world.root):
            check(environment)
        assert all(spec.working for spec in kernels.list()), action
        action.back(world)
    assert set(killed.values()) == {kills}, killed
    left_over(world)


def left_over(world: World) -> None:
    time.sleep(1)  # a micromamba that has lost us may be at its last file
    mambakernels.clean(root=world.root)
    assert world.hidden() == []
    assert not (world.root / "pkgs").exists()
    assert not list(Path(world.root / "locks").glob("in-use-*"))
    assert {item.name for item in mambakernels.list(root=world.root)} == {"one", "moved"}
    world.create("last", "python<3.99", "grown", "big")
    check_last = world.python("last", "import big.part59; print(big.part59.VALUE)")
    assert check_last == "1"
