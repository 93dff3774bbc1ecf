"""What people met who tried it: each in the words they got, and what they were left with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from support.world import World

import mambakernels
from mambakernels import errors, kernels
from mambakernels.paths import Root
from mambakernels.progress import Event

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_another_python_never_runs_in_place_of_one_that_is_gone(world: World, cli: Cli) -> None:
    made = world.create()
    for file in (made.prefix / "bin").glob("python*"):
        file.unlink()
    done = cli("exec", "--root", world.root, "one", "python", "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The environment's own python is gone" in done.stderr
    assert "mambakernels verify one --repair" in done.stderr
    with pytest.raises(errors.NotFoundError, match="own python3 is gone"):
        mambakernels.call("one", ["python3", "-V"], root=world.root)
    assert cli("verify", "one", "--repair", "--root", world.root, "--engine", world.engine, "-q").returncode == 0
    assert world.python("one", "print('back')") == "back"


def test_a_kernel_name_that_is_taken_is_told_before_anything_is_made(world: World) -> None:
    world.create()
    mambakernels.kernels.register("one", kernel="two", root=world.root)
    with pytest.raises(errors.KernelError, match="'two' is taken"):
        world.create("Two")
    assert [path.name for path in (world.root / "envs").iterdir()] == ["one"]


def test_a_registration_that_fails_says_that_the_environment_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.path / "a file").touch()
    with monkeypatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(world.path / "a file" / "jupyter"))
        with pytest.raises(errors.StorageError) as caught:
            world.create()
        assert "The environment exists" in str(caught.value)
        assert "mambakernels register one" in str(caught.value)
        mambakernels.get("one", root=world.root)
        mambakernels.remove("one", root=world.root)  # which needs nothing of Jupyter
    assert mambakernels.list(root=world.root) == []


def test_a_lockfile_that_cannot_be_written_is_one_line_with_its_place(world: World, cli: Cli) -> None:
    world.create()
    (world.path / "a file").touch()
    done = cli("lock", "one", "-o", world.path / "a file" / "x.lock", "--root", world.root, "-q")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(world.path / "a file") in done.stderr


def test_an_explicit_file_says_what_it_cannot_hold(world: World) -> None:
    world.create("one", "python", "grown")
    assert "not in this list" not in mambakernels.export("one", format="explicit", root=world.root)
    folder = next((world.read("one").prefix / "lib").glob("python*")) / "site-packages" / "added-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: added\nVersion: 1.0\n")
    text = mambakernels.export("one", format="explicit", root=world.root)
    assert "# not in this list, by pip: added" in text.splitlines()
    file = world.path / "explicit.txt"
    file.write_text(text)
    again = mambakernels.create("two", file=file, root=world.root, engine=world.engine)
    assert again.packages == world.read("one").packages


def test_what_was_half_unpacked_goes_with_the_next_use(world: World) -> None:
    world.create()
    left = Root(world.root).packages / ".grown-1.0-pyh_0-x1Y2z3"
    left.mkdir()
    (left / "part").write_bytes(b"x")
    mambakernels.install("one", ["stem"], **world.options)
    assert not left.exists()


def test_others_may_read_what_is_installed(world: World) -> None:
    made = world.create()
    records = list((made.prefix / "conda-meta").glob("*.json"))
    assert records
    assert all(record.stat().st_mode & 0o044 == 0o044 for record in records)


def test_a_solver_that_finds_nothing_says_where_it_looked(world: World) -> None:
    with pytest.raises(errors.SolveError) as caught:
        world.create("one", "python", "no-such-thing")
    assert caught.value.where == world.url
    assert "--channel" in str(caught.value)


def test_progress_shows_what_was_asked_for_and_not_every_pin(world: World) -> None:
    world.create()
    said: list[str] = []

    def listen(event: Event) -> None:
        if event.step == "solve":
            said.append(event.detail)

    mambakernels.install("one", ["stem"], **world.options, progress=listen)
    assert said
    assert all(len(text) < 200 for text in said)
    assert "stem" in said[0]


def test_a_program_that_is_no_micromamba_is_told_by_its_variable(
    world: World, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    true = shutil.which("true")
    assert true is not None
    monkeypatch.setenv("MAMBA_EXE", true)
    with pytest.raises(errors.EngineError, match="not a micromamba") as caught:
        mambakernels.create("x", ["python"], channel=world.url, engine="micromamba", root=world.root)
    assert "MAMBA_EXE" in str(caught.value)
    facts = cli("info", "--json", "--root", world.root)
    assert facts.returncode == 0, facts.stderr
    assert "not a micromamba" in json.loads(facts.stdout)["engine"]


def test_what_was_declared_last_can_be_pruned(world: World, cli: Cli) -> None:
    file = world.path / "kernels.toml"
    text = f'channels = ["{world.url}"]\nengine = "{world.engine}"\n[environments.only]\nspecs = ["python", "grown"]\n'
    file.write_text(text)
    assert cli("sync", file, "--root", world.root, "-q").returncode == 0
    file.write_text("[environments]\n")
    done = cli("sync", file, "--prune", "--root", world.root, "-q")
    assert done.returncode == 0, done.stderr
    assert mambakernels.list(root=world.root) == []
    assert kernels.list() == []
    file.write_text("")
    assert "declares no environment" in cli("sync", file, "--root", world.root).stderr


def test_exec_says_first_that_its_options_come_first(world: World, cli: Cli) -> None:
    done = cli("exec", "one", "-r", world.root, "--", "python", "-V")
    assert done.returncode == 1
    assert "come before the environment's name" in done.stderr
    assert os.fspath(world.root) not in done.stderr


@pytest.mark.parametrize(
    ("name", "content"), [("specs.txt", "python\ngrown\n"), ("environment.yml", "dependencies: [python, grown]\n")]
)
def test_what_is_no_lockfile_is_never_solved_in_its_place(world: World, name: str, content: str) -> None:
    file = world.path / name
    file.write_text(content)
    with pytest.raises(errors.InvalidRequestError, match="not a lockfile") as caught:
        mambakernels.create("one", locked=file, channel=world.url, **world.options)
    assert caught.value.where == str(file)
    with pytest.raises(errors.InvalidRequestError, match="not a lockfile"):
        mambakernels.solve(locked=file, channel=world.url, **world.options)
    assert mambakernels.list(root=world.root) == []
