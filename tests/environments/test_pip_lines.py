"""The `pip:` part of a file is a requirements file: what works there works here, as with conda and micromamba."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from mambakernels import errors
from mambakernels.environments import Location, pip_requirements, read_file
from mambakernels.paths import Root

BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    import os
    name = "here-1.0-py3-none-any.whl"
    info = "here-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("here.pth", os.getcwd())
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: here\\nVersion: 1.0\\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{info}/RECORD", "")
    return name
"""


def wheel(folder: Path, name: str) -> Path:
    """A wheel with one module, which knows its name."""
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"NAME = {name!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Location:
    """A folder with a Python and without pip, where an environment could be."""
    venv.create(tmp_path / "one", with_pip=False, symlinks=True)
    return Location.at(tmp_path / "one", Root(tmp_path / "root"))


def installed(place: Location, lines: list[str], **options: bool) -> None:
    pip_requirements.install_with_pip(lines, place.prefix, place, cwd=place.prefix.parent, **options)


def says(place: Location, code: str) -> str:
    done = subprocess.run([place.prefix / place.python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".txt")


def test_lines_are_those_of_a_requirements_file(
    place: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("added", "second", "third"):
        wheel(tmp_path / "wheels", name)
    monkeypatch.setenv("SECOND_WHEEL", "./wheels/second-1.0-py3-none-any.whl")
    here = tmp_path / "here"
    here.mkdir()
    (here / "here_module.py").write_text("NAME = 'here'\n")
    (here / "backend.py").write_text(BACKEND)
    (here / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    (tmp_path / "requirements.txt").write_text("third\n")
    lines = [
        "--no-index",
        "--find-links ./wheels",
        "added==1.0  # a comment, as requirement files allow",
        "${SECOND_WHEEL}",
        "-r requirements.txt  # development",
        "-e ./here",
    ]
    installed(place, lines)
    code = "import added, second, third, here_module as here; print(added.NAME, second.NAME, third.NAME, here.NAME)"
    assert says(place, code) == "added second third here"
    assert left_in(tmp_path) == ["requirements.txt"]


@pytest.mark.parametrize("spelled", ["added==1.0 --hash=sha256:{}", "added @ {address}#sha256={}"])
def test_hashes_are_compared(place: Location, tmp_path: Path, spelled: str) -> None:
    path = wheel(tmp_path / "wheels", "added")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    options = ["--no-index", "--find-links ./wheels"]
    with pytest.raises(errors.EngineError, match="pip could not install") as caught:
        installed(place, [*options, spelled.format("0" * 64, address=path.as_uri())])
    assert "DO NOT MATCH THE HASHES" in str(caught.value)
    assert left_in(tmp_path) == []
    installed(place, [*options, spelled.format(digest, address=path.as_uri())])
    assert says(place, "import added; print(added.NAME)") == "added"


def test_an_empty_part_is_nothing_to_install(place: Location, tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text("dependencies: [python, {pip: []}]")
    spec = read_file(tmp_path / "environment.yml")
    assert (spec.specs, spec.pip) == (("python", "pip"), ())
    installed(place, ["", "  "])
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        ("-r other.txt  # more", "-r /work/it/other.txt  # more"),
        ("-rother.txt", "-r/work/it/other.txt"),
        ("--constraint=limits.txt", "--constraint=/work/it/limits.txt"),
        ("-c ../limits.txt", "-c /work/it/../limits.txt"),
        ("-r /elsewhere/other.txt", "-r /elsewhere/other.txt"),
        ("-r https://example.org/other.txt", "-r https://example.org/other.txt"),
        ("-r ${FOLDER}/other.txt", "-r ${FOLDER}/other.txt"),
        ("-e ./here", "-e ./here"),
        ("requests", "requests"),
    ],
)
def test_files_named_in_lines_are_found_from_a_folder_that_cannot_be_written_to(line: str, moved: str) -> None:
    assert pip_requirements._with_whole_path(line, Path("/work/it")) == moved


def test_such_a_folder_may_have_a_space_in_its_name() -> None:
    moved = pip_requirements._with_whole_path("-r 'some other.txt'", Path("/my work"))
    assert shlex.split(moved) == ["-r", "/my work/some other.txt"]
    assert pip_requirements._with_whole_path("-r '/a b.txt'", Path("/my work")) == "-r '/a b.txt'"
