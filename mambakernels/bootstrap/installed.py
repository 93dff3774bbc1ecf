"""An installed micromamba: where its executable is, and the record of its version, hash and source."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mambakernels import errors, paths
from mambakernels.paths import Root
from mambakernels.system import files

How = Literal["known", "published", "given", "recorded"]
_VOUCHERS: dict[How, str] = {
    "known": "its SHA-256 is the one mambakernels knows",
    "published": "its SHA-256 is the one published with it",
    "given": "its SHA-256 is the one that was given",
    "recorded": "not verified, as nobody publishes its SHA-256; unchanged since it came from {source}",
}


@dataclass(frozen=True)
class Installed:
    """A micromamba that we installed, and what vouches for it.

    `verified`: its hash is in this package (`known`), was published with it, was given by the user, or, for a local
    file only, was only recorded when it was installed. `path` is the executable.
    """

    path: Path
    version: str
    subdir: str
    sha256: str
    source: str
    verified: How

    @property
    def voucher(self) -> str:
        """What vouches for it, in one clause."""
        return _VOUCHERS[self.verified].format(source=self.source)


@dataclass(frozen=True)
class Destination:
    """The place of a micromamba: its executable, and next to it the record and a hidden folder to make it in.

    A `portable` one is for another machine and has its hash in a file next to it, as releases have.
    """

    folder: Path
    name: str
    portable: bool = False

    @classmethod
    def of(cls, root: Root, subdir: str | None = None, output: str | os.PathLike[str] | None = None) -> Destination:
        """Return the place in the root, or in the folder `output`, for this machine's subdir or another."""
        here = paths.machine_subdir()
        chosen = subdir or here
        ending = ".exe" if chosen.startswith("win-") else ""
        if output is not None:
            return cls(Path(output).expanduser().absolute(), f"micromamba-{chosen}{ending}", portable=True)
        folder = root.path / "bin"
        return cls(folder if chosen == here else folder / chosen, f"micromamba{ending}")

    @property
    def executable(self) -> Path:
        """The verified executable."""
        return self.folder / self.name

    @property
    def record_path(self) -> Path:
        """The record of it."""
        return self.folder / f"{self.name}.json"

    @property
    def staging(self) -> Path:
        """The folder for unverified files; a killed process leaves it behind."""
        return self.folder / f".{self.name}.new"

    def record(self) -> Installed | None:
        """Return the record of the executable, or None if there is none that can be read."""
        try:
            content = json.loads(self.record_path.read_text(encoding="utf-8"))
            return Installed(**{**content, "path": self.executable})
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def whole(self) -> Installed | None:
        """Return the micromamba that is there, if it is as recorded."""
        record = self.record()
        if record is None or not self.executable.is_file():
            return None
        return record if files.digest(self.executable) == record.sha256 else None

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield an empty folder to make a micromamba in, for one process at a time; remove it afterwards."""
        with errors.naming(self.staging, self.executable):
            shutil.rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir(parents=True)
            try:
                yield self.staging
            finally:
                shutil.rmtree(self.staging)

    def put(self, fresh: Path, made: Installed) -> None:
        """Give an executable its name. The record comes first: with a stale one, the next call installs it again."""
        record = json.dumps({**asdict(made), "path": self.name}, indent=2) + "\n"
        files.write_atomically(self.record_path, record)
        if self.portable:
            files.write_atomically(self.folder / f"{self.name}.sha256", made.sha256 + "\n")
        fresh.replace(self.executable)
