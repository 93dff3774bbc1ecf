"""Bytecode for what came without: `noarch: python` packages, and what pip put there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mambakernels import process
from mambakernels.progress import Event, Progress, silent

# Below this many files, more processes take longer to start than they save.
_WORTH_PROCESSES = 200


def compile_packages(
    prefix: Path, records: Iterable[Mapping[str, Any]], *, final: Path, progress: Progress = silent
) -> None:
    """Compile the modules of those packages (records of `conda-meta`) that have no bytecode in a prefix.

    The prefix will be at `final`.
    """
    files = [name for record in records for name in _without_bytecode(record.get("files", []), prefix)]
    compile_modules(prefix, files, final, progress)


def compile_modules(prefix: Path, files: Sequence[str], final: Path, progress: Progress = silent) -> None:
    """Compile files (relative paths) of a prefix that will be at `final`, with its own Python.

    A few files for the very version we run are compiled right here: starting another Python takes longer.
    """
    if not files:
        return
    progress(Event("compile", f"{len(files)} modules"))
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
    """Return a package's modules unless it has bytecode; micromamba lists that also where it made none."""
    sources = [name for name in files if name.endswith(".py") and "site-packages" in name]
    compiled = next((name for name in files if name.endswith(".pyc")), None)
    return [] if not sources or (compiled and (prefix / compiled).exists()) else sources
