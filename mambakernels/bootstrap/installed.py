"""Where a micromamba of ours is: the executable, what is recorded about it, and what is not finished."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mambakernels import paths
from mambakernels.paths import Root
from mambakernels.system import files

How = Literal["known", "published", "given", "recorded"]
_VOUCHERS: dict[How, str] = {
    "known": "its SHA-256 is the one mambakernels knows",
    "published": "its SHA-256 is the one published beside it",
    "given": "its SHA-256 is the one that was given",
    "recorded": "not verified, as nobody publishes its SHA-256; it is as it was when it came from {source}",
}


@dataclass(frozen=True)
class Installed:
    """A micromamba that we put in its place, and what vouches for it.

    `verified`: its hash is in this package (`known`), was published beside it, was given by the user, or, for a local
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
        """Say in one clause who vouches for it."""
        return _VOUCHERS[self.verified].format(source=self.source)


@dataclass(frozen=True)
class Spot:
    """Where a micromamba goes, and the files beside it: its record, and what is not finished.

    One that is `carried` to another machine brings its hash along in a file of its own, as releases do.
    """

    folder: Path
    name: str
    carried: bool = False

    @classmethod
    def of(cls, root: Root, subdir: str | None = None, output: str | os.PathLike[str] | None = None) -> Spot:
        """Return the place in the root for this machine's or another's, or in a folder of the user's."""
        here = paths.machine_subdir()
        chosen = subdir or here
        ending = ".exe" if chosen.startswith("win-") else ""
        if output is not None:
            return cls(Path(output).expanduser().absolute(), f"micromamba-{chosen}{ending}", carried=True)
        folder = root.path / "bin"
        return cls(folder if chosen == here else folder / chosen, f"micromamba{ending}")

    @property
    def executable(self) -> Path:
        """The verified executable."""
        return self.folder / self.name

    @property
    def record_path(self) -> Path:
        """What is known about it."""
        return self.folder / f"{self.name}.json"

    @property
    def download(self) -> Path:
        """What came, an archive or an executable, until it has been verified."""
        return self.folder / f".{self.name}.download"

    @property
    def fresh(self) -> Path:
        """The executable until it has been verified."""
        return self.folder / f".new.{self.name}"  # Windows starts it by its ending

    def leftovers(self) -> Iterator[Path]:
        """Yield what is not finished, by whatever it was interrupted."""
        yield self.fresh
        for pattern in (f".{self.name}.*", f"..{self.name}.*"):
            yield from self.folder.glob(pattern)

    def record(self) -> Installed | None:
        """Return what is recorded about the executable, or None if nothing is that can be read."""
        try:
            content = json.loads(self.record_path.read_text(encoding="utf-8"))
            return Installed(**{**content, "path": self.executable})
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def whole(self) -> Installed | None:
        """Return what is there if it is what was recorded."""
        record = self.record()
        if record is None or not self.executable.is_file():
            return None
        return record if files.digest(self.executable) == record.sha256 else None

    def satisfying(self, *, version: str | None, sha256: str | None) -> Installed | None:
        """Return what is there if it is whole and what is asked for; None asks for nothing in particular."""
        there = self.whole()
        fits = there is not None and version in {None, there.version} and sha256 in {None, there.sha256}
        return there if fits else None

    def place(self, made: Installed) -> Installed:
        """Give the fresh executable its name. The record comes first: a stale one makes the next call repair it."""
        _write(self.record_path, json.dumps({**asdict(made), "path": self.name}, indent=2) + "\n")
        if self.carried:
            _write(self.folder / f"{self.name}.sha256", made.sha256 + "\n")
        self.fresh.replace(self.executable)
        return made


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
