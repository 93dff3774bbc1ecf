"""Prefixes that other programs made: what conda ignores in them is ignored, what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mambakernels
from mambakernels import engines, environments, errors, kernels
from mambakernels.activation.capture import capture
from mambakernels.doctor.numpy_libraries import wanted_build
from mambakernels.doctor.prefixes import Prefix
from mambakernels.environments import Environment
from mambakernels.environments.environment import Location, is_path
from mambakernels.numeric import probing
from mambakernels.paths import Root, same_place

ARGV = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
KERNEL_JSON = {"argv": ARGV, "display_name": "x", "language": "python"}
RECORD = {"name": "tiny", "version": "1.0", "build": "0", "depends": [], "files": []}


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prefix with one package, and a kernel that runs nothing."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    folder = tmp_path / "miniforge3"
    for name in ("conda-meta", "bin", "share/jupyter/kernels/python3"):
        (folder / name).mkdir(parents=True)
    (folder / "bin" / "python").symlink_to("/bin/true")
    (folder / "share/jupyter/kernels/python3/kernel.json").write_text(json.dumps(KERNEL_JSON))
    (folder / "conda-meta" / "tiny-1.0-0.json").write_text(json.dumps(RECORD))
    return folder


def put(prefix: Path, name: str, content: bytes) -> None:
    (prefix / "conda-meta" / name).write_bytes(content)


def test_what_conda_ignores_is_ignored(prefix: Path, empty_root: Root) -> None:
    put(prefix, "other-2.0-0.json", json.dumps(RECORD).encode())  # its name is another than its content's
    put(prefix, "._tiny-1.0-0.json", b"\x00\x05\x16\x07")  # macOS, on a disk without its attributes
    put(prefix, "notes.json", b"[]")
    put(prefix, "history", b"")
    put(prefix, "frozen", b"{}")
    put(prefix, "initial-state.explicit.txt", b"@EXPLICIT")
    (prefix / "conda-meta" / "folder-1.0-0.json").mkdir()
    (prefix / "conda-meta" / "gone-1.0-0.json").symlink_to("nowhere")
    found = environments.get(prefix, empty_root)
    assert [(package.name, package.subdir) for package in found.packages] == [("tiny", "noarch")]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"name": "bad"}', b'{"name": 5, "version": 1}', b"\xff\xfe\x00", b"[" * 9999],
)
def test_a_damaged_record_is_named(prefix: Path, empty_root: Root, content: bytes) -> None:
    kernels.register(prefix, root=empty_root.path)
    put(prefix, "ipykernel-1.0-0.json", content)
    with pytest.raises(errors.EngineError, match="The record of the package ipykernel is damaged") as caught:
        environments.get(prefix, empty_root)
    assert caught.value.where == str(prefix / "conda-meta" / "ipykernel-1.0-0.json")
    assert "conda install --force-reinstall ipykernel" in str(caught.value.next_step)
    assert probing.packages(prefix) == {}
    rules = {finding.rule: finding.text for finding in mambakernels.doctor(root=empty_root.path).findings}
    assert "ipykernel-1.0-0.json" in rules.get("record", "") or content.startswith(b'{"name"')


def test_an_installations_own_environment_is_base(prefix: Path, empty_root: Root) -> None:
    assert capture(prefix).set["CONDA_DEFAULT_ENV"] == str(prefix)
    (prefix / "condabin").mkdir()
    assert capture(prefix).set["CONDA_DEFAULT_ENV"] == "base"
    assert capture(prefix).set["CONDA_PROMPT_MODIFIER"] == "(base) "
    [spec] = kernels.register(prefix, root=empty_root.path)
    assert json.loads((spec.path / "kernel.json").read_text())["env"]["CONDA_DEFAULT_ENV"] == "base"
    inside = prefix / "envs" / "one"
    (inside / "condabin").mkdir(parents=True)
    assert capture(inside).set["CONDA_DEFAULT_ENV"] == "one"


def test_one_prefix_by_two_paths_is_one_environment(prefix: Path, empty_root: Root, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(".")
    other = tmp_path / "link" / prefix.name
    assert same_place(prefix, other)
    assert not same_place(prefix, tmp_path / "other")
    [first] = kernels.register(prefix, root=empty_root.path)
    [again] = kernels.register(other, root=empty_root.path)
    assert (first.name, again.name) == (again.name, "miniforge3")
    assert again.prefix == other
    assert [spec.name for spec in kernels.list(root=empty_root.path)] == ["miniforge3"]
    assert len({item.root for item in (first, again)}) == 1


def test_a_root_by_two_paths_has_the_same_environments(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    one, other = Root(tmp_path / "real"), Root(tmp_path / "link")
    by_path = environments.Location.at(one.environments / "x", other)
    assert (by_path.argument, by_path.lock) == ("x", environments.Location.named("x", one).lock)


@pytest.mark.parametrize(
    "spec",
    [
        "libblas=*=*mkl",
        "libblas=*[build=*mkl]",
        "libblas >=3.9 *mkl",
        "libblas[version='>=3.9',build='*mkl']",
        "conda-forge::libblas=*=*mkl",
    ],
)
def test_the_doctor_knows_every_spelling_of_a_blas(tmp_path: Path, empty_root: Root, spec: str) -> None:
    made = Environment("x", tmp_path, empty_root, (spec,), (), "rattler", (), "")
    assert wanted_build(Prefix(tmp_path, empty_root, made)) == "*mkl"


def test_records_without_a_platform_are_read() -> None:
    package = engines.Package.from_record({"name": "a", "version": "1", "build_string": "py_0", "channel": "x"})
    assert (package.build, package.subdir, package.url) == ("py_0", "noarch", "")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("project/.conda", "project"),
        ("my env", "my-env"),
        ("project/.envs", "envs"),
        ("ü code", "code"),
        ("np", "np"),
    ],
)
def test_a_folder_whose_name_no_kernel_can_have_gets_one(tmp_path: Path, folder: str, name: str) -> None:
    place = Location.at(tmp_path / folder, Root(tmp_path / "root"))
    assert (place.name, place.prefix) == (name, tmp_path / folder)


def test_a_hidden_folder_here_is_a_path_where_it_is_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_path(".conda")
    (tmp_path / ".conda" / "conda-meta").mkdir(parents=True)
    assert is_path(".conda")
