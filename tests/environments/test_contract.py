"""The contract of both engines, side by side: one request, the same packages, manifest, activation and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import growing_channel
from support.engines import needs_micromamba
from support.growing_channel import manifest
from support.world import World

import mambakernels
from mambakernels import errors, kernels
from mambakernels.activation import capture

pytestmark = needs_micromamba
NAMES = ("rattler", "micromamba")


@pytest.fixture
def worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[World]:
    """One world per engine, alike but for the engine, with one channel."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    growing_channel.write(tmp_path / "channel ü")
    return [World(tmp_path / name, tmp_path / "channel ü", name) for name in NAMES]


def both(worlds: list[World], act: Callable[[World], Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Do the same with each engine; return what came of it, or the error in its words but for places and reasons."""
    found: list[Any] = []
    for world in worlds:
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(world.path / "jupyter"))
        try:
            found.append(act(world))
        except errors.MambakernelsError as error:
            found.append((type(error), neutral(world, f"{error.what.splitlines()[0]}|{error.next_step}")))
    return found


def neutral(world: World, text: str) -> str:
    return text.replace(str(world.path), "PATH")


STEPS: dict[str, Callable[[World], Any]] = {
    "create": lambda world: world.create("one", "python", "grown", "activating", "native"),
    "install": lambda world: mambakernels.install("one", ["stem", "other=1.0"], **world.options),
    "again": lambda world: mambakernels.install("one", ["stem"], **world.options),
    "update one": lambda world: mambakernels.update("one", ["stem"], **world.options),
    "update": lambda world: mambakernels.update("one", **world.options),
    "uninstall": lambda world: mambakernels.uninstall("one", ["stem"], **world.options),
    "clone": lambda world: mambakernels.clone("one", "two", **world.options),
    "rename": lambda world: mambakernels.rename("two", "three", **world.options),
}


def test_a_whole_life_is_the_same(worlds: list[World], monkeypatch: pytest.MonkeyPatch) -> None:
    for step, act in STEPS.items():
        if step == "update one":
            growing_channel.grow(worlds[0].channel)
        assert not any(isinstance(found, tuple) for found in both(worlds, act, monkeypatch))
        one, other = both(worlds, state, monkeypatch)
        assert one == other, step


def state(world: World) -> Any:
    """All there is to compare: manifests, `conda-meta`, files, capture, kernels."""
    found = {}
    for environment in mambakernels.list(root=world.root):
        prefix = environment.prefix
        captured = capture.capture(prefix, root=world.root)
        found[environment.name] = {
            "manifest": {
                key: neutral(world, str(value)) for key, value in manifest(prefix).items() if key != "cloned_from"
            },
            "records": [
                (str(item), item.url, item.sha256, item.record.get("depends")) for item in environment.packages
            ],
            "files": sorted(_files(prefix)),
            "activation": neutral(world, str(replace(captured, fingerprint=""))),
            "damage": mambakernels.verify(environment.name, root=world.root).damage,
        }
    return found, [neutral(world, str((item.name, item.display_name, item.argv))) for item in kernels.list()]


def _files(prefix: Path) -> list[str]:
    """Every file but the notes that each engine leaves."""
    found = (path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if not path.is_dir())
    return [name for name in found if name not in {"CACHEDIR.TAG", ".mambarc", "conda-meta/history"}]


MISTAKES: dict[str, Callable[[World], Any]] = {
    "unsolvable": lambda world: world.create("x", "python", "quarrel"),
    "unknown": lambda world: world.create("x", "no-such-package"),
    "unreadable": lambda world: world.create("x", "python", "grown[=="),
    "empty spec": lambda world: world.create("x", "python", " "),
    "no channel": lambda world: mambakernels.create("x", ["python"], channel="file:///nothing/here", **world.options),
    "refused": lambda world: mambakernels.create("x", ["python"], channel="http://127.0.0.1:9/x", **world.options),
    "damaged": lambda world: world.create("x", "python", "stem"),
    "not there": lambda world: mambakernels.install("nothing", ["grown"], **world.options),
    "taken": lambda world: world.create("one", "python", "other"),
    "needed": lambda world: mambakernels.uninstall("one", ["seed"], **world.options),
    "install unsolvable": lambda world: mambakernels.install("one", ["quarrel"], **world.options),
    "no names": lambda world: mambakernels.install("one", [" "], **world.options),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_alike(worlds: list[World], monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    both(worlds, lambda world: world.create("one", "python", "grown"), monkeypatch)
    growing_channel.damage(worlds[0].channel, "stem-1.0-pyh_0")
    one, other = both(worlds, MISTAKES[mistake], monkeypatch)
    assert isinstance(one, tuple), one
    assert isinstance(other, tuple), other
    assert one[0] is other[0]
    if mistake not in {"no channel", "refused", "damaged", "unreadable"}:  # these quote the engine in their first line
        assert one[1] == other[1]
    for world in worlds:
        assert [path.name for path in (world.root / "envs").iterdir()] == ["one"]


def test_channels_with_other_letters_in_their_path_are_cached_once(worlds: list[World]) -> None:
    for world in worlds:
        for name in ("one", "two"):
            mambakernels.create(name, ["python", "stem"], channel=world.url, register=False, **world.options)
        unpacked = [path for path in (world.root / "pkgs").rglob("stem-1.0-pyh_0") if path.is_dir()]
        assert len(unpacked) == 1
        for file in (world.root / "envs" / "two" / "conda-meta").glob("*.json"):
            assert not re.search(r"mambakernels-\d+/", file.read_text())
