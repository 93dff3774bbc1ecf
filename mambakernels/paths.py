"""Every location, and the variable that overrides it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from mambakernels.errors import InvalidRequestError

ROOT_VARIABLE = "MAMBAKERNELS_ROOT"


@dataclass(frozen=True)
class Root:
    """The root prefix: where environments, package cache and channels live."""

    path: Path

    @classmethod
    def find(cls, given: str | os.PathLike[str] | None = None) -> Root:
        """Take the given folder, else `MAMBAKERNELS_ROOT`, else the platform's data folder."""
        chosen = given or os.environ.get(ROOT_VARIABLE) or _data_folder()
        try:
            return cls(Path(chosen).expanduser().absolute())
        except RuntimeError as error:  # "~" with no home to be found
            raise InvalidRequestError(
                f"There is no such home folder: {chosen}.", next_step=f"Name a folder with --root or {ROOT_VARIABLE}."
            ) from error

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
    def locks(self) -> Path:
        """Lock files; they hold no data."""
        return self.path / "locks"

    @property
    def trash(self) -> Path:
        """Where folders go at once when they are removed, before their files are deleted."""
        return self.path / ".trash"


def jupyter_data() -> Path:
    """Return the user's Jupyter data folder, where `kernels/` is (`JUPYTER_DATA_DIR`)."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir())


def notebooks() -> Path:
    """Return the folder of the lessons: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "notebooks"
    return installed if installed.is_dir() else package.parent / "notebooks"


def _data_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("mambakernels", appauthor=False))


def subdir() -> str:
    """Return conda's name for the platform this Python runs on, such as `linux-64`."""
    import platform

    system = {"linux": "linux", "darwin": "osx", "win32": "win"}.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    names = {"x86_64": "64", "amd64": "64", "arm64": "arm64", "ppc64le": "ppc64le"}
    names["aarch64"] = "aarch64" if system == "linux" else "arm64"
    return f"{system}-{names.get(machine, machine)}"
