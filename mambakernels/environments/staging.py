"""Staged folders: an environment is made in a hidden folder next to its prefix, then put there by a rename.

A killed process leaves hidden folders only. Between the two renames of a change, `environment.recover` undoes it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mambakernels import engines, errors
from mambakernels.engines import Engine, Package
from mambakernels.engines.bytecode import compile_modules
from mambakernels.environments.environment import (
    MANIFEST,
    Environment,
    Location,
    read_environment,
    recover,
    write_manifest,
)
from mambakernels.paths import Root, same_place
from mambakernels.system.files import remove_tree
from mambakernels.system.locks import locked, nobody_using_packages

_SHARED, _OPEN_EXISTING, _SHARING_VIOLATION = 7, 3, 32  # of Windows' CreateFile
# Files that the engines and mambakernels itself leave in a prefix.
_OURS = frozenset({MANIFEST, "CACHEDIR.TAG", ".mambarc", "conda-meta/history"})
_RECORD = Path(__file__).parents[1] / "record.py"
# The end of a prefix, as opposed to the beginning of another prefix with a longer name.
_END_OF_NAME = rb"(?![\w-]|\.\w)"
_DIST_INFO = re.compile(r"(.+/)?site-packages/([^/]+?)-[^/-]+\.dist-info/METADATA")


@contextmanager
def staged(place: Location) -> Iterator[Path]:
    """Yield a hidden path next to the prefix, on the same file system; it is always removed at the end."""
    folder = place.prefix.with_name(f".{place.name}.{secrets.token_hex(4)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with errors.naming(folder, place.prefix):
            yield folder
    finally:
        remove_tree(folder, ignore_errors=True)


def check_unused(place: Location) -> None:
    """Raise InvalidRequestError where Windows could not move or delete an environment: a program in it is running."""
    if sys.platform != "win32":
        return
    for folder in ("", "Scripts", "Library/bin", "lib/R/bin/x64"):
        for program in (place.prefix / folder).glob("*.exe"):
            if _is_running(program):
                raise errors.InvalidRequestError(
                    f"The environment {place.name!r} is in use: {program.name} in it is running.",
                    where=str(program),
                    next_step="Shut down its kernels and end its other programs, then try again. Nothing was changed.",
                )


def _is_running(program: Path) -> bool:
    """Whether Windows forbids to write to a program because a process runs it."""
    if sys.platform == "win32":
        import _winapi

        try:
            # not open(), whose error does not say why
            handle = _winapi.CreateFile(str(program), _winapi.GENERIC_WRITE, _SHARED, 0, _OPEN_EXISTING, 0, 0)
        except OSError as error:
            return error.winerror == _SHARING_VIOLATION
        _winapi.CloseHandle(handle)
    return False


def replace(folder: Path, place: Location) -> None:
    """Put a folder in the place of an environment, and discard the earlier one."""
    old = place.prefix.with_name(f".{place.name}.{secrets.token_hex(4)}.old")
    try:
        place.prefix.rename(old)
        folder.rename(place.prefix)
    finally:  # also after Ctrl-C between any two of these
        if not place.prefix.exists():
            old.rename(place.prefix)
        elif old.exists():
            discard_folder(old, place.root)


def settle(folder: Path, made: Environment, engine: Engine) -> Environment:
    """Complete a staged folder, put it in its place, and return the environment that is now there.

    It gets its manifest, and if it has Python, the file that defines `mambakernels.record`.
    """
    _add_record(folder, made.prefix)
    write_manifest(folder, made, engine)
    if made.prefix.exists():
        replace(folder, made.place)
    else:
        folder.rename(made.prefix)
    recover(made.place)  # what the engine of a killed process was still writing when this began
    found = read_environment(made.place)
    assert found is not None
    return found


def _add_record(folder: Path, final: Path) -> None:
    """Copy `mambakernels.record`, one file that needs nothing else, unless the whole of mambakernels is installed."""
    for site in (*folder.glob("lib/python3*/site-packages"), *folder.glob("Lib/site-packages")):
        target = site / "mambakernels" / _RECORD.name
        if site.parent.is_symlink() or (target.with_name("__init__.py").exists() and target.exists()):
            continue
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)  # a link to the file of the environment that this one replaces
        shutil.copyfile(_RECORD, target)
        compile_modules(folder, [target.relative_to(folder).as_posix()], final)


def discard_folder(folder: Path, root: Root) -> None:
    """Move a folder to the trash of its file system in one step, then delete its files."""
    here = folder.is_relative_to(root.path) and folder.parent.stat().st_dev == root.path.stat().st_dev
    trash = root.trash if here else folder.parent / root.trash.name
    with locked(root, "trash"):
        trash.mkdir(parents=True, exist_ok=True)
        folder.rename(trash / f"{folder.name.strip('.')}.{secrets.token_hex(4)}")
        for left in trash.iterdir():  # also those of a process that was killed
            remove_tree(left)
        if trash != root.trash:
            trash.rmdir()


def forget_unpacked(packages: Sequence[Package], root: Root) -> None:
    """Take packages out of the cache, so that they are unpacked again; environments keep their files."""
    if not packages:
        return
    with nobody_using_packages(root):
        for package in packages:
            for folder in root.packages.rglob(f"{package.name}-{package.version}-{package.build}*"):
                remove_tree(folder) if folder.is_dir() else folder.unlink()


def forget_half_unpacked(root: Root) -> None:
    """Delete packages that a stopped engine has half unpacked; no process may be using the cache."""
    for folder in root.packages.glob(".*-*-*"):
        if folder.is_dir() and not folder.is_symlink():
            remove_tree(folder, ignore_errors=True)


def carry_over(old: Environment, folder: Path, place: Location) -> None:
    """Carry over the files that no package brought: the user's, and packages that pip installed.

    They are linked, not copied, if the old folder goes. For another prefix, scripts and links are rewritten.
    """
    goes = same_place(old.prefix, place.prefix)
    brought = [name for name in _unowned(old.prefix) if not os.path.lexists(folder / name)]
    for name in brought:
        source, target = old.prefix / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(_moved(source.readlink(), old.prefix, place.prefix))
        elif source.is_dir():
            target.mkdir(exist_ok=True)
        elif goes:
            target.hardlink_to(source)
        else:
            shutil.copy2(source, target)
    if not goes:
        rewrite(folder, brought, old.prefix, place.prefix)


def _moved(target: Path, before: Path, after: Path) -> Path:
    """Return the target of a link after its prefix has moved."""
    return after / target.relative_to(before) if target.is_relative_to(before) else target


def pip_installed(prefix: Path) -> dict[str, str]:
    """Return the packages that pip, not an engine, installed in a prefix: normalized name and folder."""
    from packaging.utils import canonicalize_name

    found = (match for name in _unowned(prefix) if (match := _DIST_INFO.fullmatch(name)))
    return {canonicalize_name(match[2]): match[0].rpartition("/")[0] for match in found}


def check_carriable(old: Environment, names: Sequence[str]) -> None:
    """Raise InvalidRequestError if pip replaced a package that an engine manages."""
    from packaging.utils import canonicalize_name

    clashing = sorted(pip_installed(old.prefix).keys() & {canonicalize_name(name) for name in names})
    if clashing:
        raise errors.InvalidRequestError(
            f"pip replaced conda packages of {old.name!r}: {', '.join(clashing)}.",
            where=str(old.prefix),
            next_step="Undo that: "
            f"mambakernels exec {old.place.argument} -- python -m pip uninstall {' '.join(clashing)}",
        )


def rewrite(folder: Path, names: Sequence[str], before: Path, after: Path) -> None:
    """Replace a prefix in the text files of a folder that name it: scripts, path files, pip's records."""
    old, new = os.fsencode(before), os.fsencode(after)
    for name in names:
        path = folder / name
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if old in content and b"\0" not in content:
            mode = path.stat().st_mode
            path.unlink()  # another environment may link the same file
            path.write_bytes(re.sub(re.escape(old) + _END_OF_NAME, lambda _: new, content))
            path.chmod(mode)


def compile_new(folder: Path, names: Sequence[str], place: Location) -> None:
    """Compile the modules among the new files of a folder whose prefix will be that of the location."""
    sources = [name for name in names if name.endswith(".py") and "site-packages/" in name]
    compile_modules(folder, sources, place.prefix)


def files_in(prefix: Path) -> list[str]:
    """Return all files, links and empty folders, relative to the prefix."""
    found: list[str] = []
    for here, folders, files in os.walk(prefix):
        folders[:] = [name for name in folders if name != "__pycache__"]
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        relative = os.path.relpath(here, prefix)
        found += [os.path.normpath(f"{relative}/{name}") for name in (*files, *links)]
        if not folders and not files and relative != ".":
            found.append(relative)
    return found


def _unowned(prefix: Path) -> list[str]:
    """Return the files that no package brought, without bytecode in `__pycache__`."""
    owned: set[str] = set(_OURS)
    for path in engines.record_files(prefix):
        owned.add(f"conda-meta/{path.name}")
        with suppress(errors.EngineError):  # a damaged record: what its package brought is linked again
            owned.update(engines.read_record(path).get("files", []))
    return sorted(name for name in files_in(prefix) if name not in owned)
