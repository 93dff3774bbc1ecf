"""verify, clean: damage is found and mended, and what is cleaned away is nobody's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from support.growing_channel import SITE, tree
from support.world import World

import mambakernels

Cli = Callable[..., subprocess.CompletedProcess[str]]


def damaged(world: World) -> dict[str, str]:
    """Damage an environment in every way; return what was done to which path."""
    prefix = world.create("one", "python", "grown", "stem", "native").prefix
    with (prefix / SITE / "grown" / "__init__.py").open("a") as file:
        file.write("# edited in place\n")
    (prefix / SITE / "seed" / "__init__.py").unlink()
    (prefix / "share" / "native" / "version").unlink()
    (prefix / "share" / "native" / "version").write_text("another\n")
    [record] = (prefix / "conda-meta").glob("leaf-*.json")
    record.unlink()
    return {
        f"{SITE}/grown/__init__.py": "changed",
        f"{SITE}/seed/__init__.py": "missing",
        "share/native/version": "changed",
        f"conda-meta/{record.name}": "missing",
    }


def test_verify_finds_every_kind_of_damage_and_repair_mends_it(world: World, cli: Cli) -> None:
    done = damaged(world)
    (world.read("one").prefix / "mine.txt").write_text("mine\n")
    before = tree(world.root / "envs")
    found = mambakernels.verify("one", root=world.root)
    assert {item.path: item.kind for item in found.damage} == done
    said = cli("verify", "one", "--root", world.root)
    assert said.returncode == 1
    assert all(path in said.stdout for path in done)
    assert "verify one --repair" in said.stdout
    assert tree(world.root / "envs") == before
    mended = cli("verify", "one", "--repair", "--engine", world.engine, "--root", world.root)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert mambakernels.verify("one", root=world.root).damage == ()
    assert world.python("one", "import grown, seed, leaf; print(grown.VERSION)") == "1.0"
    assert (world.read("one").prefix / "mine.txt").read_text() == "mine\n"


def test_a_damaged_record_is_found_and_repaired(world: World) -> None:
    prefix = world.create("one", "python", "grown", "stem").prefix
    for content in (b"", b"{", b"[]", b'{"name": "leaf"}', b"\xff\xfe\x00"):
        [record] = (prefix / "conda-meta").glob("leaf-*.json")
        record.write_bytes(content)
        found = mambakernels.verify("one", root=world.root)
        assert [(item.path, item.package, item.kind) for item in found.damage] == [
            (f"conda-meta/{record.name}", "leaf", "changed")
        ], content
        assert mambakernels.verify("one", repair=True, **world.options).damage == ()
        assert world.python("one", "import leaf; print(leaf.VERSION)") == "1.0"
        assert {package.name for package in world.read("one").packages} >= {"leaf", "stem", "grown"}


def test_what_is_made_after_a_repair_is_whole(world: World) -> None:
    """The package cache shares its files with environments: one edited in place must not come back."""
    damaged(world)
    mambakernels.verify("one", repair=True, **world.options)
    world.create("two", "python", "grown", "stem", "native")
    assert mambakernels.verify("two", root=world.root).damage == ()


def test_an_environment_that_is_whole_is_not_touched_by_repair(world: World) -> None:
    world.create()
    before = tree(world.root / "envs")
    assert mambakernels.verify("one", repair=True, **world.options).damage == ()
    assert tree(world.root / "envs") == before


def test_environments_keep_working_without_the_cache(world: World) -> None:
    world.create()
    assert any(item.path.name == "pkgs" for item in mambakernels.clean(dry_run=True, root=world.root))
    assert (world.root / "pkgs").is_dir()
    mambakernels.clean(root=world.root)
    assert not (world.root / "pkgs").exists()
    assert mambakernels.verify("one", root=world.root).damage == ()
    assert world.python("one", "import grown; print(grown.VERSION)") == "1.0"
    mambakernels.install("one", ["stem"], **world.options)
    assert mambakernels.clean(root=world.root)
    assert mambakernels.clean(root=world.root) == []


def test_everything_but_environments_can_be_cleaned_away(world: World, cli: Cli) -> None:
    world.create()
    for name in ("channels/wheels-3.11/noarch/x.conda", "bin/micromamba", "bin/micromamba.json", "demo.json"):
        (world.root / name).parent.mkdir(parents=True, exist_ok=True)
        (world.root / name).write_text("x")
    shown = cli("clean", "--all", "--dry-run", "--root", world.root).stdout
    assert "channels" in shown
    assert "would be freed" in shown
    assert (world.root / "bin" / "micromamba").exists()
    assert cli("clean", "--all", "--root", world.root).stdout.splitlines()[-1].startswith("Freed ")
    assert {path.name for path in world.root.iterdir()} == {"envs", "locks", "jupyter-folders", "demo.json"}
    assert world.python("one", "import grown; print(grown.VERSION)") == "1.0"
    mambakernels.remove("one", root=world.root)
    mambakernels.clean(root=world.root, everything=True)
    assert not world.root.exists()


def test_what_killed_processes_left_is_cleaned_away(world: World) -> None:
    world.create()
    folders = [world.root / "envs" / f".{name}.0123abcd" for name in ("one", "gone")]
    folders += [world.root / "envs" / ".one.0123abcd.old", world.root / ".trash" / "x.1"]
    for folder in folders:
        (folder / "conda-meta").mkdir(parents=True)
    unknown = world.root / "envs" / ".mine"
    unknown.mkdir()
    (world.root / "envs" / "one").rename(world.root / "envs" / ".two.0123abcd.old")  # killed between the two renames
    shown = {item.path for item in mambakernels.clean(dry_run=True, root=world.root)}
    assert shown >= {*folders[:3], world.root / ".trash"}
    mambakernels.clean(root=world.root)
    assert [folder.name for folder in folders if folder.exists()] == []
    assert unknown.is_dir()
