"""Every error a user can meet: one root, few leaves, each saying what, where, and what to do next."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class MambakernelsError(Exception):
    """Something went wrong that a user can understand and act on.

    `what` is one sentence; `where` the file, name or address it is about; `next_step` what to do now.
    """

    def __init__(self, what: str, *, where: str | None = None, next_step: str | None = None) -> None:
        super().__init__(what, where, next_step)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"\n{self.next_step}" if self.next_step else ""
        return f"{self.what}{place}{advice}"


class InvalidRequestError(MambakernelsError):
    """A name, spec, parameter or option is not one that can be used."""


class NotFoundError(MambakernelsError):
    """An environment, kernel, notebook or file that was named does not exist."""


class EngineError(MambakernelsError):
    """The engine could not do what it was asked."""


class SolveError(EngineError):
    """No set of packages satisfies the request; `what` carries the solver's explanation."""


class ChannelError(MambakernelsError):
    """A channel cannot be reached, read or built."""


class ActivationError(MambakernelsError):
    """Activating an environment failed, so its kernel would not be the environment."""


class KernelError(MambakernelsError):
    """A kernelspec cannot be written, or a kernel does not start."""


class RunError(MambakernelsError):
    """A notebook, or what it left behind, cannot be used."""


class BlasMismatchError(MambakernelsError):
    """A kernel ran another BLAS library than the one its environment was made for."""


class DownloadError(MambakernelsError):
    """A file cannot be had from where it should come; `answer` is what came instead, `status` that of HTTP, if any."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        next_step: str | None = None,
        answer: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.answer = answer or what
        self.status = status


class HashMismatchError(DownloadError):
    """What came is not what was expected: the hashes differ, and nothing of it is kept."""


class StorageError(MambakernelsError):
    """A file or folder cannot be read or written: full, read-only, not permitted."""


_ADVICE = {
    errno.ENOSPC: "Free some space there, or choose another place with {option}.",
    errno.EDQUOT: "Your quota is used up: free some space, or choose another place with {option}.",
    errno.EFBIG: "Files may not be that large there (see `ulimit -f`): choose another place with {option}.",
    errno.EROFS: "That file system is read-only: choose another place with {option}.",
    errno.EACCES: "You may not write there: choose another place with {option}.",
    errno.EPERM: "You may not write there: choose another place with {option}.",
}
ROOT_OPTION = "--root or MAMBAKERNELS_ROOT"


def from_os_error(error: OSError, *, option: str = ROOT_OPTION) -> StorageError:
    """Put an operating-system error into a sentence with its file and what to do about it.

    `option` names what chooses the place.
    """
    advice = _ADVICE.get(error.errno or 0)
    return StorageError(
        (error.strerror or str(error) or type(error).__name__) + ".",
        where=str(error.filename) if error.filename else None,
        next_step=advice.format(option=option) if advice else None,
    )


def translated(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function: an OSError, such as a full or read-only disk, becomes a StorageError with advice."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            raise from_os_error(error) from error

    return wrapper


def storage(number: int, where: str | os.PathLike[str]) -> StorageError | None:
    """Return what one of the system's numbers means for a place; None if it is not about storage."""
    return from_os_error(OSError(number, os.strerror(number), os.fspath(where))) if number in _ADVICE else None


@contextmanager
def naming(
    hidden: str | os.PathLike[str], shown: str | os.PathLike[str], *, option: str = ROOT_OPTION
) -> Iterator[None]:
    """Have errors name what is made, not the hidden place beside it where it is being made."""
    try:
        yield
    except OSError as error:
        said = from_os_error(error, option=option)
        said.where = said.where or os.fspath(shown)  # a write that fails names no file
        raise _renamed(said, os.fspath(hidden), os.fspath(shown)) from error
    except MambakernelsError as error:
        _renamed(error, os.fspath(hidden), os.fspath(shown))
        raise


def _renamed(error: MambakernelsError, hidden: str, shown: str) -> MambakernelsError:
    texts = (error.what, error.where, error.next_step)
    error.what, error.where, error.next_step = (text and text.replace(hidden, shown) for text in texts)  # type: ignore[assignment]
    return error
