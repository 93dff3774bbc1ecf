"""The walks of CONTRIBUTING.md lead through files that exist and hold what the walk names."""

from __future__ import annotations

import re

import pytest
from support.pages import TOP

TEXT = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
WALKS = {part.splitlines()[0]: part for part in TEXT.split("\n## ") if part.startswith(("A ", "An "))}


def test_there_is_a_walk_for_each_kind_of_thing() -> None:
    assert set(WALKS) == {"A BLAS", "An operation", "A shell", "An engine", "A release"}
    assert all(len(walk.strip().splitlines()) <= 16 for walk in WALKS.values())


@pytest.mark.parametrize("name", WALKS)
def test_its_files_exist(name: str) -> None:
    paths = re.findall(r"`([\w.-]+/[\w./-]+)`", WALKS[name]) + re.findall(r"bash (tests/\w+)", WALKS[name])
    assert len(paths) >= 3
    assert [path for path in paths if not (TOP / path).exists()] == []


@pytest.mark.parametrize(
    ("file", "word"),
    [
        ("mambakernels/channels/blas_libraries.py", "class BlasLibrary"),
        ("mambakernels/channels/blas_libraries.py", "CONDA_FORGE"),
        ("mambakernels/numeric/libraries.py", "Vendor("),
        ("mambakernels/numeric/operation.py", "class Operation"),
        ("mambakernels/activation/shells.py", "Shell("),
        ("mambakernels/engines/__init__.py", "class Engine(Protocol)"),
        ("tests/support/engines.py", "ENGINES"),
    ],
)
def test_a_file_holds_what_a_walk_names(file: str, word: str) -> None:
    assert word in (TOP / file).read_text(encoding="utf-8")


def test_the_files_said_to_pass_on_windows_exist() -> None:
    names = (TOP / "tests/windows/pure.txt").read_text(encoding="utf-8").split()
    assert len(names) == len(set(names)) >= 10
    assert [name for name in names if not (TOP / "tests" / name).is_file()] == []
