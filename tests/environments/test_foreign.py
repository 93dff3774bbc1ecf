"""Environments that others made: registered and run as kernels, and never changed."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import rattler
from support.forge import SUBDIR
from support.growing_channel import tree
from support.world import World

import mambakernels
from mambakernels import errors, kernels

Cli = Callable[..., subprocess.CompletedProcess[str]]
SPECS = ["python", "ipykernel", "grown"]


def made_by_others(world: World) -> Path:
    """An environment in another place, by plain micromamba or by rattler alone."""
    place = world.path / "others" / "theirs"
    if world.engine == "micromamba":
        words = [os.environ["MAMBA_EXE"], "create", "--no-rc", "-y", "-q", "-r", world.path / "mm", "-p", place, *SPECS]
        subprocess.run([*words, "--override-channels", "-c", world.url], check=True, capture_output=True)
    else:
        asyncio.run(_by_rattler(world, place))
    return place


async def _by_rattler(world: World, place: Path) -> None:
    records = await rattler.solve(
        [rattler.Channel(world.url)],
        SPECS,
        platforms=[SUBDIR, "noarch"],
        virtual_packages=rattler.VirtualPackage.detect(),
    )
    await rattler.install(records, target_prefix=place, cache_dir=world.path / "cache", show_progress=False)


def test_one_is_registered_by_its_path_and_runs(world: World, cli: Cli, tmp_path: Path) -> None:
    place = made_by_others(world)
    before = tree(place)
    done = cli("register", place, "--root", world.root)
    assert done.returncode == 0, done.stderr
    [spec] = kernels.list()
    assert (spec.name, spec.prefix) == ("theirs", place)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import grown, sys; print(grown.VERSION, sys.prefix)", id="a")]
    )
    nbformat.write(notebook, tmp_path / "n.ipynb")
    [run] = mambakernels.run(tmp_path / "n.ipynb", kernels="theirs", output=tmp_path / "out")
    assert run.path is not None
    [output] = nbformat.read(run.path, as_version=4).cells[0].outputs
    assert output.text == f"1.0 {place}\n"
    assert {name: state for name, state in tree(place).items() if "__pycache__" not in name}.keys() == {
        name for name in before if "__pycache__" not in name
    }


def test_one_is_described_exported_locked_and_verified(world: World) -> None:
    place = made_by_others(world)
    before = tree(place)
    assert mambakernels.describe(place, root=world.root)["managed"] is False
    assert mambakernels.verify(place, root=world.root).damage == ()
    assert mambakernels.list(root=world.root) == []
    mambakernels.lock(place, output=world.path / "theirs.lock", root=world.root)
    made = mambakernels.create("ours", locked=world.path / "theirs.lock", **world.options)
    assert {(item.name, item.build) for item in made.packages} == {
        (item.name, item.build) for item in mambakernels.get(place, root=world.root).packages
    }
    file = world.path / "environment.yml"
    file.write_text(mambakernels.export(place, root=world.root))
    again = mambakernels.create("again", file=file, channel=world.url, **world.options)
    assert set(again.packages) >= set(made.packages)  # engines add pip to a Python
    assert tree(place) == before


def test_one_is_never_changed(world: World) -> None:
    place = made_by_others(world)
    mambakernels.kernels.register(place, root=world.root)
    (place / "share" / "seed").mkdir(parents=True)
    before = tree(world.path / "others")
    options = world.options
    refused: list[Callable[[], object]] = [
        lambda: mambakernels.install(place, ["stem"], **options),
        lambda: mambakernels.update(place, **options),
        lambda: mambakernels.uninstall(place, ["grown"], **options),
        lambda: mambakernels.rename(place, "mine", **options),
        lambda: mambakernels.clone(place, "mine", **options),
        lambda: mambakernels.remove(place, root=world.root),
        lambda: mambakernels.create("", ["python"], prefix=place, channel=world.url, **options),
    ]
    for act in refused:
        with pytest.raises(errors.InvalidRequestError) as caught:
            act()
        assert "mambakernels" in str(caught.value)
        assert str(place) in str(caught.value)
    assert tree(world.path / "others") == before
    assert [spec.name for spec in kernels.list()] == ["theirs"]
    with pytest.raises(errors.NotFoundError):
        mambakernels.remove("theirs", root=world.root)
    assert mambakernels.list(root=world.root) == []


def test_one_that_is_damaged_is_found_and_not_repaired(world: World) -> None:
    place = made_by_others(world)
    [module] = place.glob("lib/python*/site-packages/grown/__init__.py")
    module.unlink()
    before = tree(place)
    assert [item.kind for item in mambakernels.verify(place, root=world.root).damage] == ["missing"]
    with pytest.raises(errors.InvalidRequestError, match="never changes"):
        mambakernels.verify(place, repair=True, **world.options)
    assert tree(place) == before


def test_a_folder_that_is_none_is_said_so(world: World, cli: Cli) -> None:
    (world.path / "others").mkdir()
    done = cli("register", world.path / "others", "--root", world.root)
    assert done.returncode == 1
    assert "This is not an environment" in done.stderr
    assert list((world.path / "others").iterdir()) == []
