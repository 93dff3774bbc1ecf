"""The records of packages in `conda-meta`: only the fields that the doctor needs, as an environment has hundreds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mambakernels.engines.match_spec import dependency_name


class _Fields(msgspec.Struct):
    depends: list[str] = []
    files: list[str] = []


@dataclass(frozen=True)
class PackageRecord:
    """The names of the packages that a package depends on, and its files of code, relative to the prefix."""

    depends: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass
class RecordReader:
    """Reads records; a record of the same name and size in another environment is read once."""

    _known: dict[tuple[str, int], PackageRecord] = field(default_factory=dict)

    def read(self, path: Path) -> PackageRecord:
        """Return the record in a file, an empty one if it cannot be read."""
        try:
            key = (path.name, path.stat().st_size)
            if key not in self._known:
                self._known[key] = _decode(path.read_bytes())
        except (OSError, ValueError):  # msgspec's errors are ValueErrors
            return PackageRecord()
        return self._known[key]


def _decode(content: bytes) -> PackageRecord:
    fields = msgspec.json.decode(content, type=_Fields)
    names = (dependency_name(spec.rpartition("::")[2]) for spec in fields.depends)
    return PackageRecord(tuple(names), tuple(file for file in fields.files if _is_code(file)))


def _is_code(file: str) -> bool:
    """Whether a package cannot be imported, or linked to, without a file."""
    name = file.rpartition("/")[2]
    return (
        (name.endswith((".py", ".so", ".pyd", ".dll", ".dylib")) or ".so." in name)
        and "/tests/" not in file
        and "/typeshed/" not in file
    )
