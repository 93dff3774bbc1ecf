from __future__ import annotations

import re
from pathlib import Path

import pytest

from mambakernels.numeric import source


def test_the_hash_is_of_what_is_there_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "__file__", str(tmp_path / "source.py"))
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("y = 2\n")
    before = source.code_hash()
    assert re.fullmatch("[0-9a-f]{64}", before)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"compiled")
    assert source.code_hash() == before
    (tmp_path / "b.py").write_text("y = 3\n")
    changed = source.code_hash()
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert len({before, changed, source.code_hash()}) == 3


def test_what_moves_from_one_file_to_the_next_changes_the_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "__file__", str(tmp_path / "source.py"))
    hashes = set()
    for first, second in (("ab", "c"), ("a", "bc")):
        (tmp_path / "a.py").write_text(first)
        (tmp_path / "b.py").write_text(second)
        hashes.add(source.code_hash())
    assert len(hashes) == 2
