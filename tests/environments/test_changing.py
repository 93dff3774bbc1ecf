"""install, update, uninstall: what was asked for changes and nothing else, or all is as it was."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from support import growing_channel
from support.growing_channel import SITE, names, tree
from support.world import World

import mambakernels
from mambakernels import errors, kernels
from mambakernels.activation import capture
from mambakernels.kernels import registered

pytestmark = pytest.mark.slow  # together: environments are made for each test

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_install_keeps_every_other_package_as_it_is(world: World) -> None:
    before = world.create()
    growing_channel.grow(world.channel)
    change = mambakernels.install("one", ["stem"], **world.options)
    assert names(change.added) == {"stem": "2.0", "leaf": "2.0"}
    assert (change.removed, change.replaced) == ((), ())
    assert set(before.packages) < set(change.after.packages)
    assert change.after.specs == ("python", "grown", "ipykernel", "stem")
    assert change.after == world.read("one")
    assert world.python("one", "import stem, grown; print(stem.VERSION, grown.VERSION)") == "2.0 1.0"
    assert mambakernels.verify("one", root=world.root).damage == ()


def test_install_moves_what_it_must_and_no_more(world: World) -> None:
    world.create("one", "python", "grown", "other")
    growing_channel.grow(world.channel)
    change = mambakernels.install("one", ["grown>=2"], **world.options)
    assert names(new for _, new in change.replaced) == {"grown": "2.0", "seed": "2.0"}
    assert (change.added, change.removed) == ((), ())
    assert "grown>=2" in change.after.specs
    assert "grown" not in change.after.specs
    assert world.python("one", "import other; print(other.VERSION)") == "1.0"


def test_install_of_what_is_there_is_nothing_to_do(world: World) -> None:
    world.create()
    before = tree(world.root / "envs")
    assert not mambakernels.install("one", ["grown"], **world.options)
    assert tree(world.root / "envs") == before


def test_install_from_another_channel_leaves_the_rest_where_it_came_from(world: World) -> None:
    before = world.create()
    growing_channel.write_channel([growing_channel.module("elsewhere")], world.path / "another")
    change = mambakernels.install("one", ["elsewhere"], channel=(world.path / "another").as_uri(), **world.options)
    assert names(change.added) == {"elsewhere": "1.0"}
    assert set(before.packages) < set(change.after.packages)
    assert world.url in change.after.channels
    assert names(mambakernels.install("one", ["other"], **world.options).added) == {"other": "1.0"}


def test_install_keeps_what_the_user_put_there(world: World) -> None:
    made = world.create()
    prefix = made.prefix
    (prefix / "notes.txt").write_text("mine\n")
    (prefix / "bin" / "tool").write_text("#!/bin/sh\necho tool\n")
    (prefix / "bin" / "tool").chmod(0o750)
    (prefix / "bin" / "alias").symlink_to("tool")
    (prefix / "dangling").symlink_to("nowhere")
    (prefix / "data" / "empty").mkdir(parents=True)
    (prefix / "folder-link").symlink_to("data")
    (prefix / SITE / "mine.py").write_text("VALUE = 42\n")
    (prefix / SITE / "grown" / "extra.py").write_text("VALUE = 43\n")
    (prefix / SITE / "mine.pth").write_text("")
    (prefix / "conda-meta" / "state").write_text('{"env_vars": {"STATE": "kept"}}')
    (prefix / "conda-meta" / "pinned").write_text("other ==1.0\n")
    (prefix / "etc" / "conda" / "env_vars.d").mkdir(parents=True, exist_ok=True)
    (prefix / "etc" / "conda" / "env_vars.d" / "mine.json").write_text('{"MINE": "kept"}')
    mambakernels.install("one", ["stem"], **world.options)
    mambakernels.uninstall("one", ["stem"], **world.options)
    assert (prefix / "notes.txt").read_text() == "mine\n"
    assert stat.S_IMODE((prefix / "bin" / "tool").stat().st_mode) == 0o750
    assert (prefix / "bin" / "alias").readlink().name == "tool"
    assert (prefix / "dangling").readlink().name == "nowhere"
    assert (prefix / "folder-link").readlink().name == "data"
    assert (prefix / "data" / "empty").is_dir()
    assert world.python("one", "import mine, grown.extra; print(mine.VALUE + grown.extra.VALUE)") == "85"
    assert (prefix / "conda-meta" / "pinned").exists()
    found = capture.capture(prefix).set
    assert (found["STATE"], found["MINE"]) == ("kept", "kept")
    assert {"STATE", "MINE"} <= world.variables("one").keys()


def test_install_keeps_a_compiled_module_that_has_no_source(world: World) -> None:
    prefix = world.create().prefix
    world.python(
        "one",
        f"import py_compile; open('{prefix}/m.py', 'w').write('VALUE = 7'); "
        f"py_compile.compile('{prefix}/m.py', '{prefix}/{SITE}/sourceless.pyc')",
    )
    mambakernels.install("one", ["stem"], **world.options)
    assert world.python("one", "import sourceless; print(sourceless.VALUE)") == "7"


def test_install_activates_kernels_anew_in_every_way_they_were_registered(world: World) -> None:
    world.create()
    mambakernels.kernels.register("one", kernel="one-fast", display_name="Fast", env={"A": "a b$c"}, root=world.root)
    mambakernels.kernels.register("one", kernel="something", root=world.root)
    mambakernels.install("one", ["activating"], **world.options)
    listed = {spec.name: spec for spec in kernels.list()}
    assert set(listed) == {"one", "one-fast", "something"}
    assert listed["one-fast"].display_name == "Fast"
    assert {world.variables(name)["ACTIVATING"] for name in listed} == {"1.0"}
    assert world.variables("one-fast")["A"] == "a b$$c"
    assert "A" not in world.variables("something")
    growing_channel.grow(world.channel)
    mambakernels.update("one", **world.options)
    assert {world.variables(name)["ACTIVATING"] for name in listed} == {"2.0"}
    mambakernels.uninstall("one", ["activating"], **world.options)
    assert all("ACTIVATING" not in world.variables(name) for name in listed)


def test_kernels_that_were_not_activated_anew_are_the_next_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process had been killed between putting the environment in place and registering."""
    world.create()
    with monkeypatch.context() as patch:
        patch.setattr(registered, "refresh", lambda *_: sys.exit(9))
        with pytest.raises(SystemExit):
            mambakernels.install("one", ["activating"], **world.options)
    assert "ACTIVATING" not in world.variables("one")
    mambakernels.install("one", ["activating"], **world.options)
    assert world.variables("one")["ACTIVATING"] == "1.0"


def fails_to_solve(world: World) -> tuple[str, type[Exception]]:
    del world
    return "quarrel", errors.SolveError


def fails_to_exist(world: World) -> tuple[str, type[Exception]]:
    del world
    return "no-such-package", errors.SolveError


def fails_to_link(world: World) -> tuple[str, type[Exception]]:
    growing_channel.damage(world.channel, "stem-1.0-pyh_0")
    return "stem", errors.EngineError


@pytest.mark.parametrize("fails", [fails_to_solve, fails_to_exist, fails_to_link])
def test_a_change_that_fails_changes_nothing(
    world: World, fails: Callable[[World], tuple[str, type[Exception]]]
) -> None:
    world.create()
    before, shown = tree(world.root / "envs" / "one"), world.variables("one")
    spec, kind = fails(world)
    with pytest.raises(kind) as caught:
        mambakernels.install("one", [spec], **world.options)
    assert spec in str(caught.value)
    assert tree(world.root / "envs" / "one") == before
    assert world.variables("one") == shown
    assert world.hidden() == []
    assert names(mambakernels.install("one", ["other"], **world.options).added) == {"other": "1.0"}


def test_a_creation_that_fails_leaves_nothing(world: World) -> None:
    spec, _ = fails_to_link(world)
    with pytest.raises(errors.EngineError, match="stem"):
        world.create("one", "python", spec)
    assert list((world.root / "envs").iterdir()) == []
    assert kernels.list() == []


@pytest.mark.parametrize(
    ("number", "moments"),
    [
        (signal.SIGINT, (0.0, 0.05, 0.15)),
        (signal.SIGTERM, (0.02,)),
        pytest.param(signal.SIGTERM, (0.0, 0.02, 0.05, 0.1, 0.15), marks=pytest.mark.exhaustive),
    ],
)
def test_an_interrupted_change_changes_nothing(world: World, number: int, moments: tuple[float, ...]) -> None:
    world.create()
    before = tree(world.root / "envs" / "one")
    words = ["install", "one", "big", "--engine", world.engine, "--root", world.root, "-q"]
    interrupted = 0
    for wait in moments:
        child = subprocess.Popen(
            [sys.executable, "-m", "mambakernels", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while not world.staged() and child.poll() is None:
            time.sleep(0.005)
        time.sleep(wait)
        child.send_signal(number)
        _, said = child.communicate(timeout=60)
        if child.returncode == 0:
            break
        interrupted += 1
        assert "Traceback" not in said
        whole = world.read("one").package("big") is not None  # it came when all was done
        assert whole or (child.returncode, "Interrupted" in said) == (128 + number, True), said
        assert whole or tree(world.root / "envs" / "one") == before
        assert whole or world.staged() == []  # what was there before may wait for the next call to be deleted
        if whole:
            mambakernels.uninstall("one", ["big"], **world.options)
            before = tree(world.root / "envs" / "one")
    assert interrupted
    mambakernels.install("one", ["big"], **world.options)
    assert world.staged() == []
    assert world.python("one", "import big.part59; print(big.part59.VALUE)") == "1"


def test_a_dry_run_changes_nothing_at_all(world: World, cli: Cli) -> None:
    world.create("one", "python", "grown", "stem")
    growing_channel.grow(world.channel)
    before, jupyter = tree(world.root / "envs"), tree(world.path / "jupyter")
    change = mambakernels.install("one", ["other"], dry_run=True, **world.options)
    assert names(change.added) == {"other": "2.0"}
    change = mambakernels.update("one", dry_run=True, **world.options)
    assert names(new for _, new in change.replaced) == {"grown": "2.0", "seed": "2.0", "leaf": "2.0", "stem": "2.0"}
    change = mambakernels.uninstall("one", ["stem"], dry_run=True, **world.options)
    assert set(names(change.removed)) == {"stem", "leaf"}
    said = cli("install", "one", "other", "--dry-run", "-q", "--engine", world.engine, "--root", world.root)
    assert (said.returncode, "+ other=2.0" in said.stdout) == (0, True), said.stderr
    assert "Nothing was changed" in said.stdout
    assert tree(world.root / "envs") == before
    assert tree(world.path / "jupyter") == jupyter


def test_update_of_a_name_moves_it_and_what_it_needs(world: World) -> None:
    world.create("one", "python", "grown", "stem", "other")
    growing_channel.grow(world.channel)
    change = mambakernels.update("one", ["grown"], **world.options)
    assert names(new for _, new in change.replaced) == {"grown": "2.0", "seed": "2.0"}
    assert world.python("one", "import grown, stem; print(grown.VERSION, stem.VERSION)") == "2.0 1.0"


def test_update_of_all_keeps_what_the_specs_say_and_pythons_minor(world: World) -> None:
    before = world.create("one", "python", "grown", "stem", "pinned=1")
    growing_channel.grow(world.channel)
    change = mambakernels.update("one", **world.options)
    assert names(new for _, new in change.replaced) == {"grown": "2.0", "seed": "2.0", "stem": "2.0", "leaf": "2.0"}
    assert change.after.package("python") == before.package("python")
    assert change.after.specs == before.specs
    assert not mambakernels.update("one", **world.options)


def test_update_says_which_name_is_not_there(world: World) -> None:
    world.create()
    with pytest.raises(errors.NotFoundError, match="'other'") as caught:
        mambakernels.update("one", ["other"], **world.options)
    assert "mambakernels info one" in str(caught.value)


def test_uninstall_takes_orphans_along_and_leaves_what_is_asked_for(world: World) -> None:
    world.create("one", "python", "grown", "stem", "leaf")
    change = mambakernels.uninstall("one", ["grown", "stem"], **world.options)
    assert set(names(change.removed)) == {"grown", "seed", "stem"}
    assert change.after.specs == ("python", "leaf", "ipykernel")
    assert not (change.after.prefix / SITE / "seed").exists()
    assert world.python("one", "import leaf; print(leaf.VERSION)") == "1.0"


def test_uninstall_refuses_what_others_need_and_says_who(world: World) -> None:
    world.create("one", "python", "grown", "stem")
    before = tree(world.root / "envs")
    with pytest.raises(errors.InvalidRequestError, match="seed is needed by grown"):
        mambakernels.uninstall("one", ["seed"], **world.options)
    with pytest.raises(errors.InvalidRequestError, match="needed by"):
        mambakernels.uninstall("one", ["python"], **world.options)
    with pytest.raises(errors.InvalidRequestError, match="no longer be a kernel"):
        mambakernels.uninstall("one", ["ipykernel"], **world.options)
    with pytest.raises(errors.NotFoundError, match="'other'"):
        mambakernels.uninstall("one", ["other"], **world.options)
    assert tree(world.root / "envs") == before


def test_uninstall_of_a_kernel_takes_no_other_with_it(world: World) -> None:
    """What is there as a dependency of both what goes and what stays, stays."""
    world.create("one", "python", "grown", "seed")
    change = mambakernels.uninstall("one", ["grown"], **world.options)
    assert set(names(change.removed)) == {"grown"}


def test_the_command_line_says_what_changed(world: World, cli: Cli) -> None:
    here = ("--engine", world.engine, "--root", world.root, "-q")
    made = cli("create", "one", "python", "grown", "-c", world.url, *here)
    assert made.returncode == 0, made.stderr
    assert "one: " in made.stdout
    added = cli("install", "one", "stem", *here)
    assert [line for line in added.stdout.splitlines() if line[0] in "+-~"] == ["+ leaf=1.0=pyh_0", "+ stem=1.0=pyh_0"]
    assert cli("install", "one", "stem", *here).stdout.startswith("Nothing to change.")
    growing_channel.grow(world.channel)
    moved = cli("update", "one", "stem", *here)
    assert "~ stem=1.0=pyh_0 → 2.0=pyh_0" in moved.stdout
    gone = cli("uninstall", "one", "stem", *here)
    assert "- stem=2.0=pyh_0" in gone.stdout
    refused = cli("uninstall", "one", "seed", *here)
    assert (refused.returncode, "seed is needed by grown" in refused.stderr) == (1, True)
    unsolved = cli("install", "one", "quarrel", *here)
    assert unsolved.returncode == 1
    assert "No set of packages satisfies the request" in unsolved.stderr
    assert "Traceback" not in unsolved.stderr
    assert cli("remove", "one", "--root", world.root).stdout == "Removed one.\n"
    assert list((world.root / "envs").iterdir()) == []


def test_create_shows_what_it_would_link_and_makes_nothing(world: World, cli: Cli) -> None:
    options = ["--channel", world.url, "--engine", world.engine, "--root", world.root, "--quiet"]
    shown = cli("create", "one", "python", "grown", "--dry-run", *options)
    assert shown.returncode == 0, shown.stderr
    assert not (world.root / "envs" / "one").exists()
    assert world.hidden() == []
    made = world.create()
    assert all(f" {package.name} " in shown.stdout and package.build in shown.stdout for package in made.packages)
    assert mambakernels.solve(["python", "grown"], channel=world.url, **world.options) == made.packages
