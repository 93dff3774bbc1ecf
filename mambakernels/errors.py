"""Every error a user can meet: one root, few leaves, each with what is wrong, where, and what to do next."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager


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
    """The engine failed."""


class SolveError(EngineError):
    """No set of packages satisfies the request; `what` carries the solver's explanation."""


class ChannelError(MambakernelsError):
    """A channel cannot be reached, read or built."""


class ActivationError(MambakernelsError):
    """Activating an environment failed, so a kernel of it would lack what activation sets."""


class KernelError(MambakernelsError):
    """A kernelspec cannot be written, or a kernel does not start."""


class RunError(MambakernelsError):
    """A notebook, its record or its results cannot be used."""


class BlasMismatchError(MambakernelsError):
    """A kernel ran another BLAS library than the one its environment was made for."""


class DownloadError(MambakernelsError):
    """A file cannot be downloaded; `answer` is what came instead of it, `status` the HTTP status, if any."""

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
    """A download does not have the expected hash, and was not kept."""


class StorageError(MambakernelsError):
    """A file or folder cannot be read or written: full, read-only, not permitted."""

    option: str | None = None

    def add_option(self, option: str) -> None:
        """Add to the advice which option chooses another place; the first one that is added counts."""
        if self.option is None:
            self.option = option
            first = f"{self.next_step.removesuffix('.')}, or choose" if self.next_step else "Choose"
            self.next_step = f"{first} another place with {option}."


OTHER_CHANNEL = "Check its address, or name another; --channel wheels takes the packages from a Python package index."

_ADVICE = {
    errno.ENOSPC: "Free some space there.",
    errno.EDQUOT: "Your quota is used up: free some space.",
    errno.EFBIG: "Raise the limit on the size of files (see `ulimit -f`).",
    errno.EROFS: "Make that file system writable.",
    errno.EACCES: "Get permission for that place.",
    errno.EPERM: "Get permission for that place.",
}


def from_os_error(error: OSError) -> StorageError:
    """Put an operating-system error into a sentence with its file and advice."""
    return StorageError(
        (error.strerror or str(error) or type(error).__name__) + ".",
        where=str(error.filename) if error.filename else None,
        next_step=_ADVICE.get(error.errno or 0),
    )


def storage(number: int, where: str | os.PathLike[str]) -> StorageError | None:
    """Return the error for one of the system's error numbers at a place; None if it is not about storage."""
    return from_os_error(OSError(number, os.strerror(number), os.fspath(where))) if number in _ADVICE else None


@contextmanager
def naming(hidden: str | os.PathLike[str], shown: str | os.PathLike[str]) -> Iterator[None]:
    """Make errors name the place where something will be, instead of the hidden place where it is being made."""
    try:
        yield
    except OSError as error:
        said = from_os_error(error)
        said.where = said.where or os.fspath(shown)  # a write that fails names no file
        raise _renamed(said, os.fspath(hidden), os.fspath(shown)) from error
    except MambakernelsError as error:
        _renamed(error, os.fspath(hidden), os.fspath(shown))
        raise


def _renamed(error: MambakernelsError, hidden: str, shown: str) -> MambakernelsError:
    error.what = error.what.replace(hidden, shown)
    error.where = error.where and error.where.replace(hidden, shown)
    error.next_step = error.next_step and error.next_step.replace(hidden, shown)
    return error
