"""Kernels that Jupyter does not find by their name, or shows like others; and those of others, left alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.examination import examine, left_alone, only
from support.files import snapshot
from support.world import World

from mambakernels import kernels
from mambakernels.kernels import registration


def write(folder: Path, **fields: Any) -> Path:
    """Write a kernelspec as others do."""
    folder.mkdir(parents=True)
    document = {"argv": ["x", "{connection_file}"], "display_name": folder.name, "language": "x", **fields}
    (folder / "kernel.json").write_text(json.dumps(document))
    return folder


@pytest.mark.usefixtures("one")
def test_a_kernel_hidden_by_anothers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    registration.register_kernels(world.read("one"), threads=3)
    other = write(world.path / "first" / "kernels" / "ONE")
    assert examine(world).findings == ()
    monkeypatch.setenv("JUPYTER_PATH", str(world.path / "first"))
    finding = left_alone(world, "hidden")
    assert finding.severity == "warning"
    assert str(other) in finding.text
    unregister = f"mambakernels unregister one --jupyter {world.path / 'jupyter'}"
    assert finding.remedy == f"{unregister} && mambakernels register one --kernel one-2 --threads 3"
    kernels.unregister("one", jupyter=world.path / "jupyter")
    registration.register_kernels(world.read("one"), name="one-2", threads=3)
    assert examine(world).findings == ()


@pytest.mark.usefixtures("one")
def test_a_kernel_that_hides_anothers(world: World) -> None:
    write(world.path / "ipython" / "kernels" / "one-2")
    other = write(world.path / "ipython" / "kernels" / "one")
    finding = left_alone(world, "hiding")
    assert finding.severity == "note"
    assert str(other) in finding.text
    unregister = f"mambakernels unregister one --jupyter {world.path / 'jupyter'}"
    assert finding.remedy == f"{unregister} && mambakernels register one --kernel one-3"


def test_the_same_kernel_in_two_folders(world: World, one: kernels.KernelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    registration.register_kernels(world.read("one"), data_dir=world.path / "project")
    monkeypatch.setenv("JUPYTER_PATH", str(world.path / "project"))
    hidden = only(examine(world))
    assert (hidden.rule, hidden.severity, hidden.path) == ("hidden", "note", one.path)
    assert hidden.remedy == f"mambakernels unregister one --jupyter {one.jupyter}"
    kernels.unregister("one", jupyter=one.jupyter)
    assert examine(world).findings == ()


@pytest.mark.usefixtures("one")
def test_a_folder_that_jupyter_does_not_look_into(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    registration.register_kernels(world.read("one"), variant="mine", data_dir=world.path / "a project")
    finding = left_alone(world, "not-searched")
    assert (finding.severity, finding.kernel) == ("warning", "one-mine")
    assert finding.remedy.startswith(f"export JUPYTER_PATH='{world.path / 'a project'}'")
    monkeypatch.setenv("JUPYTER_PATH", str(world.path / "a project"))
    assert examine(world).findings == ()


def test_a_name_that_jupyter_does_not_accept(world: World, one: kernels.KernelSpec) -> None:
    one.path.rename(one.path.with_name("my one"))
    found = examine(world, fix=True)
    assert [(item.rule, item.fixable) for item in found.findings] == [
        ("copied", False),
        ("launcher-gone", False),
        ("name-rejected", False),
    ]
    unregister = f"mambakernels unregister 'my one' --jupyter {one.jupyter}"
    assert found.findings[-1].remedy == f"{unregister} && mambakernels register one"
    kernels.unregister("my one", jupyter=one.jupyter)
    registration.register_kernels(world.read("one"))
    assert examine(world).findings == ()


def test_two_kernels_that_look_alike(world: World, one: kernels.KernelSpec) -> None:
    write(world.path / "ipython" / "kernels" / "theirs", display_name=one.display_name)
    finding = left_alone(world, "display-name")
    assert (finding.kernel, finding.severity) == ("one", "warning")
    assert finding.remedy.startswith("mambakernels register one --display-name")
    shutil.rmtree(world.path / "ipython")
    shutil.copytree(one.path, one.path.with_name("copy"))
    [copied] = [item for item in examine(world).findings if item.rule == "display-name"]
    file = one.path.with_name("copy") / "kernel.json"
    assert (copied.kernel, copied.remedy) == ("copy", f'"${{EDITOR:-vi}}" {file}')
    shutil.rmtree(one.path.with_name("copy"))
    write(one.path.parent / "a")
    write(one.path.parent / "b", display_name="a")
    assert examine(world).findings == ()  # both are others'


def strangers(folder: Path) -> None:
    """Fill a Jupyter folder with kernelspecs of others: valid, broken, links, and marked in ways that are not ours."""
    valid = write(folder / "valid")
    write(folder / "Upper")
    write(folder / "not a name")
    (folder / "link").symlink_to(valid)
    (folder / "dangling").symlink_to("nowhere")
    (folder / "empty").mkdir()
    (folder / "a file").write_text("x")
    for name, text in {"broken": "{", "list": "[]", "empty file": "", "binary": "\0\1", "deep": "[" * 100_000}.items():
        write(folder / name)
        (folder / name / "kernel.json").write_text(text)
    marks: dict[str, Any] = {
        "text": "mambakernels",
        "number": 3,
        "none": None,
        "nothing": {},
        "schema": {"schema": "1", "environment": "x", "prefix": "/gone"},
        "prefix": {"schema": 1, "environment": "x", "prefix": 3},
    }
    for name, mark in marks.items():
        write(folder / f"mark-{name}", metadata={"mambakernels": mark})
    write(folder / "metadata", metadata=[])
    write(folder / "env", env=[])
    write(folder / "nameless", display_name=7)
    write(folder / "gone", argv=["/nowhere/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"])


def test_what_others_wrote_is_left_as_it_is(
    world: World, one: kernels.KernelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [one.path.parent, world.path / "first" / "kernels", world.path / "ipython" / "kernels"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        strangers(folder)
    write(folders[1] / "one")
    monkeypatch.setenv("JUPYTER_PATH", str(folders[1].parent))
    before = [snapshot(folder) for folder in folders]
    theirs = [{path: state for path, state in before[0].items() if path.split("/")[0] != "one"}, *before[1:]]
    (one.prefix / "etc" / "conda" / "activate.d" / "later.sh").write_text("export LATER=yes\n")
    found = examine(world, fix=True)
    assert {finding.kernel for finding in found.findings} == {"one"}
    assert world.variables("one")["LATER"] == "yes"
    shutil.rmtree(one.prefix)
    assert not examine(world, fix=True, start=True).repairs
    kernels.prune()
    assert [snapshot(folder) for folder in folders] == theirs
