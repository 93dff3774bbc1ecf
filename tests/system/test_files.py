from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS

import mambakernels
from mambakernels import paths
from mambakernels.errors import MambakernelsError, StorageError
from mambakernels.system.files import writable_folder, write_atomically


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
    with pytest.raises(StorageError, match=r"No folder can be made there. \(/proc/nowhere\)"):
        writable_folder(Path("/proc/nowhere"))
    with pytest.raises(StorageError, match=r"No file can be made there. \(/proc\)"):
        writable_folder(Path("/proc"))


def test_where_results_cannot_go_is_said_before_anything_starts() -> None:
    for call in (
        lambda: mambakernels.demo(output="/proc/nowhere", blas=["none such"]),
        lambda: mambakernels.bench("none-such", save="/proc/nowhere/a.json"),
        lambda: mambakernels.compare("1", kernels="none-such", save="/proc/nowhere/a.json"),
        lambda: mambakernels.collect([], to="/proc/nowhere/a.csv"),
    ):
        with pytest.raises(StorageError, match=r"No folder can be made there. (.|\n)*Choose another place with --"):
            call()


def test_a_place_for_results_that_was_found_good_is_left_as_it_was(tmp_path: Path) -> None:
    for call in (
        lambda: mambakernels.demo(output=tmp_path / "new", blas=["none such"]),
        lambda: mambakernels.bench("none-such", save=tmp_path / "new" / "below" / "a.json"),
    ):
        with pytest.raises(MambakernelsError, match=r"none.such"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    assert list(writable_folder(tmp_path / "a" / "b").iterdir()) == []


# Writes where it may not, as a user for whom permissions count; prints the place and the advice.
_WRITE = """
import sys
from pathlib import Path
from mambakernels import errors, paths
from mambakernels.system import files

@paths.storage_errors
def write(output, root=None):
    files.writable_folder(output) if sys.argv[1] == "folder" else files.write_atomically(output / "r.csv", b"x")

try:
    write(Path(sys.argv[2]))
except errors.StorageError as error:
    print(error.what, error.where, error.next_step, sep="\\n")
"""


@pytest.mark.parametrize(("kind", "name"), [("folder", ""), ("file", "/r.csv")])
def test_a_folder_that_may_not_be_written_is_named_with_the_option_that_chooses_it(
    tmp_path: Path, kind: str, name: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o555)
    drop = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-c", _WRITE, kind, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    what, where, advice = ran.stdout.splitlines()
    assert (what, where) == ("Permission denied.", f"{folder}{name}")
    assert "--output" in advice
    assert "--root" not in advice


def test_a_file_that_is_too_large_is_named_as_it_will_be_called(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match="File too large") as caught:
            write_atomically(tmp_path / "r.csv", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.where == str(tmp_path / "r.csv")
    assert list(tmp_path.iterdir()) == []


def test_the_default_root_has_no_space_on_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what platformdirs says on macOS: conda warns of spaces in a prefix, and many packages cannot take them."""
    monkeypatch.setattr(platformdirs, "PlatformDirs", MacOS)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MAMBAKERNELS_ROOT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert "Application Support" in platformdirs.user_data_dir("mambakernels")
    assert paths.Root.find().path == tmp_path / ".local" / "share" / "mambakernels"
