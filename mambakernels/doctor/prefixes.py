"""The contents of a prefix, made by any program, as far as the names of folders and files show them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from packaging.utils import canonicalize_name

from mambakernels.doctor.conda_meta import PackageRecord, RecordReader
from mambakernels.environments import Environment
from mambakernels.environments.virtual import is_virtual
from mambakernels.kernels import command_lines
from mambakernels.numeric.rules import Finding, Severity
from mambakernels.paths import Root
from mambakernels.system import quoting

_SITE = ("lib/python3*/site-packages", "Lib/site-packages")
_DIST_INFO = re.compile(r"([^/]+?)-[^/-]+\.dist-info")
_EDITABLE = "__editable__"  # a line of a path file that finds its modules by a program


@dataclass(frozen=True)
class Prefix:
    """A prefix: `environment` is our manifest's content, None if another program made it."""

    path: Path
    root: Root
    environment: Environment | None
    _reader: RecordReader = field(compare=False, repr=False, default_factory=RecordReader)

    @property
    def argument(self) -> str:
        """The argument of a command for it: its name under the root, else its path."""
        return command_lines.environment_argument(self.path, self.root) if self.environment else str(self.path)

    @property
    def name(self) -> str:
        """The environment's name: its folder's."""
        return self.path.name

    def command(self, verb: str, *words: str) -> str:
        """Return a mambakernels command on this environment, ready to be copied."""
        return f"mambakernels {quoting.join([verb, self.argument, *words])}{self.option}"

    def conda(self, verb: str, *words: str) -> str:
        """Return a command on this environment for the program that made it; they all understand conda's words."""
        if is_virtual(self.path):
            python = self.path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            return quoting.join([str(python), "-m", "pip", verb, *words])
        return quoting.join(["conda", verb, "-p", str(self.path), *words])

    @property
    def option(self) -> str:
        """The option of a command that names the root, empty if it is the default one."""
        return command_lines.root_option(self.root)

    def finding(
        self, rule: str, severity: Severity, text: str, *, why: str, remedy: str, fixable: bool = False
    ) -> Finding:
        """Return a finding about this environment."""
        return Finding(rule, severity, text, why, remedy, None, self.name, self.path, fixable)

    @cached_property
    def builds(self) -> Mapping[str, str]:
        """The build string of each package in `conda-meta`, by its name."""
        return {name: path.stem.rpartition("-")[2] for name, path in self._records.items()}

    def record(self, package: str) -> PackageRecord | None:
        """Return the record of a package; None if there is none of that name."""
        path = self._records.get(package)
        return self._reader.read(path) if path else None

    @property
    def damaged_records(self) -> list[Path]:
        """The records that could not be read, of those that were."""
        return sorted(path for path in self._reader.damaged if path.parent == self.path / "conda-meta")

    @cached_property
    def _records(self) -> Mapping[str, Path]:
        paths = (self.path / "conda-meta" / name for name in names_in(self.path / "conda-meta"))
        return {path.name.rsplit("-", 2)[0]: path for path in paths if path.suffix == ".json" and path.name[0] != "."}

    @cached_property
    def site(self) -> Path | None:
        """The folder of its Python packages; None if there is no Python."""
        if not os.access(self.path, os.R_OK | os.X_OK):
            return None
        return next((path for pattern in _SITE for path in sorted(self.path.glob(pattern))), None)

    @cached_property
    def python(self) -> str:
        """The version of its Python, as `3.12`, from its folder's name."""
        found = re.search(r"python(3\.\d+)", str(self.site.parent.name)) if self.site else None
        return found[1] if found else ""

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """The folders in which its Python looks for modules: packages, those of path files, the standard library."""
        if self.site is None:
            return ()
        return (self.site, *(self.site / line for line in self._path_lines if not line.startswith("import")),
                self.site.parent, self.site.parent / "lib-dynload")  # fmt: skip

    @property
    def is_open(self) -> bool:
        """Whether a path file finds modules by a program, so that only running it shows which there are."""
        return any(_EDITABLE in line for line in self._path_lines)

    @cached_property
    def _path_lines(self) -> tuple[str, ...]:
        return tuple(_path_lines(self.site)) if self.site else ()

    @cached_property
    def distributions(self) -> Mapping[str, Path]:
        """The folder with the metadata of each Python package, by its normalised name."""
        return {name: path for folder in reversed(self.folders) for name, path in distributions(folder).items()}


def distributions(folder: Path) -> dict[str, Path]:
    """Return the `dist-info` of each Python package in a folder, by its normalised name."""
    found = ((match, name) for name in names_in(folder) if (match := _DIST_INFO.fullmatch(name)))
    return {canonicalize_name(match[1]): folder / name for match, name in found}


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, in the order of reading; none if it cannot be read."""
    try:
        return os.listdir(folder)  # noqa: PTH208 (a hundred environments: a Path for each file takes as long as all)
    except OSError:
        return []


def _path_lines(site: Path) -> Iterator[str]:
    for name in names_in(site):
        if name.endswith(".pth"):
            text = (site / name).read_text(encoding="utf-8", errors="replace")
            yield from (line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def shortened(names: list[str], most: int) -> str:
    """Write names as a list with commas, and how many more there are than `most`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
