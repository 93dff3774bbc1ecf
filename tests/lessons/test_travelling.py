"""Lessons travel into kernels with numeric, in one conda package, without being part of the code that measures."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mambakernels
from mambakernels.channels import numeric_package
from mambakernels.numeric import source

PACKAGE = Path(mambakernels.__file__).parent


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of both folders, which the hashes are taken of."""
    for name in ("numeric", "lessons"):
        shutil.copytree(PACKAGE / name, tmp_path / name)
    monkeypatch.setattr(numeric_package, "_PACKAGE", tmp_path)
    monkeypatch.setattr(source, "__file__", str(tmp_path / "numeric" / "source.py"))
    return tmp_path


@pytest.mark.parametrize(("changed", "measures"), [("lessons/charts.py", False), ("numeric/timing.py", True)])
def test_a_better_chart_changes_the_package_and_not_the_code_that_measured(
    copied: Path, changed: str, *, measures: bool
) -> None:
    code, package = source.code_hash(), numeric_package.source_hash()
    with (copied / changed).open("a", encoding="utf-8") as file:
        file.write("\n# better\n")
    assert numeric_package.source_hash() != package, "the build string begins with it"
    assert (source.code_hash() != code) is measures


def test_lessons_leave_numpy_unloaded_until_a_lesson_has_set_its_threads() -> None:
    code = "import sys, mambakernels.lessons; sys.exit('numpy' in sys.modules or 'jupyter_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
