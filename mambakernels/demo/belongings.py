"""What demos made and wrote: remembered under the root, so that it can be removed, and nothing else is."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mambakernels import environments, errors, kernels
from mambakernels.environments import Environment
from mambakernels.kernels import lifecycle
from mambakernels.paths import PathLike, Root, absolute, same_place, storage_errors
from mambakernels.system.files import digest, write_atomically
from mambakernels.system.locks import locked

OUTPUT = Path("mambakernels-demo")
PREFIX = "np-"
_FILE = "demo.json"


class _Record(msgspec.Struct):
    """The names of environments, and by folder each file that was written with its SHA-256."""

    environments: list[str] = msgspec.field(default_factory=list)
    folders: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Belongings:
    """What a clean-up removes, or has removed.

    `files` are those of `folder` that are as a demo wrote them; `kept` others that are there, from people or other
    programs. `elsewhere` are other folders with results of demos, which stay.
    """

    environments: tuple[str, ...]
    folder: Path
    files: tuple[Path, ...]
    kept: tuple[Path, ...]
    elsewhere: tuple[Path, ...]


def specs(blas: str) -> tuple[str, ...]:
    """Return the match specs of a demo's environment."""
    return ("python", "numpy", libblas(blas), "threadpoolctl", "ipykernel")


def libblas(blas: str) -> str:
    """Return the match spec that chooses a BLAS."""
    return f"libblas=*=*{blas}"


def remember(root: Root, *, environments: Iterable[str]) -> None:
    """Take note of environments that will be made."""
    with locked(root, "demo"):
        record = _read(root)
        record.environments = sorted({*record.environments, *environments})
        _write(root, record)


@contextmanager
def remembering(root: Root, folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Take note of the files with these names that are written to a folder meanwhile, also if that is interrupted."""
    before = {name: _state(folder / name) for name in names}
    try:
        yield
    finally:
        written = [name for name in names if (folder / name).is_file() and _state(folder / name) != before[name]]
        with locked(root, "demo"):
            record = _read(root)
            record.folders.setdefault(str(folder), {}).update({name: digest(folder / name) for name in written})
            _write(root, record)


@storage_errors
def demo_belongings(*, output: PathLike = OUTPUT, root: PathLike | None = None) -> Belongings:
    """Return what `clean_demo` would remove; nothing is changed."""
    place, folder = Root.find(root), absolute(output)
    record = _read(place)
    written = {folder / name: known for name, known in record.folders.get(str(folder), {}).items()}
    files = [path for path, known in written.items() if path.is_file() and digest(path) == known]
    others = record.folders.keys() - {str(folder)}
    return Belongings(
        environments=tuple(name for name in record.environments if _is_ours(place, name)),
        folder=folder,
        files=tuple(files),
        kept=tuple(_others(folder, files)) if written else (),
        elsewhere=tuple(sorted(Path(other) for other in others if Path(other).is_dir())),
    )


@storage_errors
def clean_demo(*, output: PathLike = OUTPUT, root: PathLike | None = None) -> Belongings:
    """Remove what demos made: environments with their kernels, and the files they wrote to `output`; return that.

    An environment that was there before stays, and so do files that a demo did not write or that were changed since.
    """
    place = Root.find(root)
    found = demo_belongings(output=output, root=place)
    for name in found.environments:
        try:
            lifecycle.remove(name, root=place)
        except errors.NotFoundError:  # removed by hand, perhaps without its kernelspecs
            prefix = place.environments / name
            kernels.unregister(*(spec.name for spec in kernels.list() if same_place(spec.prefix, prefix)))
    for file in found.files:
        file.unlink(missing_ok=True)
    _remove_empty({found.folder, *(file.parent for file in found.files)})
    with locked(place, "demo"):
        record = _read(place)
        folders = {path: files for path, files in record.folders.items() if Path(path) in found.elsewhere}
        if folders:
            _write(place, _Record(folders=folders))
        else:
            (place.path / _FILE).unlink(missing_ok=True)
    return found


def _is_ours(root: Root, name: str) -> bool:
    """Whether the environment of that name is the one that a demo made, or is gone."""
    try:
        found: Environment = environments.get(name, root)
    except errors.NotFoundError:
        return True
    return found.specs == specs(name.removeprefix(PREFIX))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _others(folder: Path, files: Collection[Path]) -> Iterator[Path]:
    """Yield the entries of a folder that are none of these files, and those of the folders that these files are in."""
    ours = {path.parent for path in files}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path in ours and not path.is_symlink():
            yield from _others(path, files)
        elif path not in files:
            yield path


def _remove_empty(folders: Iterable[Path]) -> None:
    for path in sorted(folders, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):  # other files are in it, or it is gone
            path.rmdir()


def _read(root: Root) -> _Record:
    try:
        return msgspec.json.decode((root.path / _FILE).read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return _Record()


def _write(root: Root, record: _Record) -> None:
    write_atomically(root.path / _FILE, msgspec.json.encode(record))
