"""Files that people hand over: environment files, lists of specs and `@EXPLICIT` files, in any encoding of Unicode."""

from __future__ import annotations

from pathlib import Path

import pytest

from mambakernels import errors, paths
from mambakernels.environments import EnvironmentSpec, read_file


def test_environment_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "umgebung ü.yml"
    path.write_text(
        "name: x\nchannels: [conda-forge, nodefaults]\ndependencies:\n  - python=3.11\n  - numpy\n"
        "variables: {ON: yes, MODE: 010, N: 5, X: 1.5}\n"
    )
    variables = {"ON": "yes", "MODE": "010", "N": "5", "X": "1.5"}
    spec = EnvironmentSpec("x", ("python=3.11", "numpy"), ("conda-forge",), variables=variables, folder=tmp_path)
    assert read_file(path) == spec


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "not YAML: line 1, column 5: "),
        ("a: 1\n\tb: 2", "not YAML: line 2, column 1: "),
        ("name: x", "needs a list of match specs under `dependencies`; the keys here are: name"),
        ("- python", "needs a list"),
        ("dependencies: python", "needs a list"),
        ("dependencies: []", "There is no match spec for "),
        ("dependencies: [python]\nvariables: {A: [1]}", "line 2): An environment file's `variables`"),
        ("name: [x]\ndependencies: [python]", "line 1): An environment file's `name`"),
        ("dependencies: [python]\nchannels:\n  - [5]", "line 2): An environment file's `channels`"),
        ("dependencies:\n  - python\n  - 'numpy==='", "line 3): 'numpy===' is not a valid match spec"),
        ("dependencies:\n  - python\n  - sel(linux):\n    - a", "line 3): `sel(linux)` takes one match spec"),
        ("dependencies:\n  - python\n  - sel(bsd): a", "line 3): `sel(bsd)` selects nothing"),
        ("dependencies:\n  - python\n  - pip:\n    - {a: b}", "line 3): `pip:` must be a list"),
        ("[" * 4000, "nested too deeply"),
        ("a: &x [*x]\ndependencies: *x", "an alias inside of what it names"),
    ],
)
def test_environment_files_that_cannot_be_read_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(content)
    with pytest.raises(errors.InvalidRequestError) as caught:
        read_file(path)
    place = str(caught.value.where).removeprefix(str(path)).removeprefix(", ")
    assert message in (f"{place}): {caught.value.what}" if place else caught.value.what)
    assert str(caught.value.where).startswith(str(path))
    assert "read as an environment file" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("place", "content", "message", "advice"),
    [
        (
            "requirements.txt, line 4",
            "numpy\n\n# more\n-r other.txt\n",
            "not a match spec: -r other.txt",
            "under `pip:`",
        ),
        ("requirements.txt, line 1", "--index-url https://x\n", "not a match spec: --index-url", "under `pip:`"),
        ("a.ipynb, line 1", '{\n "cells": []\n}\n', "'{' is not a valid match spec", "read as a list of match specs"),
        ("specs.txt, line 1", "numpy 1.2 3 4 5", "'3 4 5' cannot be a build string", "read as a list of match specs"),
        ("specs.txt, line 2", "python\npip:numpy", "the namespace 'pip'", "read as a list of match specs"),
    ],
)
def test_a_line_that_is_not_a_match_spec_is_refused(
    tmp_path: Path, place: str, content: str, message: str, advice: str
) -> None:
    path = tmp_path / place.partition(",")[0]
    path.write_text(content)
    with pytest.raises(errors.InvalidRequestError) as caught:
        read_file(path)
    assert message in caught.value.what
    assert caught.value.where == str(tmp_path / place)
    assert advice in str(caught.value.next_step)


def test_a_file_that_cannot_be_read_comes_with_the_kinds_there_are(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequestError, match="This is a folder") as folder:
        read_file(tmp_path)
    with pytest.raises(errors.NotFoundError, match="no such file") as missing:
        read_file(tmp_path / "none.yml")
    for caught in (folder, missing):
        assert "environment.yml" in str(caught.value.next_step)
    with pytest.raises(errors.NotFoundError, match="no such file") as no_lock:
        read_file(tmp_path / "none.lock")
    assert "an @EXPLICIT list" in str(no_lock.value.next_step)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("platforms: [linux-64]\ndependencies: [python]", "line 1: `platforms` is not a key"),
        (
            "dependencies: [python]\nchanels: [x]",
            "line 2: `chanels` is not a key of environment files, and is skipped. ",
        ),
        ("dependencies:\n  - python: 3.9\n  - numpy", "line 2: `python:` in `dependencies` is skipped"),
        ("dependencies:\n  - numpy\n  - [a]", "line 3: A list within `dependencies` is skipped."),
    ],
)
def test_what_is_skipped_is_noted_with_its_line(tmp_path: Path, content: str, note: str) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(content)
    [found] = read_file(path).notes
    assert found.startswith(f"{path}, {note}")


def test_a_misspelt_key_and_a_version_as_a_key_are_noted_with_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text("chanels: [x]\ndependencies:\n  - numpy\n  - python: 3.9\n")
    channels, python = read_file(path).notes
    assert channels.endswith("Did you mean `channels`?")
    assert python.endswith("For a version, write `python=3.9`.")


def test_an_environment_of_a_pip_part_alone_has_python_and_pip(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text("name: edge\ndependencies:\n  - pip:\n    - six\n")
    spec = read_file(path).completed()
    assert spec.specs == ("python", "pip", "ipykernel")
    assert spec.pip == ("six",)


@pytest.mark.parametrize(
    ("subdir", "selected"),
    [
        ("linux-64", ("a", "d")),
        ("linux-aarch64", ("a", "d")),
        ("osx-arm64", ("b", "d")),
        ("win-64", ("c",)),
    ],
)
def test_selectors_follow_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subdir: str, selected: tuple[str, ...]
) -> None:
    monkeypatch.setattr(paths, "subdir", lambda: subdir)
    path = tmp_path / "environment.yml"
    path.write_text("dependencies: [python, {sel(linux): a, sel(osx): b}, {sel(win): c}, {sel(unix): d}]")
    assert read_file(path).specs == ("python", *selected)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
LISTED = "https://example.org/c/noarch/tzdata-2024a-h0c530f3_0.conda#161081fc7cec0bfda0d86d7cb595f8d8"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("name", "text", "specs"),
    [
        ("environment.yml", "# é\r\ndependencies:\r\n  - python=3.11\r\n", ("python=3.11",)),
        ("specs.txt", "python=3.11 # é\r\n\r\nnumpy\r\n", ("python=3.11", "numpy")),
        ("packages.txt", f"# é\r\n@EXPLICIT\r\n{LISTED}\r\n", ("tzdata==2024a=h0c530f3_0",)),
    ],
)
def test_files_are_read_in_the_encodings_of_unicode(
    tmp_path: Path, name: str, text: str, specs: tuple[str, ...], encoding: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    assert (read_file(path).specs, read_file(path).notes) == (specs, ())


def test_other_encodings_are_read_as_windows_1252_and_noted_and_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_bytes("dependencies: [python] # für später".encode("cp1252"))
    assert read_file(path).specs == ("python",)
    assert read_file(path).notes == (f"{path}: It is not UTF-8, and was read as Windows-1252.",)
    path.write_bytes(b"PK\x03\x04\x14\x00\x00\x00")
    with pytest.raises(errors.InvalidRequestError, match="not a text file"):
        read_file(path)


@pytest.mark.parametrize("name", ["conda-linux-64.lock", "packages.txt", "environment.yml", "packages"])
def test_explicit_files_are_recognised_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(f"# platform: linux-64\n@EXPLICIT\n\n# more\n  {LISTED}  # comment\n")
    [package] = read_file(path).packages
    assert (package.name, package.url, package.record["md5"]) == ("tzdata", *LISTED.split("#"))


def test_an_explicit_file_may_name_files_and_one_package_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "some where" / "noarch" / "tiny-1.0-0.conda"
    (tmp_path / "packages.txt").write_text(f"@EXPLICIT\n{file}\nsome where/noarch/tiny-1.0-0.conda\n")
    assert [package.url for package in read_file(tmp_path / "packages.txt").packages] == [file.as_uri()]


def test_environment_files_are_recognised_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "environment.txt"
    path.write_text("name: x\ndependencies:\n  - python\n")
    assert read_file(path).name == "x"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("numpy", "not the address of a conda package: numpy"),
        (LISTED.replace("noarch", "emscripten-wasm32"), "for emscripten-wasm32, and this machine is"),
        (f"{LISTED}0", "not the address of a conda package"),
    ],
)
def test_a_line_of_an_explicit_file_that_cannot_be_used_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "packages.txt"
    path.write_text(f"# made by hand\n@EXPLICIT\n{LISTED}\n{line}\n")
    with pytest.raises(errors.InvalidRequestError) as caught:
        read_file(path)
    assert message in caught.value.what
    assert caught.value.where == f"{path}, line 4"
