"""Environments appear whole or not at all, and are what their manifest says."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.blas import BLAS, blas_spec
from support.world import World

import mambakernels
from mambakernels import environments as environments_module
from mambakernels import errors
from mambakernels.environments import Environment, EnvironmentSpec
from mambakernels.paths import Root
from mambakernels.progress import Event

SMALL = EnvironmentSpec("small", ("python", "ipykernel"), ("wheels",), "rattler")
CREATE = (
    "import sys; from pathlib import Path; from mambakernels.environments import EnvironmentSpec, create_environment;"
    "from mambakernels.paths import Root;"
    "spec = EnvironmentSpec('small', ('python', 'ipykernel'), ('wheels',), 'rattler');"
    "create_environment(spec, root=Root(Path(sys.argv[1])))"
)


def left_behind(root: Root) -> list[str]:
    return sorted(path.name for path in root.environments.iterdir()) if root.environments.exists() else []


@pytest.mark.parametrize("name", BLAS)
def test_an_environment_runs_the_blas_it_was_made_for(environments: dict[str, Environment], name: str) -> None:
    environment = environments[name]
    code = "import json; from mambakernels.numeric import probe; print(json.dumps(probe().as_dict()))"
    answer = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, text=True, check=True)
    probe = json.loads(answer.stdout)
    assert environment.blas == name
    assert probe["blas"]["name"] == name
    assert Path(probe["blas"]["library"]).is_relative_to(environment.prefix)
    assert Path(probe["numpy_file"]).is_relative_to(environment.prefix)
    assert probe["blas"]["build"].endswith(f"_{name}")


def test_every_module_has_bytecode(environments: dict[str, Environment]) -> None:
    site = environments["openblas"].prefix / "lib"
    sources = [path for path in site.rglob("*.py") if "lib2to3" not in path.parts]
    without = [path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
    assert len(sources) > 1000
    assert without == []


def test_no_file_names_the_place_it_was_linked_at(environments: dict[str, Environment]) -> None:
    environment = environments["mkl"]
    answer = subprocess.run(
        ["grep", "-rlF", f"/.{environment.name}.", environment.prefix], capture_output=True, text=True, check=False
    )
    assert answer.stdout == ""


def test_scripts_run_from_a_path_with_spaces(environments: dict[str, Environment]) -> None:
    environment = environments["openblas"]
    assert " " in str(environment.prefix)
    answer = subprocess.run(
        [environment.prefix / "bin" / "pip", "--version"], capture_output=True, text=True, check=True
    )
    assert str(environment.prefix) in answer.stdout


def test_the_same_specs_again_are_nothing_to_do(environments: dict[str, Environment], root: Root) -> None:
    events: list[Event] = []
    again = environments_module.create_environment(blas_spec("openblas"), root=root, progress=events.append)
    assert again == environments["openblas"]
    assert events == []


def test_other_specs_under_a_name_that_is_taken_are_refused(environments: dict[str, Environment], root: Root) -> None:
    assert environments
    with pytest.raises(errors.InvalidRequestError, match="already, made from other specs") as caught:
        environments_module.create_environment(EnvironmentSpec("np-openblas", ("python",), ("wheels",)), root=root)
    assert "mambakernels remove np-openblas" in str(caught.value)


def test_create_list_remove(borrowed_root: Root) -> None:
    made = environments_module.create_environment(SMALL, root=borrowed_root)
    assert environments_module.list_environments(borrowed_root) == [made]
    assert made.package("ipykernel") is not None
    assert made.python.exists()
    mambakernels.remove("small", root=borrowed_root.path)
    assert environments_module.list_environments(borrowed_root) == []
    assert left_behind(borrowed_root) == []
    assert list(borrowed_root.trash.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [".", "..", "a b", "a;b", "$HOME", "a\nb", "-flag", ".hidden", "ü", "x" * 65, "a\0b"],
)
def test_names_that_cannot_be_folders_and_kernels_are_refused(empty_root: Root, name: str) -> None:
    for act in (
        lambda: environments_module.create_environment(EnvironmentSpec(name, ("python",)), root=empty_root),
        lambda: environments_module.get(name, empty_root),
        lambda: mambakernels.remove(name, root=empty_root.path),
    ):
        with pytest.raises(errors.InvalidRequestError, match="cannot be an environment's name"):
            act()
    assert not empty_root.path.exists()


@pytest.mark.parametrize("specs", [(), ("",), ("python", " ")])
def test_an_environment_of_nothing_is_refused(empty_root: Root, specs: tuple[str, ...]) -> None:
    with pytest.raises(errors.InvalidRequestError, match="at least one match spec"):
        environments_module.create_environment(EnvironmentSpec("x", specs), root=empty_root)


def test_a_missing_environment_is_named_with_those_there_are(environments: dict[str, Environment], root: Root) -> None:
    assert environments
    with pytest.raises(errors.NotFoundError, match="np-openblas"):
        environments_module.get("nothing", root)


def test_a_folder_that_is_not_ours_is_left_alone(borrowed_root: Root) -> None:
    (borrowed_root.environments / "small").mkdir(parents=True)
    (borrowed_root.environments / "small" / "precious").touch()
    with pytest.raises(errors.InvalidRequestError, match="did not make it"):
        environments_module.create_environment(SMALL, root=borrowed_root)
    with pytest.raises(errors.NotFoundError):
        mambakernels.remove("small", root=borrowed_root.path)
    assert (borrowed_root.environments / "small" / "precious").exists()


def test_an_unsolvable_request_carries_the_solvers_reason(borrowed_root: Root, root: Root) -> None:
    channel = next(root.channels.glob("wheels-*"))
    spec = EnvironmentSpec("x", ("python", "libblas=*=*mkl", "liblapack=*=*netlib"), (str(channel),), "rattler")
    with pytest.raises(errors.SolveError, match="No set of packages satisfies") as caught:
        environments_module.create_environment(spec, root=borrowed_root)
    assert "libblas" in str(caught.value)
    assert left_behind(borrowed_root) == []


def test_another_python_than_the_channel_has_is_told_with_what_there_is(borrowed_root: Root) -> None:
    spec = EnvironmentSpec("x", ("python=3.9", "numpy"), ("wheels",), "rattler")
    with pytest.raises(errors.SolveError) as caught:
        environments_module.create_environment(spec, root=borrowed_root)
    assert f"The wheels channel has Python {sys.version_info[0]}.{sys.version_info[1]}" in str(caught.value)
    assert left_behind(borrowed_root) == []


def test_a_channel_that_refuses_is_an_error_with_its_address(borrowed_root: Root) -> None:
    spec = EnvironmentSpec("x", ("python",), ("http://127.0.0.1:9/nothing",), "rattler")
    with pytest.raises(errors.ChannelError, match=r"127\.0\.0\.1:9"):
        environments_module.create_environment(spec, root=borrowed_root)
    assert left_behind(borrowed_root) == []


def test_advice_names_an_environment_outside_the_root_by_its_path(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    assert environments_module.Location.of("one", root).argument == "one"
    assert environments_module.Location.of(root.environments / "one", root).argument == "one"
    assert environments_module.Location.of(tmp_path / "a b" / "one", root).argument == f"'{tmp_path}/a b/one'"


def test_two_at_once_one_works_and_the_other_finds_it_done(borrowed_root: Root) -> None:
    children = [subprocess.Popen([sys.executable, "-c", CREATE, str(borrowed_root.path)]) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert left_behind(borrowed_root) == ["small"]


def test_killed_at_any_moment_nothing_half_made_is_listed_and_the_next_call_succeeds(borrowed_root: Root) -> None:
    chance = random.Random(11)
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", CREATE, str(borrowed_root.path)])
        time.sleep(chance.uniform(0.05, 0.8))
        child.send_signal(signal.SIGKILL)
        child.wait()
        for environment in environments_module.list_environments(borrowed_root):
            subprocess.run([environment.python, "-c", "import ipykernel"], check=True)
            mambakernels.remove(environment.name, root=borrowed_root.path)
    made = environments_module.create_environment(SMALL, root=borrowed_root)
    subprocess.run([made.python, "-c", "import ipykernel"], check=True)
    assert left_behind(borrowed_root) == ["small"]


def test_what_an_engine_writes_after_its_parent_was_killed_is_deleted_at_the_end(borrowed_root: Root) -> None:
    late = borrowed_root.environments / ".small.0123abcd"

    def write(event: Event) -> None:
        if event.step == "link":
            (late / "bin").mkdir(parents=True, exist_ok=True)

    environments_module.create_environment(SMALL, root=borrowed_root, progress=write)
    assert left_behind(borrowed_root) == ["small"]


def test_interrupted_nothing_is_left(borrowed_root: Root) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CREATE, str(borrowed_root.path)], stderr=subprocess.PIPE, start_new_session=True
    )
    while not left_behind(borrowed_root) and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    _out, err = child.communicate()
    assert child.returncode == 0 or b"KeyboardInterrupt" in err
    assert left_behind(borrowed_root) in ([], ["small"])


def test_a_damaged_manifest_says_which_and_what_to_do(world: World) -> None:
    made, root = world.create("small", "python"), Root(world.root)
    for content in ("{", '{"schema": 99}'):
        (made.prefix / environments_module.MANIFEST).write_text(content)
        assert environments_module.list_environments(root) == []
        with pytest.raises(errors.EngineError, match="manifest is damaged"):
            environments_module.get("small", root)


def test_no_name_at_all_says_what_to_give(empty_root: Root) -> None:
    with pytest.raises(errors.InvalidRequestError, match="needs a name") as caught:
        environments_module.create_environment(EnvironmentSpec("", ("python",)), root=empty_root)
    assert "np-mkl" in str(caught.value)
