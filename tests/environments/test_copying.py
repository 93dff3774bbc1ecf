"""clone and rename: the same packages and files at another place, with kernels of their own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import growing_channel
from support.growing_channel import tree
from support.world import World

import mambakernels
from mambakernels import environments, errors, kernels
from mambakernels.kernels import registered


def prepared(world: World) -> None:
    """An environment with files of the user, some of which name its place."""
    made = world.create()
    prefix = made.prefix
    (prefix / "bin" / "mine").write_text(f"#!/bin/sh\nexec '{prefix}/bin/python' -c 'import sys; print(sys.prefix)'\n")
    (prefix / "bin" / "mine").chmod(0o755)
    (prefix / "bin" / "inside").symlink_to(prefix / "bin" / "mine")
    (prefix / "bin" / "outside").symlink_to(world.path)
    (prefix / "notes.txt").write_text(f"not {prefix}-data, {prefix}.old nor {prefix}2, but {prefix}. And {prefix}/x\n")
    mambakernels.kernels.register("one", kernel="one-fast", display_name="Fast", env={"A": "1"}, root=world.root)
    mambakernels.kernels.register("one", kernel="oneself", root=world.root)


def test_a_clone_is_the_same_at_another_place(world: World) -> None:
    prepared(world)
    before = tree(world.root / "envs" / "one")
    source = world.read("one")
    made = mambakernels.clone("one", "two", **world.options)
    assert (made.packages, made.specs, made.channels) == (source.packages, source.specs, source.channels)
    assert mambakernels.verify("two", root=world.root).damage == ()
    for script in ("mine", "inside"):
        said = subprocess.run([made.prefix / "bin" / script], capture_output=True, text=True, check=True)
        assert said.stdout.strip() == str(made.prefix)
    assert (made.prefix / "bin" / "outside").resolve() == world.path.resolve()
    old, new = source.prefix, made.prefix
    assert (new / "notes.txt").read_text() == f"not {old}-data, {old}.old nor {old}2, but {new}. And {new}/x\n"
    assert tree(world.root / "envs" / "one") == before
    assert {spec.name: spec.prefix.name for spec in kernels.list()} == {
        "one": "one",
        "one-fast": "one",
        "oneself": "one",
        "two": "two",
        "two-fast": "two",
        "two-oneself": "two",
    }
    assert world.variables("two-fast")["A"] == "1"
    assert world.variables("two-fast")["CONDA_PREFIX"] == str(made.prefix)


def test_a_clone_shares_no_file_of_the_users_with_its_source(world: World) -> None:
    prepared(world)
    (world.read("one").prefix / "data.txt").write_text("of one\n")
    made = mambakernels.clone("one", "two", **world.options)
    with (made.prefix / "data.txt").open("a") as file:
        file.write("of two\n")
    assert (world.read("one").prefix / "data.txt").read_text() == "of one\n"


def test_a_clone_again_is_nothing_to_do_and_onto_something_else_is_refused(world: World) -> None:
    world.create()
    made = mambakernels.clone("one", "two", **world.options)
    before = tree(world.root / "envs")
    assert mambakernels.clone("one", "two", **world.options) == made
    world.create("three", "python", "other")
    between = tree(world.root / "envs" / "three")
    for new_name, advice in (("three", "remove it first: mambakernels remove three"), ("one", "Choose another name.")):
        with pytest.raises(errors.InvalidRequestError) as caught:
            mambakernels.clone("one", new_name, **world.options)
        assert advice in str(caught.value.next_step)
    with pytest.raises(errors.InvalidRequestError, match="cannot be an environment's name"):
        mambakernels.clone("one", "a b", **world.options)
    with pytest.raises(errors.NotFoundError):
        mambakernels.clone("nothing", "four", **world.options)
    (world.root / "envs" / "five").mkdir()
    with pytest.raises(errors.InvalidRequestError, match=r"name 'five' is taken.*\n.* move the folder away\.$"):
        mambakernels.clone("one", "five", **world.options)
    after = tree(world.root / "envs")
    assert {name: after[name] for name in before if name != "."} == {
        name: state for name, state in before.items() if name != "."
    }
    assert tree(world.root / "envs" / "three") == between
    assert world.hidden() == []


def test_a_rename_whose_kernel_has_no_free_name_is_completed_once_it_has(world: World) -> None:
    world.create()
    world.create("three", "python", "other")
    mambakernels.kernels.register("three", kernel="two", root=world.root)
    with pytest.raises(errors.KernelError, match="'two' is taken"):
        mambakernels.rename("one", "two", **world.options)
    assert world.read("one").name == "one"
    assert {spec.name: spec.prefix.name for spec in kernels.list()} == {
        "one": "one",
        "three": "three",
        "two": "three",
    }
    mambakernels.kernels.unregister("two")
    mambakernels.rename("one", "two", **world.options)
    assert [spec.name for spec in kernels.list()] == ["three", "two"]
    assert [item.name for item in mambakernels.list(root=world.root)] == ["three", "two"]


def test_rename_takes_all_along(world: World) -> None:
    prepared(world)
    before = world.read("one")
    made = mambakernels.rename("one", "two", **world.options)
    assert made.packages == before.packages
    assert [item.name for item in mambakernels.list(root=world.root)] == ["two"]
    assert {spec.name for spec in kernels.list()} == {"two", "one-fast", "oneself"}  # notebooks name them
    assert all(spec.working for spec in kernels.list())
    assert world.python("two", "import grown; print(grown.VERSION)") == "1.0"
    said = subprocess.run(
        ["grep", "-rlIF", f"{before.prefix}/", made.prefix], capture_output=True, text=True, check=False
    )
    assert said.stdout == ""
    assert world.hidden() == []
    with pytest.raises(errors.NotFoundError):
        world.read("one")


@pytest.mark.parametrize("moment", ["move", "unregister_all"])
def test_a_rename_that_was_stopped_is_completed_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """As if the process had been killed after the clone was made, or before the first one was removed."""
    prepared(world)
    with monkeypatch.context() as patch:
        patch.setattr(registered, moment, lambda *_, **__: sys.exit(9))
        with pytest.raises(SystemExit):
            mambakernels.rename("one", "two", **world.options)
    assert {item.name for item in mambakernels.list(root=world.root)} == {"one", "two"}
    mambakernels.rename("one", "two", **world.options)
    assert [item.name for item in mambakernels.list(root=world.root)] == ["two"]
    assert {spec.name for spec in kernels.list()} == {"two", "one-fast", "oneself"}  # notebooks name them


def test_a_clone_that_fails_leaves_nothing(world: World) -> None:
    world.create()
    environments.clean_root(environments.get("one", world.read("one").root).root)
    growing_channel.damage(world.channel, "grown-1.0-pyh_0")
    with pytest.raises(errors.EngineError, match="grown"):
        mambakernels.clone("one", "two", **world.options)
    assert [path.name for path in (world.root / "envs").iterdir()] == ["one"]
    assert [spec.name for spec in kernels.list()] == ["one"]


def test_an_environment_at_a_path_lives_as_one_with_a_name(world: World) -> None:
    place = world.path / "project" / "np"
    made = mambakernels.create("", ["python", "grown"], prefix=place, channel=world.url, **world.options)
    assert made.prefix == place
    assert json.loads((place / ".mambakernels.json").read_text())["name"] == "np"
    mambakernels.install(place, ["stem"], **world.options)
    growing_channel.grow(world.channel)
    mambakernels.update(place, ["stem"], **world.options)
    mambakernels.uninstall(place, ["grown"], **world.options)
    assert mambakernels.verify(place, root=world.root).damage == ()
    assert [spec.name for spec in kernels.list()] == ["np"]
    mambakernels.clone(place, "two", **world.options)
    mambakernels.remove(place, root=world.root)
    assert list(place.parent.iterdir()) == []
    assert [spec.name for spec in kernels.list()] == ["two"]
