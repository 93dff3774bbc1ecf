"""A home that is a link: what was made by one path has its whole life by the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import growing_channel
from support.world import World

import mambakernels
from mambakernels import environments, kernels


@pytest.fixture
def link(world: World) -> Path:
    """The root by another path than the one that environments are made by."""
    world.create()
    (world.path / "link").symlink_to(".")
    return world.path / "link" / world.root.relative_to(world.path)


def registered() -> dict[str, bool]:
    """The kernels, and whether each points to a folder that is there."""
    return {spec.name: spec.prefix is not None and spec.prefix.is_dir() for spec in kernels.list()}


def test_remove_leaves_no_kernel(world: World, link: Path) -> None:
    assert registered() == {"one": True}
    mambakernels.remove("one", root=link)
    assert registered() == {}
    assert not (world.root / "envs" / "one").exists()


def test_remove_by_the_path_of_the_folder(world: World, link: Path) -> None:
    mambakernels.remove(link / "envs" / "one", root=world.root)
    assert registered() == {}


def test_clone_and_rename_take_the_kernels_with_them(world: World, link: Path) -> None:
    mambakernels.clone("one", "two", root=link)
    assert registered() == {"one": True, "two": True}
    mambakernels.rename("two", "three", root=world.root)
    assert registered() == {"one": True, "three": True}
    assert world.python("three", "import grown; print(grown.VERSION)") == "1.0"


def test_install_and_the_same_request_know_the_environment(world: World, link: Path) -> None:
    options = {**world.options, "root": link}
    growing_channel.grow(world.channel)
    assert mambakernels.install("one", ["stem"], **options).added
    assert [item.name for item in environments.list(link)] == ["one"]
    assert registered() == {"one": True}
    assert mambakernels.verify("one", root=link).damage == ()


def test_sync_by_the_other_path_has_nothing_to_do_and_prunes_what_is_gone(world: World, link: Path) -> None:
    file = world.path / "kernels.toml"
    head = f"channels = [{json.dumps(world.url)}]\nengine = {json.dumps(world.engine)}\n"
    file.write_text(head + '[environments.a]\nspecs = ["python"]\n[environments.b]\nspecs = ["python", "grown"]\n')
    mambakernels.sync(file, root=world.root)
    assert registered() == {"one": True, "a": True, "b": True}
    assert mambakernels.sync(file, root=link).steps == ()
    assert mambakernels.sync(world.path / "link" / file.name, root=link).steps == ()
    file.write_text(head + '[environments.a]\nspecs = ["python"]\n')
    mambakernels.sync(world.path / "link" / file.name, prune=True, root=link)
    assert registered() == {"one": True, "a": True}
