"""What an error says, and that operating-system errors say it too."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import mambakernels
from mambakernels import errors, paths


def test_an_error_says_what_where_and_what_next() -> None:
    error = errors.NotFoundError("There is none.", where="/there", next_step="Make one.")
    assert str(error) == "There is none. (/there)\nMake one."
    assert str(errors.NotFoundError("There is none.")) == "There is none."


def test_every_leaf_has_the_one_root() -> None:
    leaves = [item for name, item in vars(errors).items() if name.endswith("Error")]
    assert len(leaves) > 8
    assert all(issubclass(leaf, errors.MambakernelsError) for leaf in leaves)
    assert all(leaf.__doc__ for leaf in leaves)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EPERM, errno.EFBIG])
def test_errors_about_storage_come_with_advice(number: int, tmp_path: Path) -> None:
    @paths.storage_errors
    def failing(*, root: Path) -> None:
        raise OSError(number, "said the system", str(root / "file"))

    with pytest.raises(errors.StorageError) as caught:
        failing(root=tmp_path)
    error = caught.value
    assert error.what == "said the system."
    assert error.where == str(tmp_path / "file")
    assert str(error.next_step).endswith(", or choose another place with --root or MAMBAKERNELS_ROOT.")
    system = OSError(number, os.strerror(number), "/a")
    assert str(errors.storage(number, "/a")) == str(errors.from_os_error(system))


def test_an_error_without_a_file_stays_readable() -> None:
    assert str(errors.from_os_error(OSError("odd"))) == "odd."


@pytest.mark.parametrize(
    ("where", "option"),
    [
        ("root/envs/a", "--root or MAMBAKERNELS_ROOT"),
        ("root/out/a.csv", "--output"),
        ("root/out", "--output"),
        ("saved.json", "--save"),
        ("elsewhere/notebook.ipynb", None),
    ],
)
def test_the_advice_names_the_option_that_chose_the_place(tmp_path: Path, where: str, option: str | None) -> None:
    """The innermost place counts; a file that no option chose gets no option."""

    @paths.storage_errors
    def failing(*, output: Path, save: Path, prefix: Path | None = None, root: Path) -> None:
        del output, save, prefix, root
        raise OSError(errno.EACCES, "no", str(tmp_path / where))

    with pytest.raises(errors.StorageError) as caught:
        failing(output=tmp_path / "root" / "out", save=tmp_path / "saved.json", root=tmp_path / "root")
    wanted = "Get permission for that place" + (f", or choose another place with {option}." if option else ".")
    assert caught.value.next_step == wanted


def test_an_error_without_advice_gets_the_option_that_chose_the_place() -> None:
    @paths.storage_errors
    def failing(*, root: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(root))

    with pytest.raises(errors.StorageError) as caught:
        failing(root=Path("/proc/x"))
    assert caught.value.next_step == "Choose another place with --root or MAMBAKERNELS_ROOT."


@pytest.mark.parametrize("below", ["", "envs"])
def test_a_root_that_is_a_file_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "README.md").touch()
    with pytest.raises(errors.InvalidRequestError, match="root is a file, or below one") as caught:
        mambakernels.list(root=tmp_path / "README.md" / below)
    assert caught.value.next_step == "Name a folder with --root or MAMBAKERNELS_ROOT."


def test_the_first_option_counts() -> None:
    error = errors.from_os_error(OSError(errno.EROFS, "no", "/a"))
    error.add_option("--output")
    error.add_option("--root")
    assert str(error) == "no. (/a)\nMake that file system writable, or choose another place with --output."


def test_what_is_made_in_a_hidden_place_is_named_by_its_own() -> None:
    with pytest.raises(errors.StorageError) as failed, errors.naming("/x/.a.b2", "/x/a"):
        raise OSError(errno.ENOSPC, "full", "/x/.a.b2/lib")
    failed.value.add_option("--output")
    assert str(failed.value) == "full. (/x/a/lib)\nFree some space there, or choose another place with --output."
    with pytest.raises(errors.SolveError) as said, errors.naming("/x/.a.b2", "/x/a"):
        raise errors.SolveError("In /x/.a.b2/y.", where="/x/.a.b2")
    assert str(said.value) == "In /x/a/y. (/x/a)"
    assert errors.storage(errno.ENOENT, "/x") is None
