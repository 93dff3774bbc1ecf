"""Outcomes of executed notebooks, read once: a hidden file next to them keeps them for the next call.

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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from mambakernels.errors import MambakernelsError, from_os_error
from mambakernels.paths import PathLike
from mambakernels.progress import Event, Progress, silent
from mambakernels.runs import outputs
from mambakernels.runs.notebooks import notebook_files, nothing_there
from mambakernels.runs.outcomes import Outcome, outcome_of
from mambakernels.runs.outputs import Place, RemotePath

FILE = ".mambakernels-collected.json"

_WORTH_KEEPING = 50  # notebooks in one folder; fewer are read about as fast as the cache, and leave no file
_SETTLED_NANOSECONDS = 2_000_000_000  # some file systems count in steps of two seconds
_REPORTED = 500  # notebooks between two reports
_AT_ONCE = 100  # files of an address that are read side by side
_READERS = ("outcomes.py", "shown_values.py", "notebooks.py", "records.py", "../record.py")


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    size: int
    modified: int | str
    outcome: Outcome | None


class _Cache(msgspec.Struct, frozen=True):
    code: str
    entries: dict[str, _Entry]


_DECODER = msgspec.json.Decoder(_Cache)
_State = tuple[int, int | str]


class _Folder(Protocol):
    """Notebooks in one folder, and where their outcomes are kept."""

    @property
    def cache(self) -> Place: ...

    def states(self) -> dict[str, _State]:
        """Return the size and the modification time of each notebook that is there, by name."""
        ...

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, bytes | OSError]]:
        """Yield the content of each of these notebooks, or why it cannot be read."""
        ...

    def address(self, name: str) -> str: ...

    def names_there(self) -> set[str]:
        """Return the names of all notebooks in the folder, also of those that were not asked for."""
        ...


def read_outcomes(paths: Iterable[PathLike], progress: Progress = silent) -> Iterator[tuple[str, Outcome]]:
    """Yield the path and the outcome of each executed notebook, folder by folder; others are left out.

    The paths are as for `notebook_files`, or addresses of folders and notebooks. A file that cannot be read has an
    outcome too, with the status `unreadable`. One that is gone meanwhile has none. `progress` hears of many files.
    """
    places = [outputs.place(path) for path in paths]
    addresses = [place for place in places if isinstance(place, RemotePath)]
    folders: dict[str, _LocalFolder] = {}
    for file in notebook_files(place for place in places if isinstance(place, Path)):
        path, name = os.path.split(file)
        folders.setdefault(path, _LocalFolder(path)).names.append(name)
    found: list[_Folder] = [*folders.values(), *map(_remote, addresses)]
    for folder in found:
        yield from _in_folder(folder, progress)


def _in_folder(folder: _Folder, progress: Progress) -> Iterator[tuple[str, Outcome]]:
    states = folder.states()
    known = _load(folder.cache) if len(states) > 1 else {}
    found = {name: known[name] for name, state in states.items() if name in known and _state(known[name]) == state}
    begin = time.time_ns()
    missing = [name for name in states if name not in found]
    fresh = {}
    for number, (name, content) in enumerate(folder.read(missing), start=1):
        if number % _REPORTED == 0:
            progress(Event("read", folder.address("").rstrip("/"), number, len(missing)))
        if not isinstance(content, FileNotFoundError):
            fresh[name] = _Entry(*states[name], _outcome(content, folder.address(name)))
    for name in states:
        entry = found.get(name) or fresh.get(name)
        if entry is not None and entry.outcome is not None:
            yield folder.address(name), entry.outcome
    lasting = {name: entry for name, entry in fresh.items() if _is_settled(entry, begin)}
    if lasting and len(states) >= _WORTH_KEEPING:
        there = folder.names_there()
        _store(folder.cache, {name: entry for name, entry in (known | lasting).items() if name in there})


def _state(entry: _Entry) -> _State:
    return entry.size, entry.modified


def _is_settled(entry: _Entry, now: int) -> bool:
    """Whether no other notebook can have the same size and time: those of object stores have a hash among these."""
    if entry.outcome is not None and entry.outcome.status in {"running", "unreadable"}:
        return False
    return isinstance(entry.modified, str) or entry.modified < now - _SETTLED_NANOSECONDS


def _outcome(content: bytes | OSError, address: str) -> Outcome | None:
    try:
        if isinstance(content, OSError):
            raise from_os_error(content)
        return outcome_of(content, address)
    except MambakernelsError as error:
        return Outcome(notebook=address.rpartition("/")[2], status="unreadable", error=error.what)


@dataclass
class _LocalFolder:
    """Some or all notebooks of a folder of this machine."""

    path: str
    names: list[str] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        return Path(self.path, FILE)

    def states(self) -> dict[str, _State]:
        found: dict[str, _State] = {}
        for name in self.names:
            with contextlib.suppress(OSError):
                state = os.stat(self.address(name))  # noqa: PTH116 (ten thousand times)
                found[name] = (state.st_size, state.st_mtime_ns)
        return found

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, bytes | OSError]]:
        for name in names:
            try:
                with open(self.address(name), "rb") as stream:  # noqa: PTH123 (a Path takes as long as decoding)
                    yield name, stream.read()
            except OSError as error:
                yield name, error

    def address(self, name: str) -> str:
        return f"{self.path}/{name}"

    def names_there(self) -> set[str]:
        return set(os.listdir(self.path))  # noqa: PTH208 (names)


@dataclass
class _RemoteFolder:
    """All notebooks at an address and below it."""

    folder: RemotePath

    @property
    def cache(self) -> RemotePath:
        return self.folder / FILE

    def states(self) -> dict[str, _State]:
        base = f"{str(self.folder).rstrip('/')}/"
        listed = outputs.entries(self.folder)
        return {str(entry.place).removeprefix(base): (entry.size, entry.modified) for entry in listed}

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, bytes | OSError]]:
        waiting = iter(names)
        while batch := list(islice(waiting, _AT_ONCE)):
            yield from zip(batch, outputs.read_all([self.folder / name for name in batch]), strict=True)

    def address(self, name: str) -> str:
        return str(self.folder / name)

    def names_there(self) -> set[str]:
        return set(self.states())


@dataclass
class _RemoteNotebook(_RemoteFolder):
    """One notebook at an address."""

    name: str

    def states(self) -> dict[str, _State]:
        return {name: state for name, state in super().states().items() if name == self.name}


def _remote(address: RemotePath) -> _RemoteFolder:
    found = _RemoteNotebook(address.parent, address.name) if address.name.endswith(".ipynb") else _RemoteFolder(address)
    if not found.states():
        raise nothing_there(address)
    return found


def _load(cache: Place) -> dict[str, _Entry]:
    try:
        content = _DECODER.decode(cache.read_bytes())
    except (OSError, ValueError):  # not there, not readable, damaged, or of another version
        return {}
    return content.entries if content.code == _code() else {}


def _store(cache: Place, entries: dict[str, _Entry]) -> None:
    content = msgspec.json.encode(_Cache(_code(), entries))
    with contextlib.suppress(MambakernelsError, OSError):  # where nobody may write, notebooks are read again
        outputs.write(cache, content)


@functools.cache
def _code() -> str:
    """Return a hash of the code that makes outcomes of notebooks, so that no other version's are used."""
    digest = hashlib.sha256()
    for name in _READERS:
        digest.update(Path(__file__).parent.joinpath(name).read_bytes())
    return digest.hexdigest()[:16]
