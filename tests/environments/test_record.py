"""`from mambakernels.record import record` works in every Python environment that is made here."""

from __future__ import annotations

from pathlib import Path

from support.world import World

import mambakernels
from mambakernels import record as public

RECORD = "from mambakernels.record import record; record(r2=0.93)"
SOURCE = Path(mambakernels.__file__).with_name("record.py")


def test_it_is_there_without_being_a_package_and_stays_there(world: World) -> None:
    made = world.create("one")
    assert world.python("one", RECORD) == "r2 = 0.93"
    assert not any("record" in package.name for package in made.packages)
    assert not mambakernels.verify("one", root=world.root).damage
    mambakernels.install("one", ["other"], **world.options)
    mambakernels.clone("one", "two", **world.options)
    assert [world.python(name, RECORD) for name in ("one", "two")] == ["r2 = 0.93"] * 2
    assert "record" not in mambakernels.export("two", root=world.root)


def test_a_change_brings_the_present_one_and_leaves_a_mambakernels_that_was_installed_alone(world: World) -> None:
    world.create("one")
    (file,) = world.read("one").prefix.glob("**/mambakernels/record.py")
    file.write_text("record = 'of an earlier version'")
    mambakernels.install("one", ["other"], **world.options)
    assert file.read_bytes() == SOURCE.read_bytes()
    file.write_text("record = 'of the installed version'")
    file.with_name("__init__.py").touch()
    mambakernels.uninstall("one", ["other"], **world.options)
    assert "of the installed version" in file.read_text()


def test_the_function_is_public_here_too() -> None:
    assert public.__module__ == "mambakernels.record"
