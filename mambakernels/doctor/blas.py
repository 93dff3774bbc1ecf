"""Checks of the libraries under NumPy, as files tell: the BLAS that was asked for, and OpenMP brought twice."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mambakernels.doctor.findings import Finding
from mambakernels.doctor.look import Look
from mambakernels.doctor.prefixes import Prefix, names_in
from mambakernels.engines import match_spec

_MODULES = ("numpy/_core/_multiarray_umath", "numpy/core/_multiarray_umath")
_ELF = b"\x7fELF"
_BLAS_LIBRARY = re.compile(r"lib\w*(mkl_rt|blas|blis|armpl|flexiblas)")
_OPENMP = re.compile(r"lib(gomp|iomp5|omp)\b")


@dataclass(frozen=True)
class Wanted:
    """What an environment was made for: a pattern of libblas' build string, and its last word."""

    pattern: str

    @property
    def name(self) -> str:
        """What the BLAS is called."""
        return self.pattern.rpartition("_")[2].strip("*")


def check(look: Look) -> Iterator[Finding]:
    """Say which environments have another BLAS than they were made for, and which bring OpenMP twice."""
    files: dict[tuple[int, int], list[str]] = {}
    for prefix in look.prefixes:
        yield from _requested(prefix) or _linked(prefix, files)
        yield from _openmp(prefix)


def wanted(prefix: Prefix) -> Wanted | None:
    """Return which BLAS an environment was asked to have, else which one it was made with."""
    made = prefix.environment
    specs = map(match_spec.read, made.specs if made else ())
    asked = [spec.build for spec in specs if spec.name == "libblas" and spec.build]
    if asked:
        return Wanted(asked[-1])
    build = made.package("libblas") if made else None
    found = build.build if build else prefix.builds.get("libblas")
    return Wanted(f"*_{found.rpartition('_')[2]}") if found else None


def _requested(prefix: Prefix) -> list[Finding]:
    """Compare with the package that `conda-meta` has."""
    want, build = wanted(prefix), prefix.builds.get("libblas")
    if prefix.environment is None or want is None or (build and fnmatch.fnmatchcase(build, want.pattern)):
        return []
    there = f"libblas has the build {build}" if build else "there is no libblas"
    return [mismatch(prefix, want, f"It was made for {want.pattern.strip('*_')}, and {there}.")]


def _linked(prefix: Prefix, known: dict[tuple[int, int], list[str]]) -> list[Finding]:
    """Compare with the library that NumPy's own module loads."""
    want, module = wanted(prefix), _module(prefix)
    needed = _blas_needed(module, known) if want and module else None
    if want is None or module is None or needed is None or not prefix.site:
        return []
    places = (prefix.site / "numpy.libs" / needed, prefix.path / "lib" / needed)
    file = next((place for place in places if place.exists()), None)
    if file is None:
        return [_lost(prefix, needed)]
    found = _vendor(file)
    if found is None or fnmatch.fnmatchcase(f"0_{found}", want.pattern) or want.name.endswith(found):
        return []
    bundled = file.parent != prefix.path / "lib"
    what = f"It was made for {want.name}, and NumPy runs on {found}: {Path(os.path.realpath(file))}."
    return [mismatch(prefix, want, what, numpy_of_pip=bundled)]


def mismatch(prefix: Prefix, want: Wanted, what: str, *, numpy_of_pip: bool = False) -> Finding:
    """Return the finding that another BLAS runs than the one an environment was made for."""
    spec, ours = f"libblas=*={want.pattern}", prefix.environment is not None
    remedy = prefix.command("install", spec) if ours else prefix.conda("install", spec)
    if numpy_of_pip:
        pip = prefix.command("exec", "--", "python", "-m", "pip", "uninstall", "-y", "numpy")
        remedy = f"{pip} && {_reinstall(prefix)}"
    why = "What is measured there is not what its name says." + (
        " A NumPy that pip installed brings a BLAS of its own." if numpy_of_pip else ""
    )
    return Finding("blas", "error", None, prefix.name, prefix.path, what, why, remedy)


def _lost(prefix: Prefix, library: str) -> Finding:
    what = f"NumPy needs {library}, and it is not there."
    return Finding("blas", "error", None, prefix.name, prefix.path, what, "`import numpy` fails.", _reinstall(prefix))


def _reinstall(prefix: Prefix) -> str:
    if prefix.environment is not None:
        return prefix.command("verify", "--repair")
    return prefix.conda("install", "--force-reinstall", "numpy")


def _module(prefix: Prefix) -> Path | None:
    """Return NumPy's extension module that calls the BLAS."""
    if prefix.site is None:
        return None
    folders = ((prefix.site / stem).parent for stem in _MODULES)
    found = (folder.glob("_multiarray_umath.*.so") for folder in folders if folder.is_dir())
    return next((file for files in found for file in files), None)


def _blas_needed(module: Path, known: dict[tuple[int, int], list[str]]) -> str | None:
    """Return the BLAS library that a module asks the loader for; None if it holds its own, or is of another system."""
    state = module.stat()
    key = (state.st_dev, state.st_ino)  # the same file in many environments
    if key not in known:
        known[key] = _needed(module)
    return next((name for name in known[key] if _BLAS_LIBRARY.match(name) and "lapack" not in name), None)


def _needed(module: Path) -> list[str]:
    from mambakernels.channels import elf

    with module.open("rb") as stream:
        is_elf = stream.read(4) == _ELF
    return elf.needed(module) if is_elf else []


def _vendor(file: Path) -> str | None:
    """Tell whose BLAS a file is by the name of what its links lead to."""
    from mambakernels.numeric.libraries import NETLIB, VENDORS

    real = os.path.realpath(file)
    return next((vendor.name for vendor in (*VENDORS, NETLIB) if vendor.path.search(real)), None)


def _openmp(prefix: Prefix) -> Iterator[Finding]:
    if prefix.site is None:
        return
    brought = sorted(
        f"{folder}/{name}"
        for folder in names_in(prefix.site)
        if folder.endswith(".libs")
        for name in names_in(prefix.site / folder)
        if _OPENMP.match(name)
    )
    own = sorted(name for name in names_in(prefix.path / "lib") if _OPENMP.match(name))
    if brought and own:
        yield Finding(
            "openmp",
            "note",
            None,
            prefix.name,
            prefix.path,
            f"Wheels bring OpenMP runtimes next to the environment's {own[0]}: {', '.join(brought)}.",
            "Two of them in one process fight for the cores, and may hang or crash. Whether both are loaded shows "
            "when the kernel runs.",
            f"mambakernels doctor {shlex.quote(prefix.name)}{prefix.option}",
        )
