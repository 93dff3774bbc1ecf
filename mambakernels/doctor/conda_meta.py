"""The records of packages in `conda-meta`: only the fields that the doctor needs, as an environment has hundreds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mambakernels import errors
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

    damaged: set[Path] = field(default_factory=set)
    _known: dict[tuple[str, int], PackageRecord] = field(default_factory=dict)

    def read(self, path: Path) -> PackageRecord:
        """Return the record in a file, an empty one if it cannot be read, which is then one of the `damaged`."""
        try:
            key = (path.name, path.stat().st_size)
            if key not in self._known:
                self._known[key] = _decode(path.read_bytes())
        except (OSError, ValueError):  # msgspec's errors are ValueErrors
            self.damaged.add(path)
            return PackageRecord()
        return self._known[key]


def _decode(content: bytes) -> PackageRecord:
    fields = msgspec.json.decode(content, type=_Fields)
    return PackageRecord(tuple(_names(fields.depends)), tuple(file for file in fields.files if _is_code(file)))


def _names(specs: list[str]) -> Iterator[str]:
    for spec in specs:
        with suppress(errors.InvalidRequestError):
            yield dependency_name(spec.rpartition("::")[2])


def _is_code(file: str) -> bool:
    """Whether a package cannot be imported, or linked to, without a file."""
    name = file.rpartition("/")[2]
    return (
        (name.endswith((".py", ".so", ".pyd", ".dll", ".dylib")) or ".so." in name)
        and "/tests/" not in file
        and "/typeshed/" not in file
    )
