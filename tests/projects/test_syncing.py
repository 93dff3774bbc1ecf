"""A project's kernels.toml is made so: no more than that takes, and nothing that others made is touched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support.engines import ENGINES

import mambakernels
from mambakernels import environments as environments_module
from mambakernels import errors, kernels
from mambakernels.environments import Environment, EnvironmentSpec
from mambakernels.environments.parallel import create_in_parallel
from mambakernels.paths import Root
from mambakernels.progress import Event
from mambakernels.projects.sync import Synced
from mambakernels.system import process

Cli = Callable[..., subprocess.CompletedProcess[str]]
SMALL = 'specs = ["python", "ipykernel"]'
TWO = f"[environments.one]\n{SMALL}\n[environments.two]\n{SMALL}\n"
VARIANT = '[kernels.one-four]\nenvironment = "one"\ndisplay_name = "One, four"\nenv = { FOUR = "4" }\n'


@dataclass(frozen=True)
class Beside:
    """A project's folder, its root and its Jupyter folder."""

    folder: Path
    root: Root
    jupyter: Path

    @property
    def file(self) -> Path:
        return self.folder / "kernels.toml"

    def declare(self, text: str, *, engine: str = "rattler", file: Path | None = None) -> None:
        (file or self.file).write_text(f'channels = ["wheels"]\nengine = "{engine}"\n{text}', encoding="utf-8")

    def sync(self, *, file: Path | None = None, dry_run: bool = False, prune: bool = False) -> Synced:
        return mambakernels.sync(file or self.file, dry_run=dry_run, prune=prune, root=self.root.path)

    def steps(self, **options: bool) -> list[str]:
        return [f"{step.kind} {step.name}" for step in self.sync(**options).steps]

    @property
    def environments(self) -> list[str]:
        """Whatever is in the folder of environments, hidden or not."""
        folder = self.root.environments
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    @property
    def kernels(self) -> list[str]:
        folder = self.jupyter / "kernels"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def stamps(self) -> dict[Path, int]:
        """When each environment and kernelspec was written."""
        files = [*self.root.environments.glob("*/.mambakernels.json"), *self.jupyter.glob("kernels/*/kernel.json")]
        return {file: file.stat().st_mtime_ns for file in files}


@pytest.fixture
def beside(borrowed_root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Beside:
    jupyter = tmp_path / "jupyter data"
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(jupyter))
    folder = tmp_path / "prójekt"
    folder.mkdir()
    return Beside(folder, borrowed_root, jupyter)


def test_the_whole_life_of_a_file(beside: Beside) -> None:
    beside.declare(TWO + VARIANT)
    everything = ["create one", "create two", "register one", "register one-four", "register two"]
    assert beside.steps(dry_run=True) == everything
    assert (beside.environments, beside.kernels) == ([], [])
    assert beside.steps() == everything
    assert (beside.environments, beside.kernels) == (["one", "two"], ["one", "one-four", "two"])
    variant = next(spec for spec in mambakernels.kernels.list() if spec.name == "one-four")
    assert (variant.display_name, variant.variables, variant.working) == ("One, four", {"FOUR": "4"}, True)

    before = beside.stamps()
    assert beside.steps() == []
    assert beside.stamps() == before

    beside.declare(TWO.replace('"ipykernel"', '"ipykernel", "threadpoolctl"', 1) + VARIANT.replace('"4"', '"vier"'))
    assert beside.steps() == ["install one", "re-register one-four"]
    assert mambakernels.get("one", root=beside.root.path).package("threadpoolctl") is not None
    assert beside.stamps()[beside.root.environments / "two" / ".mambakernels.json"] in before.values()
    variant = next(spec for spec in mambakernels.kernels.list() if spec.name == "one-four")
    assert variant.variables == {"FOUR": "vier"}
    assert beside.steps() == []

    beside.declare(TWO)
    planned = beside.sync(dry_run=True)
    assert [str(step) for step in planned.prunable] == ["prune kernel one-four"]
    assert [str(step) for step in planned.steps] == ["replace one: without threadpoolctl"]
    assert beside.steps() == ["replace one"]
    assert mambakernels.get("one", root=beside.root.path).package("threadpoolctl") is None
    assert all(spec.working for spec in mambakernels.kernels.list())

    beside.declare(f"[environments.two]\n{SMALL}\n")
    assert beside.steps() == []
    assert (beside.environments, beside.kernels) == (["one", "two"], ["one", "one-four", "two"])
    assert beside.steps(prune=True, dry_run=True) == ["prune environment one"]
    assert beside.environments == ["one", "two"]
    assert beside.steps(prune=True) == ["prune environment one"]
    assert (beside.environments, beside.kernels) == (["two"], ["two"])
    assert beside.steps(prune=True) == []


def test_nothing_that_others_made_is_changed_or_pruned(beside: Beside) -> None:
    other = beside.folder / "other.toml"
    beside.declare(f"[environments.theirs]\n{SMALL}\n[environments.shared]\n{SMALL}\n", file=other)
    beside.sync(file=other)
    mambakernels.create("by-hand", ["python"], channel="wheels", engine="rattler", root=beside.root.path)
    mambakernels.clone("theirs", "copied", root=beside.root.path, engine="rattler")
    mambakernels.kernels.register("shared", kernel="mine", root=beside.root.path)
    foreign = beside.jupyter / "kernels" / "foreign"
    foreign.mkdir()
    (foreign / "kernel.json").write_text('{"argv": ["x"], "display_name": "x", "language": "x"}')

    beside.declare(f"[environments.by-hand]\n{SMALL}\n[environments.shared]\n{SMALL}\n[environments.own]\n{SMALL}\n")
    before = beside.stamps()
    assert beside.steps() == ["create own", "register own"]
    beside.declare(f"[environments.new]\n{SMALL}\n")
    beside.sync(prune=True)
    assert beside.environments == ["by-hand", "copied", "new", "shared", "theirs"]
    assert beside.kernels == ["by-hand", "copied", "foreign", "mine", "new", "shared", "theirs"]
    assert {path: stamp for path, stamp in beside.stamps().items() if path in before} == before

    for declared in (
        '[environments.by-hand]\nspecs = ["python", "ipykernel", "threadpoolctl"]\n',
        '[environments.shared]\nspecs = ["python", "ipykernel"]\nvariables = { A = "1" }\n',
        f'[environments.shared]\n{SMALL}\n[kernels.mine]\nenvironment = "shared"\nenv = {{ A = "1" }}\n',
        f'[environments.new]\n{SMALL}\n[kernels.by-hand]\nenvironment = "new"\n',
    ):
        beside.declare(declared)
        for prune in (False, True):
            with pytest.raises(errors.InvalidRequestError, match="already") as caught:
                beside.sync(prune=prune)
            assert "first: mambakernels" in str(caught.value)
    assert {path: stamp for path, stamp in beside.stamps().items() if path in before} == before


def test_what_was_made_again_by_hand_is_not_the_files_any_more(beside: Beside) -> None:
    beside.declare(TWO)
    beside.sync()
    for _ in range(2):
        mambakernels.remove("one", root=beside.root.path)
        mambakernels.create("one", ["python", "ipykernel"], channel="wheels", engine="rattler", root=beside.root.path)
    beside.declare(f"[environments.two]\n{SMALL}\n")
    assert beside.steps(prune=True) == []
    assert beside.environments == ["one", "two"]


def test_what_was_changed_by_hand_is_made_as_declared(beside: Beside) -> None:
    beside.declare(TWO)
    beside.sync()
    mambakernels.install("one", ["threadpoolctl"], engine="rattler", root=beside.root.path)
    mambakernels.kernels.unregister("two")
    assert beside.steps() == ["replace one", "register two"]
    (beside.root.environments / "two" / "etc" / "conda" / "env_vars.d").mkdir(parents=True)
    (beside.root.environments / "two" / "etc" / "conda" / "env_vars.d" / "x.json").write_text('{"XX": "1"}')
    assert [str(step) for step in beside.sync().steps] == ["re-register two: its environment's activation has changed"]
    assert beside.steps() == []


@pytest.mark.parametrize("where", [0, 1, 2])
def test_one_that_cannot_be_solved_among_good_ones(beside: Beside, where: int) -> None:
    tables = [f"[environments.good-{number}]\n{SMALL}\n" for number in range(2)]
    tables.insert(where, '[environments.bad]\nspecs = ["python=3.9", "ipykernel"]\n')
    beside.declare("".join(tables))
    with pytest.raises(errors.SolveError) as caught:
        beside.sync()
    said = str(caught.value)
    assert str(caught.value.where).startswith("bad, ")
    assert "Left:" in said
    assert "create bad" in said.partition("Left:")[2]
    assert "register good-0" in said.partition("Left:")[2]
    for name in beside.environments:
        assert f"create {name}" in said.partition("Done:")[2].partition("Left:")[0]
    assert set(beside.environments) <= {"good-0", "good-1"}
    beside.declare("".join(table for table in tables if "bad" not in table))
    beside.sync()
    assert (beside.environments, beside.kernels) == (["good-0", "good-1"], ["good-0", "good-1"])


def test_the_command_says_first_what_it_will_do(cli: Cli, beside: Beside) -> None:
    beside.declare(TWO)
    words = ["sync", beside.file, "--root", beside.root.path]
    planned = cli(*words, "--dry-run")
    assert planned.stdout.splitlines() == [
        "create one: python ipykernel",
        "create two: python ipykernel",
        "register one: one",
        "register two: two",
        "Nothing was changed.",
    ]
    assert beside.environments == []
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:4] == planned.stdout.splitlines()[:4]
    assert done.stdout.splitlines()[4].startswith("Done in ")
    assert cli(*words).stdout == "Nothing to do.\n"
    beside.declare(f"[environments.two]\n{SMALL}\n")
    said = "No longer declared; --prune removes them: one\nNothing to do.\n"
    assert cli(*words).stdout == said
    assert cli(*words, "--prune").stdout.startswith("prune environment one\nDone in ")


def test_environments_from_files_and_lockfiles_are_made_once(beside: Beside) -> None:
    (beside.folder / "environment.yml").write_text("dependencies: [python, ipykernel]\nvariables: {AA: 1}\n")
    beside.declare('[environments.first]\nfile = "environment.yml"\n')
    assert beside.steps() == ["create first", "register first"]
    mambakernels.lock("first", output=beside.folder / "first.lock", root=beside.root.path)
    both = '[environments.first]\nfile = "environment.yml"\n[environments.second]\nlocked = "first.lock"\n'
    beside.declare(both)
    assert beside.steps() == ["create second", "register second"]
    first, second = (mambakernels.get(name, root=beside.root.path) for name in ("first", "second"))
    assert [package.spec for package in second.packages] == [package.spec for package in first.packages]
    assert beside.steps() == []
    (beside.folder / "environment.yml").write_text("dependencies: [python, ipykernel]\nvariables: {AA: 2}\n")
    assert [str(step) for step in beside.sync().steps] == ["replace first: its variables differ"]
    document = json.loads((beside.jupyter / "kernels" / "first" / "kernel.json").read_text())
    assert document["env"]["AA"] == "2"
    assert beside.steps() == []


def test_several_at_once_do_it_once(beside: Beside) -> None:
    beside.declare(TWO)
    command = [sys.executable, "-m", "mambakernels", "sync", beside.file, "--root", beside.root.path, "--quiet"]
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert (beside.environments, beside.kernels) == (["one", "two"], ["one", "two"])


def test_the_files_own_root_counts_unless_another_is_named(beside: Beside) -> None:
    beside.declare(TWO)
    beside.file.write_text('root = "mm"\n' + beside.file.read_text())
    own = beside.folder / "mm"
    assert mambakernels.sync(beside.file, dry_run=True).root == own
    assert beside.sync(dry_run=True).root == beside.root.path


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment_nothing_half_made_is_left(beside: Beside, engine: str, number: int) -> None:
    beside.declare("".join(f"[environments.e{index}]\n{SMALL}\n" for index in range(4)), engine=engine)
    command = [sys.executable, "-m", "mambakernels", "sync", beside.file, "--root", beside.root.path]
    for wanted in (1, 2, 3):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started: set[psutil.Process] = set()
        while len(beside.environments) < wanted and child.poll() is None:
            started |= set(psutil.Process(child.pid).children(recursive=True))
            time.sleep(0.005)
        started |= set(psutil.Process(child.pid).children(recursive=True)) if child.poll() is None else set()
        child.send_signal(number)
        _out, err = child.communicate(timeout=60)
        assert child.returncode in {0, 128 + number}, err
        assert "Traceback" not in err
        assert [name for name in beside.environments if name.startswith(".")] == []
        gone, alive = psutil.wait_procs(started, timeout=60)
        assert gone or not started
        assert alive == []
    for environment in environments_module.list_environments(beside.root):
        subprocess.run([environment.python, "-c", "import ipykernel"], check=True)
    beside.sync()
    assert (beside.environments, beside.kernels) == ([f"e{index}" for index in range(4)],) * 2


# --------------------------------------------------------------------------------------------- side by side, alone


def spec(name: str, *more: str) -> EnvironmentSpec:
    return EnvironmentSpec(name, ("python", "ipykernel", *more), ("wheels",), "rattler")


def test_several_come_in_the_order_they_were_asked_for_and_events_say_which(borrowed_root: Root) -> None:
    events: list[Event] = []
    names = ["c", "a", "b"]
    made = create_in_parallel([spec(name) for name in names], root=borrowed_root, progress=events.append)
    assert [environment.name for environment in made] == names
    assert len([event for event in events if event.step == "engine"]) == 1
    assert {event.detail.partition(":")[0] for event in events if event.step == "link"} == set(names)
    again = create_in_parallel([spec(name) for name in names], root=borrowed_root)
    assert again == made
    assert create_in_parallel([], root=borrowed_root) == []


def test_an_exception_of_who_listens_stops_all_of_them(borrowed_root: Root) -> None:
    class Enough(Exception):  # noqa: N818 (no error of ours)
        pass

    def listen(event: Event) -> None:
        if event.step == "link":
            raise Enough

    with pytest.raises(Enough):
        create_in_parallel([spec(name) for name in "abcd"], root=borrowed_root, progress=listen)
    assert [path.name for path in borrowed_root.environments.iterdir() if path.name.startswith(".")] == []


def test_one_that_is_made_anew_is_there_all_the_time_and_stays_if_it_fails(borrowed_root: Root) -> None:
    def inode(environment: Environment) -> int:
        return environment.prefix.stat().st_ino

    (made,) = create_in_parallel([spec("a")], root=borrowed_root)
    before = inode(made)
    with pytest.raises(errors.SolveError):
        create_in_parallel([spec("a", "python=3.9")], root=borrowed_root, replacing={"a"})
    assert environments_module.get("a", borrowed_root) == made
    (again,) = create_in_parallel([spec("a", "threadpoolctl")], root=borrowed_root, replacing={"a"})
    assert again.package("threadpoolctl") is not None
    assert inode(again) != before


def test_a_group_that_was_stopped_starts_nothing_more() -> None:
    group = process.Group()
    group.stop()
    with group.joined(), pytest.raises(process.Stopped):
        process.stream([sys.executable, "-c", "import time; time.sleep(60)"])
    with group.joined(), pytest.raises(process.Stopped):
        process.read_output([sys.executable, "-c", "import time; time.sleep(60)"])
    assert process.stream([sys.executable, "-c", "print(1)"]).lines == ("1",)


def test_kernels_keep_their_file_when_they_are_registered_again(beside: Beside) -> None:
    beside.declare(TWO)
    beside.sync()
    with environments_module.held("one", beside.root) as environment:
        kernels.refresh(environment)
    assert {kernel.declared_in for kernel in mambakernels.kernels.list()} == {str(beside.file)}


def test_kernels_go_to_the_projects_own_folder_with_the_threads_it_declares(beside: Beside) -> None:
    beside.declare(f'[environments.one]\n{SMALL}\n[kernels.one-t3]\nenvironment = "one"\nthreads = 3\n')
    assert beside.steps() == ["create one", "register one", "register one-t3"]
    own = f'jupyter = ".jupyter"\n[environments.one]\n{SMALL}\n[kernels.one-t3]\nenvironment = "one"\nthreads = 2\n'
    beside.declare(own)
    assert beside.steps() == ["register one", "register one-t3"]
    assert beside.steps() == []
    assert beside.kernels == ["one", "one-t3"]
    assert beside.steps(prune=True) == ["prune kernel one", "prune kernel one-t3"]
    assert beside.kernels == []
    found = {spec.name: spec for spec in mambakernels.kernels.list(root=beside.root.path)}
    assert {spec.jupyter for spec in found.values()} == {beside.folder / ".jupyter"}
    assert (found["one-t3"].threads, found["one-t3"].variant) == (2, "t3")
    beside.declare(own.replace("threads = 2", "threads = 1"))
    assert beside.steps() == ["re-register one-t3"]
    mambakernels.remove("one", root=beside.root.path)
    assert not list((beside.folder / ".jupyter" / "kernels").iterdir())
