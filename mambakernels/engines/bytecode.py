"""Bytecode for packages that have none: `noarch: python` packages, and those from pip.

A package's bytecode is compiled once and kept in the package cache; environments link it, as they link all files.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process

# For fewer files, starting more processes takes longer than it saves.
_WORTH_PROCESSES = 200
# In the package cache, and removed with it.
FOLDER = ".bytecode"


def compile_packages(
    prefix: Path, records: Sequence[Mapping[str, Any]], *, final: Path, cache: Path, progress: Progress = silent
) -> None:
    """Add bytecode to the packages (records of `conda-meta`) in a prefix that have none; it will be at `final`.

    Bytecode from the cache may name the sources of another prefix; Python corrects that at import.
    """
    python = next((record for record in records if record["name"] == "python"), None)
    fresh: list[tuple[Path | None, list[str]]] = []
    for record in records:
        files = _without_bytecode(record.get("files", []), prefix)
        kept = _place(cache, python, record)
        if files and not (kept and _take(kept, prefix)):
            fresh.append((kept, files))
    compile_modules(prefix, [name for _, files in fresh for name in files], final, progress)
    for kept, files in fresh:
        if kept is not None:
            _keep(kept, prefix, files)


def compile_modules(prefix: Path, files: Sequence[str], final: Path, progress: Progress = silent) -> None:
    """Compile files (relative paths) of a prefix that will be at `final`, with the Python in it.

    A few files for the version of Python that runs this are compiled in this process, which is faster.
    """
    if not files:
        return
    progress(Event("compile", f"{len(files)} module{'s' * (len(files) != 1)}"))
    sources = [prefix / name for name in files]
    our_version = "python{}.{}".format(*sys.version_info)
    if len(sources) < _WORTH_PROCESSES and (prefix / "lib" / our_version).is_dir():
        import compileall

        for source in sources:
            compileall.compile_file(source, quiet=2, stripdir=str(prefix), prependdir=str(final))
        return
    listing = prefix / "conda-meta" / "to-compile.txt"
    listing.write_text("".join(f"{source}\n" for source in sources), encoding="utf-8")
    try:
        python = prefix / ("python.exe" if os.name == "nt" else "bin/python")
        command = [str(python), "-I", "-m", "compileall", "-qq", "-j", "0"]
        process.stream([*command, "-i", listing, "-s", prefix, "-p", final], own_session=False)
    finally:
        listing.unlink()


def _without_bytecode(files: Sequence[str], prefix: Path) -> list[str]:
    """Return a package's modules unless it has bytecode; micromamba also lists bytecode that it did not make."""
    sources = [name for name in files if name.endswith(".py") and "site-packages" in name]
    compiled = next((name for name in files if name.endswith(".pyc")), None)
    return [] if not sources or (compiled and (prefix / compiled).exists()) else sources


def _place(cache: Path, python: Mapping[str, Any] | None, package: Mapping[str, Any]) -> Path | None:
    """Return the folder for a package's bytecode for this Python; None if one of the two has no hash."""
    marks = [str(record.get("sha256") or record.get("md5") or "")[:16] for record in (python or {}, package)]
    return cache / FOLDER / "-".join(marks) if all(marks) else None


def _take(kept: Path, prefix: Path) -> bool:
    """Link kept bytecode into a prefix; return False if there is none, or it was made from other sources."""
    names = [path.relative_to(kept) for path in kept.rglob("*.pyc")]
    try:
        if not names or not _fits(kept, names[0], prefix):
            return False
        for folder in {name.parent for name in names}:
            (prefix / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            _link(kept / name, prefix / name)
    except FileNotFoundError:  # another process is replacing it at this moment
        return False
    return True


def _keep(kept: Path, prefix: Path, files: Sequence[str]) -> None:
    """Keep the bytecode of these modules, whole or not at all, and replace any that was made from other sources."""
    staged = kept.with_name(f"{kept.name}.{secrets.token_hex(4)}")
    modules = {Path(name).with_suffix("") for name in files}
    for folder in {module.parent for module in modules}:
        for compiled in (prefix / folder / "__pycache__").glob("*.pyc"):
            if folder / _module(compiled) in modules:
                target = staged / folder / "__pycache__" / compiled.name
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(compiled, target)
    if not staged.is_dir():
        return
    name = next(staged.rglob("*.pyc")).relative_to(staged)
    if kept.is_dir() and not ((kept / name).is_file() and _fits(kept, name, prefix)):
        shutil.rmtree(kept, ignore_errors=True)
    try:
        staged.rename(kept)
    except OSError:  # another process was faster
        shutil.rmtree(staged)


def _module(compiled: Path) -> str:
    return compiled.name.split(".", maxsplit=1)[0]


def _fits(kept: Path, name: Path, prefix: Path) -> bool:
    """Whether a bytecode file was made from the source in this prefix: its header has the source's time and size."""
    header = (kept / name).read_bytes()[:16]
    state = (prefix / name.parent.parent / f"{_module(name)}.py").stat()
    return header[4:] == struct.pack("<III", 0, int(state.st_mtime) & 0xFFFFFFFF, state.st_size & 0xFFFFFFFF)


def _link(source: Path, target: Path) -> None:
    """Link a file, or copy it to another file system; an existing target is left as it is."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return
    except OSError:
        shutil.copy2(source, target)
