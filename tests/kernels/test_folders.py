"""Where kernelspecs go, how they are found again there, and what is hidden by what."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from support.kernelspecs import Make

from mambakernels import kernels
from mambakernels.errors import InvalidRequestError, KernelError
from mambakernels.kernels import folders
from mambakernels.kernels.registered import list_kernels
from mambakernels.kernels.registration import register_kernels as register

pytestmark = pytest.mark.usefixtures("jupyter")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that Jupyter looks at, before the user's own is not enough."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "shared"))
    return tmp_path / "shared"


def foreign(data_dir: Path, name: str) -> Path:
    """Write a kernelspec that is not ours."""
    folder = data_dir / "kernels" / name
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": ["x"], "display_name": name, "language": "x"}))
    return folder


def test_places_have_the_names_jupyter_gives_them(jupyter: Path, tmp_path: Path) -> None:
    assert folders.data_folder() == folders.data_folder("user") == jupyter.parent
    assert folders.data_folder("sys-prefix") == Path(sys.prefix, "share", "jupyter")
    assert folders.data_folder(tmp_path / "x") == tmp_path / "x"
    assert folders.of_prefix(tmp_path) == tmp_path / "share" / "jupyter"
    with pytest.raises(InvalidRequestError, match="empty"):
        folders.data_folder("")


def test_folders_are_searched_as_jupyter_does() -> None:
    assert [str(folder / "kernels") for folder in folders.searched()] == KernelSpecManager().kernel_dirs


def test_a_kernel_in_a_folder_of_its_own_is_found_again_and_goes_with_its_environment(
    make: Make, tmp_path: Path, jupyter: Path
) -> None:
    environment = make()
    (user,) = register(environment)
    (own,) = register(environment, data_dir=tmp_path / "project")
    assert own.jupyter == tmp_path / "project"
    assert list_kernels(root=environment.root) == [user, own] or list_kernels(root=environment.root) == [own, user]
    script = environment.prefix / "etc" / "conda" / "activate.d" / "a.sh"
    script.parent.mkdir(parents=True)
    script.write_text("export NEW=1")
    for spec in kernels.refresh(environment):
        assert json.loads((spec.path / "kernel.json").read_text())["env"]["NEW"] == "1"
    assert len(kernels.unregister_all(environment)) == 2
    assert not list(jupyter.iterdir())
    assert not list((tmp_path / "project" / "kernels").iterdir())


def test_a_folder_that_was_removed_by_hand_does_no_harm(make: Make, tmp_path: Path) -> None:
    environment = make()
    register(environment, data_dir=tmp_path / "project")
    shutil.rmtree(tmp_path / "project")
    assert list_kernels(root=environment.root) == []
    assert kernels.unregister_all(environment) == []
    assert not (tmp_path / "project").exists()


def test_a_kernel_that_would_hide_another_is_refused(make: Make, shared: Path) -> None:
    there = foreign(shared, "np-mkl")
    with pytest.raises(KernelError, match="taken") as caught:
        register(make())
    assert caught.value.where == str(there)
    assert "--kernel np-mkl-2" in str(caught.value.next_step)
    assert list_kernels() == []


def test_the_standard_kernel_is_not_hidden_by_accident(make: Make) -> None:
    with pytest.raises(KernelError, match="'python3' is taken"):
        register(make(), name="python3")


def test_a_kernel_that_is_there_is_registered_again_whatever_came_beside_it(make: Make, shared: Path) -> None:
    environment = make()
    (spec,) = register(environment)
    foreign(shared, "np-mkl")
    assert register(environment) == [spec]
    assert kernels.refresh(environment) == [spec]


def test_the_same_environment_may_be_registered_in_two_places(make: Make, shared: Path) -> None:
    environment = make()
    assert register(environment)[0].name == register(environment, data_dir=shared)[0].name == "np-mkl"


def test_only_what_points_nowhere_is_pruned(make: Make, tmp_path: Path, jupyter: Path) -> None:
    gone, moved, healthy = (make(name) for name in ("gone", "moved", "healthy"))
    for environment in (gone, moved, healthy):
        register(environment)
    register(gone, data_dir=tmp_path / "project")
    untouched = foreign(jupyter.parent, "theirs")
    shutil.rmtree(gone.prefix)
    moved.prefix.rename(tmp_path / "elsewhere")
    (healthy.prefix / "bin" / "python").unlink()  # broken, and there
    found = kernels.prune(dry_run=True, root=gone.root)
    assert sorted(spec.name for spec in found) == ["gone", "gone", "moved"]
    (tmp_path / "elsewhere").rename(moved.prefix)  # it comes back before anything is removed
    assert sorted(spec.name for spec in kernels.prune(only=found)) == ["gone", "gone"]
    assert [spec.name for spec in list_kernels(root=gone.root)] == ["healthy", "moved"]
    assert untouched.is_dir()


def test_what_cannot_be_looked_at_is_not_pruned(make: Make) -> None:
    environment = make()
    register(environment)
    shutil.rmtree(environment.prefix)
    environment.prefix.symlink_to(environment.prefix)  # a loop: like a folder that may not be looked into
    assert [spec.working for spec in list_kernels()] == [False]
    assert kernels.prune(dry_run=True, root=environment.root) == []


def test_a_copy_that_somebody_made_is_theirs(make: Make, jupyter: Path) -> None:
    environment = make()
    (spec,) = register(environment)
    shutil.copytree(spec.path, jupyter / "mine")
    before = (jupyter / "mine" / "kernel.json").read_bytes()
    (environment.prefix / "etc" / "conda" / "activate.d").mkdir(parents=True)
    (environment.prefix / "etc" / "conda" / "activate.d" / "a.sh").write_text("export NEW=1")
    kernels.refresh(environment)
    register(environment)
    assert [gone.name for gone in kernels.unregister_all(environment)] == ["np-mkl"]
    shutil.rmtree(environment.prefix)
    assert kernels.prune(dry_run=True) == []
    assert (jupyter / "mine" / "kernel.json").read_bytes() == before
    assert [gone.name for gone in kernels.unregister("mine")] == ["mine"]  # unless it is named


def test_a_kernel_is_found_again_when_jupyter_looks_elsewhere(
    make: Make, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = make()
    register(environment, data_dir=shared)
    monkeypatch.delenv("JUPYTER_PATH")
    assert [spec.jupyter for spec in kernels.unregister_all(environment)] == [shared]


def test_what_cannot_be_started_is_not_working(make: Make) -> None:
    environment = make()
    register(environment)
    environment.python.write_text("")
    assert [spec.working for spec in list_kernels()] == [False]


def test_only_one_of_the_folders_can_be_meant(make: Make, shared: Path, jupyter: Path) -> None:
    environment = make()
    register(environment)
    register(environment, data_dir=shared)
    assert [gone.path for gone in kernels.unregister("NP-MKL", jupyter=shared)] == [shared / "kernels" / "np-mkl"]
    assert [spec.jupyter for spec in list_kernels()] == [jupyter.parent]


@pytest.mark.parametrize("words", [("register", "np-mkl", "--jupyter", ""), ("register", "np-mkl", "--prefix", "")])
def test_an_empty_name_on_the_command_line_is_not_the_working_directory(
    cli: Callable[..., subprocess.CompletedProcess[str]], make: Make, words: tuple[str, ...], tmp_path: Path
) -> None:
    environment = make()
    done = cli(*words, MAMBAKERNELS_ROOT=str(environment.root.path))
    assert done.returncode == 1
    assert "The name of the Jupyter folder is empty" in done.stderr
    assert not list(tmp_path.rglob("np-mkl/kernel.json"))
