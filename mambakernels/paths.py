"""Every location, and the option or variable that chooses it."""

from __future__ import annotations

import functools
import inspect
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from mambakernels.errors import InvalidRequestError, StorageError, from_os_error

ROOT_VARIABLE = "MAMBAKERNELS_ROOT"
PathLike = str | os.PathLike[str]
P = ParamSpec("P")
R = TypeVar("R")
_DIGITS = re.compile(r"([0-9]+)")
_OPTIONS = {
    "output": "--output",
    "prefix": "--prefix",
    "root": f"--root or {ROOT_VARIABLE}",
    "save": "--save",
    "to": "--to",
}


@dataclass(frozen=True)
class Root:
    """The root prefix: where environments, package cache and channels live."""

    path: Path

    def __fspath__(self) -> str:
        """Make a root usable wherever the path of one is."""
        return str(self.path)

    @classmethod
    def find(cls, given: PathLike | None = None) -> Root:
        """Return the given root or folder, else `MAMBAKERNELS_ROOT`, else the user's data folder."""
        if isinstance(given, Root):
            return given
        chosen = given or os.environ.get(ROOT_VARIABLE) or _data_folder()
        advice = f"Name a folder with --root or {ROOT_VARIABLE}."
        try:
            path = Path(chosen).expanduser().absolute()
        except RuntimeError as error:  # "~" with no home to be found
            raise InvalidRequestError(f"There is no such home folder: {chosen}.", next_step=advice) from error
        if any(map(os.path.isfile, (path, *path.parents))):
            raise InvalidRequestError("The root is a file, or below one.", where=str(path), next_step=advice)
        return cls(path)

    @property
    def environments(self) -> Path:
        """One folder per environment; called `envs`, as conda and micromamba do."""
        return self.path / "envs"

    @property
    def packages(self) -> Path:
        """The cache of downloaded and unpacked packages."""
        return self.path / "pkgs"

    @property
    def channels(self) -> Path:
        """Channels that are built here."""
        return self.path / "channels"

    @property
    def numeric(self) -> Path:
        """The code that kernels registered with `numeric` find next to their environment's."""
        return self.path / "numeric"

    @property
    def locks(self) -> Path:
        """Lock files; they hold no data."""
        return self.path / "locks"

    @property
    def reachability(self) -> Path:
        """The answers about what could be reached a moment ago (`system/reachable.py`)."""
        return self.path / ".reachability.json"

    @property
    def jupyter_folders(self) -> Path:
        """The list of folders that hold kernels of these environments and that Jupyter does not search."""
        return self.path / "jupyter-folders"

    @property
    def explored(self) -> Path:
        """The last measurement of each notebook's explorer."""
        return self.path / "explored"

    @property
    def trash(self) -> Path:
        """Removed folders, until their files are deleted."""
        return self.path / ".trash"


def same_place(one: Path | None, other: Path | None) -> bool:
    """Whether two paths lead to the same place, by whatever links, as a home may; it may be gone."""
    if one is None or other is None:
        return one is other
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def storage_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function: an OSError, such as a full disk, becomes a StorageError.

    Its advice names the option of the function that chooses the place where it happened.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (OSError, StorageError) as error:
            failure = error if isinstance(error, StorageError) else from_os_error(error)
            arguments = inspect.signature(function).bind(*args, **kwargs)
            arguments.apply_defaults()
            if failure.where and (option := _option_for(Path(failure.where), arguments.arguments)):
                failure.add_option(option)
            if failure is error:
                raise
            raise failure from error

    return wrapper


def _option_for(where: Path, arguments: Mapping[str, Any]) -> str | None:
    """Return the option whose place is `where`, or holds it or is below it; the innermost place counts."""
    chosen = {
        name: Root.find(arguments[name]).path if name == "root" else Path(arguments[name]).expanduser().absolute()
        for name in _OPTIONS
        if name in arguments and (name == "root" or arguments[name] is not None)
    }
    fitting = [
        name for name, place in chosen.items() if where.is_relative_to(place) or place.is_relative_to(where.absolute())
    ]
    return _OPTIONS[max(fitting, key=lambda name: len(chosen[name].parts))] if fitting else None


def path_list(paths: PathLike | Iterable[PathLike]) -> list[PathLike]:
    """Return one path or several as a list."""
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def by_numbers(path: object) -> list[str | int]:
    """Return what sorts paths as people count: `n=9` before `n=10`."""
    return [int(part) if number % 2 else part for number, part in enumerate(_DIGITS.split(str(path)))]


def absolute(path: PathLike) -> Path:
    """Return a path with the user's home and the working directory filled in; links stay."""
    return Path(path).expanduser().absolute()


def jupyter_data() -> Path:
    """Return the user's Jupyter data folder, where `kernels/` is (`JUPYTER_DATA_DIR`)."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir())


def notebooks() -> Path:
    """Return the folder of the lessons: in the installed package, or next to it in a checkout."""
    package = Path(__file__).parent
    installed = package / "notebooks"
    return installed if installed.is_dir() else package.parent / "notebooks"


@dataclass(frozen=True)
class DiskUsage:
    """The bytes of all files in a folder, and of those that no link elsewhere holds: what deleting it frees."""

    total: int
    own: int


def disk_usage(folder: Path) -> DiskUsage:
    """Return the bytes of a folder's files."""
    total = own = 0
    for here, _, names in os.walk(folder):
        for name in names:
            try:
                state = os.lstat(f"{here}/{name}")
            except FileNotFoundError:  # removed meanwhile
                continue
            if stat.S_ISREG(state.st_mode):
                total += state.st_size
                own += state.st_size if state.st_nlink == 1 else 0
    return DiskUsage(total, own)


def _data_folder() -> Path:
    import platformdirs

    if sys.platform == "darwin":
        # As micromamba: `~/Library/Application Support` has a space, which many packages cannot take in their prefix.
        from platformdirs.unix import Unix

        return Path(Unix("mambakernels", appauthor=False).user_data_dir)
    return Path(platformdirs.user_data_dir("mambakernels", appauthor=False))


def subdir() -> str:
    """Return conda's name for the platform of this Python and of environments, such as `linux-64`."""
    import platform

    return name_subdir(sys.platform, platform.machine(), bits=_pointer_bits())


def machine_subdir() -> str:
    """Return conda's name for the machine itself: another than `subdir()` for an x86 Python on an ARM Mac."""
    import platform

    return name_subdir(sys.platform, platform.machine(), bits=_pointer_bits(), translated=_is_translated())


def name_subdir(system: str, machine: str, *, bits: int = 64, translated: bool = False) -> str:
    """Name a platform as conda does, from `sys.platform`, `platform.machine()`, the pointer's size and Rosetta's flag.

    A 32-bit Python on Windows can run next to 64-bit programs, so the machine counts; on Linux it mostly means that
    nothing but the kernel has 64 bits, and no 64-bit environment would start.
    """
    family = {"linux": "linux", "darwin": "osx", "win32": "win"}.get(system, system)
    machine = "arm64" if translated else machine.lower()
    names = {"x86_64": "64", "amd64": "64", "arm64": "arm64", "i386": "32", "i686": "32", "x86": "32"}
    names["aarch64"] = "aarch64" if family == "linux" else "arm64"
    if family == "linux" and bits == 32:  # noqa: PLR2004 (bits)
        names |= {"x86_64": "32", "aarch64": "armv7l"}
    return f"{family}-{names.get(machine, machine)}"


def _pointer_bits() -> int:
    return 64 if sys.maxsize > 2**32 else 32


def _is_translated() -> bool:
    """Whether Rosetta runs this x86 Python on an ARM Mac."""
    if sys.platform != "darwin":
        return False
    import ctypes

    flag, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    found = ctypes.CDLL(None).sysctlbyname(b"sysctl.proc_translated", ctypes.byref(flag), ctypes.byref(size), None, 0)
    return found == 0 and flag.value == 1
