"""What an error says, and that operating-system errors say it too."""

from __future__ import annotations

import errno
import os

import pytest

from mambakernels import errors


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
def test_errors_about_storage_come_with_advice(number: int) -> None:
    error = errors.from_os_error(OSError(number, "said the system", "/a/file"))
    assert error.what == "said the system."
    assert error.where == "/a/file"
    assert "--root or MAMBAKERNELS_ROOT" in str(error.next_step)
    assert str(errors.storage(number, "/a")) == str(errors.from_os_error(OSError(number, os.strerror(number), "/a")))


def test_an_error_without_a_file_stays_readable() -> None:
    assert str(errors.from_os_error(OSError("odd"))) == "odd."


def test_what_is_made_in_a_hidden_place_is_named_by_its_own() -> None:
    with pytest.raises(errors.StorageError) as failed, errors.naming("/x/.a.b2", "/x/a", option="--output"):
        raise OSError(errno.ENOSPC, "full", "/x/.a.b2/lib")
    assert str(failed.value) == "full. (/x/a/lib)\nFree some space there, or choose another place with --output."
    with pytest.raises(errors.SolveError) as said, errors.naming("/x/.a.b2", "/x/a"):
        raise errors.SolveError("In /x/.a.b2/y.", where="/x/.a.b2")
    assert str(said.value) == "In /x/a/y. (/x/a)"
    assert errors.storage(errno.ENOENT, "/x") is None
