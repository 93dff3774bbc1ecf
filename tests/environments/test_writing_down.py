"""export and lock: what is written down can be made again, by either engine, and read by others."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import rattler
import yaml
from support.engines import ENGINES
from support.forge import SUBDIR
from support.growing_channel import EVERYWHERE, names
from support.world import World

import mambakernels
from mambakernels import errors, kernels

pytestmark = pytest.mark.slow  # together: environments are made for each test

Cli = Callable[..., subprocess.CompletedProcess[str]]
others = pytest.mark.parametrize("other", ENGINES)


def test_what_is_exported_can_be_made_again(world: World, tmp_path: Path) -> None:
    made = world.create("one", "python", "grown")
    forms: dict[Literal["yml", "specs", "explicit"], str] = {
        "yml": "environment.yml", "specs": "environment.yml", "explicit": "explicit.txt",
    }  # fmt: skip
    for form, name in forms.items():
        file = tmp_path / name
        file.write_text(mambakernels.export("one", format=form, root=world.root))
        again = mambakernels.create(f"by-{form}", file=file, **world.options)
        assert again.packages == made.packages
        if form == "specs":
            assert (again.specs, again.channels) == (made.specs, made.channels)


def test_a_file_of_variables_makes_them_part_of_the_environment_and_the_export(world: World, tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(
        f"name: one\nchannels: ['{world.url}']\ndependencies: [python, grown]\nvariables: {{FOO: 'a b$c', N: 5}}\n"
    )
    mambakernels.create(file=file, **world.options)
    assert (world.variables("one")["FOO"], world.variables("one")["N"]) == ("a b$$c", "5")
    written = yaml.safe_load(mambakernels.export("one", root=world.root))
    assert written["variables"] == {"FOO": "a b$c", "N": "5"}
    mambakernels.install("one", ["stem"], **world.options)
    assert world.variables("one")["FOO"] == "a b$$c"
    mambakernels.clone("one", "two", **world.options)
    assert world.variables("two")["FOO"] == "a b$$c"


@others
def test_a_lock_of_one_engine_links_with_the_other(world: World, other: str) -> None:
    made = world.create("one", "python", "grown", "native")
    lock = world.path / "one.lock"
    mambakernels.lock("one", output=lock, root=world.root)
    solved = world.path / "solved.lock"
    specs = ["python", "grown", "native", "ipykernel"]
    mambakernels.lock("s", specs, output=solved, channel=world.url, **world.options)
    assert lock.read_text() == solved.read_text()
    assert mambakernels.export("one", format="lock", root=world.root) == lock.read_text()
    for name, file in (("two", lock), ("three", solved)):
        again = mambakernels.create(name, locked=file, engine=other, root=world.root)  # type: ignore[arg-type]
        assert again.packages == made.packages
        assert mambakernels.verify(name, root=world.root).damage == ()
        same = mambakernels.create(name, locked=file, engine=other, root=world.root)  # type: ignore[arg-type]
        assert same == again


@others
def test_a_lock_for_other_subdirs_takes_their_virtual_packages_for_granted(world: World, cli: Cli, other: str) -> None:
    path, file = world.path / "all.lock", world.path / "specs.txt"
    file.write_text("native\ngrown\n")
    subdirs = [word for subdir in EVERYWHERE for word in ("--subdir", subdir)]
    words = ["lock", "-f", file, "-o", path, "--channel", world.url, "--engine", world.engine, "--root", world.root]
    done = cli(*words, *subdirs, "-q")
    assert done.returncode == 0, done.stderr
    assert all(f"for {subdir}" in done.stdout for subdir in EVERYWHERE)
    environment = rattler.LockFile.from_path(path).default_environment()
    assert environment is not None
    assert {str(platform) for platform in environment.platforms()} == set(EVERYWHERE)
    for platform in environment.platforms():
        packages = {item.name: str(item.location) for item in environment.packages(platform) or []}
        assert {"native", "grown", "seed", "python", "ipykernel"} <= packages.keys()
        assert f"/{platform}/native-1.0-0.conda" in packages["native"]
    made = mambakernels.create("one", locked=path, engine=other, root=world.root)  # type: ignore[arg-type]
    assert {item.subdir for item in made.packages} == {SUBDIR, "noarch"}
    unknown = cli(*words, "--subdir", "solaris-99", "-q")
    assert (unknown.returncode, "'solaris-99' is not a conda subdir" in unknown.stderr) == (1, True)


def test_a_lock_that_cannot_be_solved_for_one_subdir_is_not_written(world: World) -> None:
    path = world.path / "all.lock"
    elsewhere = next(subdir for subdir in EVERYWHERE if subdir != SUBDIR)
    with pytest.raises(errors.SolveError) as caught:
        mambakernels.lock(
            "x", ["_openmp_mutex"], output=path, subdirs=[SUBDIR, elsewhere], channel=world.url, **world.options
        )
    assert "_openmp_mutex" in str(caught.value)
    assert not path.exists()


def test_a_lock_is_read_by_others(world: World) -> None:
    """As pixi does: by rattler's own reader."""
    made = world.create("one", "python", "grown", "native")
    path = world.path / "one.lock"
    mambakernels.lock("one", output=path, root=world.root)
    environment = rattler.LockFile.from_path(path).default_environment()
    assert environment is not None
    [platform] = environment.platforms()
    assert str(platform) == SUBDIR
    packages = environment.packages(platform) or []
    assert {(item.name, str(item.version)) for item in packages} == set(names(made.packages).items())
    assert [str(channel).rstrip("/") for channel in environment.channels()] == [world.url]
    records = asyncio.run(_solved(environment, platform))
    assert {record.sha256.hex() for record in records} == {package.sha256 for package in made.packages}


async def _solved(environment: rattler.Environment, platform: rattler.LockPlatform) -> list[rattler.RepoDataRecord]:
    return list(environment.conda_repodata_records_for_platform(platform) or [])


def test_a_lockfile_for_another_machine_is_said_so(world: World) -> None:
    world.create("one", "python", "grown")
    path = world.path / "one.lock"
    mambakernels.lock("one", output=path, root=world.root)
    elsewhere = "osx-arm64" if SUBDIR != "osx-arm64" else "linux-64"
    path.write_text(path.read_text().replace(SUBDIR, elsewhere))
    with pytest.raises(errors.InvalidRequestError, match=f"no packages for {SUBDIR}, only for {elsewhere}"):
        mambakernels.create("two", locked=path, **world.options)


@pytest.mark.parametrize("content", ["", "version: 6\n", "version: 99\nenvironments: {}\n", "{", "\0", "- a\n"])
def test_a_broken_lockfile_is_refused_by_name(world: World, content: str) -> None:
    path = world.path / "broken.lock"
    path.write_text(content)
    with pytest.raises(errors.InvalidRequestError) as caught:
        mambakernels.create("two", locked=path, **world.options)
    assert str(path) in str(caught.value)
    with pytest.raises(errors.NotFoundError):
        mambakernels.create("two", locked=world.path / "nothing.lock", **world.options)
    assert not (world.root / "envs" / "two").exists()


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_a_wrong_hash_in_a_file_is_fatal(world: World, scheme: str) -> None:
    from support.channel_server import serve

    with serve(world.path) as site:
        url = world.url if scheme == "file" else site.url("channel")
        mambakernels.create("one", ["python", "stem"], channel=url, **world.options)
        file = world.path / "explicit.txt"
        lines = mambakernels.export("one", format="explicit", root=world.root).splitlines()
        for warm in (True, False):
            for hashed in ("sha256:" + "0" * 64, "0" * 32):
                wrong = [re.sub("#.*", f"#{hashed}", line) if "/stem-" in line else line for line in lines]
                file.write_text("\n".join(wrong))
                if not warm:
                    mambakernels.clean(root=world.root)
                with pytest.raises(errors.EngineError, match=r"stem-1\.0-pyh_0"):
                    mambakernels.create("two", file=file, **world.options)
                assert [path.name for path in (world.root / "envs").iterdir()] == ["one"]
                assert [spec.name for spec in kernels.list()] == ["one"]
                assert mambakernels.verify("one", root=world.root).damage == ()


def test_every_kind_of_explicit_file_is_made(world: World) -> None:
    made = world.create("one", "python", "stem")
    text = mambakernels.export("one", format="explicit", root=world.root)
    known = {item.url: json.loads(_record(made.prefix, item.name).read_text())["md5"] for item in made.packages}
    kinds = {
        "sha256": text,
        "md5": re.sub(r"(.*)#sha256:.*", lambda match: f"{match[1]}#{known[match[1]]}", text),
        "none": re.sub(r"#sha256:.*", "", text),
    }
    file = world.path / "explicit.txt"
    for name, content in kinds.items():
        file.write_text(content)
        mambakernels.clean(root=world.root)
        again = mambakernels.create(name, file=file, **world.options)
        assert names(again.packages) == names(made.packages)
        assert {package.sha256 for package in again.packages} == {package.sha256 for package in made.packages}


def test_an_explicit_file_is_not_solved(world: World) -> None:
    """The archive of `patched` depends on what does not exist; its channel's index was corrected."""
    made = world.create("one", "python", "patched")
    file = world.path / "explicit.txt"
    file.write_text(mambakernels.export("one", format="explicit", root=world.root))
    again = mambakernels.create("two", file=file, **world.options)
    assert names(again.packages) == names(made.packages)
    lock = world.path / "one.lock"
    mambakernels.lock("one", output=lock, root=world.root)
    assert mambakernels.create("three", locked=lock, **world.options).packages == made.packages


def _record(prefix: Path, name: str) -> Path:
    [path] = [path for path in (prefix / "conda-meta").glob("*.json") if json.loads(path.read_text())["name"] == name]
    return path


def test_an_environment_whose_channel_is_gone_can_still_be_locked_and_described(world: World) -> None:
    made = world.create("one", "python", "stem")
    shutil.rmtree(world.channel)
    mambakernels.lock("one", output=world.path / "one.lock", root=world.root)
    assert mambakernels.describe("one", root=world.root)["specs"] == list(made.specs)
    with pytest.raises(errors.MambakernelsError):
        mambakernels.install("one", ["other"], **world.options)
    assert names(mambakernels.uninstall("one", ["stem"], **world.options).removed) == {"stem": "1.0", "leaf": "1.0"}
