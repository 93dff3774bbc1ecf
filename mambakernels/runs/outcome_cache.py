"""Outcomes of executed notebooks, read once: a hidden file in each folder keeps them for the next call.

It is only a cache. An entry counts while its notebook has the same size and modification time; a file that is damaged,
of another version or cannot be written is ignored, and deleting it changes nothing. Each writer puts a whole file in
place, so two at a time do no harm: the later one wins, and what is missing is read again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from mambakernels.errors import RunError, StorageError, from_os_error
from mambakernels.runs.outcomes import Outcome, read_outcome
from mambakernels.system.files import write_atomically

FILE = ".mambakernels-collected.json"

_WORTH_KEEPING = 50  # notebooks in one folder; fewer are read about as fast as the cache, and leave no file
_SETTLED_NANOSECONDS = 2_000_000_000  # some file systems count in steps of two seconds
_READERS = ("outcomes.py", "shown_values.py", "notebooks.py", "records.py", "../record.py")


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    size: int
    modified: int
    outcome: Outcome | None


class _Cache(msgspec.Struct, frozen=True):
    code: str
    entries: dict[str, _Entry]


_DECODER = msgspec.json.Decoder(_Cache)


def read_outcomes(files: Iterable[Path]) -> Iterator[tuple[str, Outcome]]:
    """Yield the path and the outcome of each executed notebook, folder by folder; others are left out.

    A file that cannot be read has an outcome too, with the status `unreadable`. One that is gone meanwhile has none.
    """
    folders: dict[str, list[str]] = {}
    for file in files:
        folder, name = os.path.split(file)
        folders.setdefault(folder, []).append(name)
    for folder, names in folders.items():
        yield from _in_folder(folder, names)


def _in_folder(folder: str, names: list[str]) -> Iterator[tuple[str, Outcome]]:
    known = _load(folder) if len(names) > 1 else {}
    fresh: dict[str, _Entry] = {}
    latest = time.time_ns() - _SETTLED_NANOSECONDS
    for name in names:
        path = f"{folder}/{name}"
        entry = known.get(name)
        try:
            state = os.stat(path)  # noqa: PTH116 (ten thousand times)
            if entry is None or (entry.size, entry.modified) != (state.st_size, state.st_mtime_ns):
                entry = _Entry(state.st_size, state.st_mtime_ns, _read(path))
                if state.st_mtime_ns < latest:
                    fresh[name] = entry
        except FileNotFoundError:
            continue
        if entry.outcome is not None:
            yield path, entry.outcome
    if fresh and len(names) >= _WORTH_KEEPING:
        _store(folder, known | fresh)


def _read(path: str) -> Outcome | None:
    try:
        return read_outcome(path)
    except FileNotFoundError:
        raise
    except (RunError, OSError) as error:
        known = error if isinstance(error, RunError) else from_os_error(error)
        return Outcome(notebook=Path(path).name, status="unreadable", error=known.what)


def _load(folder: str) -> dict[str, _Entry]:
    try:
        cache = _DECODER.decode(Path(folder, FILE).read_bytes())
    except (OSError, ValueError):  # not there, not readable, damaged, or of another version
        return {}
    return cache.entries if cache.code == _code() else {}


def _store(folder: str, entries: dict[str, _Entry]) -> None:
    there = set(os.listdir(folder))  # noqa: PTH208 (names)
    kept = {name: entry for name, entry in entries.items() if name in there}
    with contextlib.suppress(StorageError, OSError):  # where nobody may write, notebooks are read again
        write_atomically(Path(folder, FILE), msgspec.json.encode(_Cache(_code(), kept)))


@functools.cache
def _code() -> str:
    """Return a hash of the code that makes outcomes of notebooks, so that no other version's are used."""
    digest = hashlib.sha256()
    for name in _READERS:
        digest.update(Path(__file__).parent.joinpath(name).read_bytes())
    return digest.hexdigest()[:16]
