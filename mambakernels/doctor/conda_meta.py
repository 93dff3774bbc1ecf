"""The records of packages in `conda-meta`, decoded as far as needed: all of an environment take 50 ms."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# In JSON, a quote inside a text is escaped: this is the key and nothing else.
_LIST = {key: re.compile(rf'"{key}":\s*(?=\[)') for key in ("files", "depends")}
_NAME = re.compile(r"[\s=<>!~\[]")


@dataclass(frozen=True)
class PackageRecord:
    """The names of the packages that a package depends on, and its files, relative to the prefix."""

    depends: tuple[str, ...]
    files: tuple[str, ...]


@dataclass
class RecordReader:
    """Reads records; a record of the same name and size in another environment is read once."""

    _known: dict[tuple[str, int], PackageRecord] = field(default_factory=dict)

    def read(self, path: Path) -> PackageRecord:
        """Return the record in a file, an empty one if it cannot be read."""
        try:
            key = (path.name, path.stat().st_size)
            if key not in self._known:
                self._known[key] = _decode(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return PackageRecord((), ())
        return self._known[key]


def _decode(text: str) -> PackageRecord:
    depends = (str(spec).rpartition("::")[2] for spec in _list(text, "depends"))
    names = (_NAME.split(spec, maxsplit=1)[0] for spec in depends)
    return PackageRecord(tuple(names), tuple(file for file in _list(text, "files") if _is_code(str(file))))


def _list(text: str, key: str) -> list[Any]:
    found = _LIST[key].search(text)
    decoded: list[Any] = json.JSONDecoder().raw_decode(text, found.end())[0] if found else []
    return decoded


def _is_code(file: str) -> bool:
    """Whether a package cannot be imported, or linked to, without a file."""
    name = file.rpartition("/")[2]
    return (
        (name.endswith((".py", ".so", ".pyd", ".dll", ".dylib")) or ".so." in name)
        and "/tests/" not in file
        and "/typeshed/" not in file
    )
