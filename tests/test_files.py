from __future__ import annotations

from pathlib import Path

import pytest

from mambakernels.errors import StorageError
from mambakernels.files import writable_folder, write_atomically


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "ä.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(StorageError):
        write_atomically(path, b"content")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_takes_no_files_is_a_storage_error() -> None:
    with pytest.raises(StorageError):
        write_atomically(Path("/proc/nowhere/file"), b"content")
    with pytest.raises(StorageError):
        writable_folder(Path("/proc/nowhere"))


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    assert list(writable_folder(tmp_path / "a" / "b").iterdir()) == []
