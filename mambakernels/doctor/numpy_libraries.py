"""Checks of the libraries under NumPy, as files show them: the requested BLAS, and OpenMP brought twice."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mambakernels import errors
from mambakernels.doctor.prefixes import Prefix, names_in
from mambakernels.doctor.survey import Survey
from mambakernels.engines import match_spec
from mambakernels.environments.environment import blas_of_build
from mambakernels.kernels.blas import TITLES
from mambakernels.numeric.rules import OPENMP_WHY, RULES, Finding, other_library
from mambakernels.system import quoting

_MODULES = ("numpy/_core/_multiarray_umath", "numpy/core/_multiarray_umath")
_ELF = b"\x7fELF"
_BLAS_LIBRARY = re.compile(r"lib\w*(mkl_rt|blas|blis|armpl|flexiblas)")
_OPENMP = re.compile(r"lib(gomp|iomp5|omp)\b")


def check_libraries(survey: Survey) -> Iterator[Finding]:
    """Yield environments that have another BLAS than they were made for, and those that bring OpenMP twice."""
    needed: dict[tuple[int, int], list[str]] = {}
    for prefix in survey.prefixes:
        yield from _requested(prefix) or _linked(prefix, needed)
        yield from _openmp(prefix)


def wanted_build(prefix: Prefix) -> str | None:
    """Return the pattern of libblas' build string that an environment was asked to have, else was made with."""
    made = prefix.environment
    asked = [build for spec in (made.specs if made else ()) if (build := _libblas_build(spec))]
    if asked:
        return asked[-1]
    package = made.package("libblas") if made else None
    found = package.build if package else prefix.builds.get("libblas")
    return f"*_{found.rpartition('_')[2]}" if found else None


def blas_name(build: str) -> str:
    """Return the BLAS in a pattern of libblas' build string."""
    return blas_of_build(build.strip("*"))


def fits(name: str, build: str) -> bool:
    """Whether a BLAS is the one in a pattern of libblas' build string, or the pattern names none that is known."""
    wanted = blas_name(build)
    return wanted not in TITLES or fnmatch.fnmatchcase(f"0_{name}", build) or wanted.endswith(name)


def _libblas_build(spec: str) -> str:
    """Return the build of libblas in a match spec; empty if the spec is about another package or leaves it open."""
    if "libblas" not in spec.lower():
        return ""
    try:
        found = match_spec.read(spec)
    except errors.InvalidRequestError:
        return ""
    return found.build if found.name == "libblas" and found.build != "*" else ""


def _requested(prefix: Prefix) -> list[Finding]:
    """Compare with the package in `conda-meta`."""
    want, build = wanted_build(prefix), prefix.builds.get("libblas")
    if prefix.environment is None or want is None or (build and fnmatch.fnmatchcase(build, want)):
        return []
    there = f"libblas has the build {build}" if build else "there is no libblas"
    return [mismatch(prefix, want, f"It was made for {want.strip('*_')}, and {there}.")]


def _linked(prefix: Prefix, known: dict[tuple[int, int], list[str]]) -> list[Finding]:
    """Compare with the library that NumPy's extension module loads."""
    want, module = wanted_build(prefix), _module(prefix)
    needed = _blas_needed(module, known) if want and module else None
    if want is None or needed is None or not prefix.site:
        return []
    places = (prefix.site / "numpy.libs" / needed, prefix.path / "lib" / needed)
    file = next((place for place in places if place.exists()), None)
    if file is None:
        text, remedy = f"NumPy needs {needed}, and it is not there.", _reinstall(prefix)
        return [prefix.finding("blas", "error", text, why="`import numpy` fails.", remedy=remedy)]
    found = _vendor(file)
    if found is None or fits(found, want):
        return []
    text = other_library(blas_name(want), found, os.path.realpath(file))
    return [mismatch(prefix, want, text, numpy_of_pip=file.parent != prefix.path / "lib")]


def mismatch(prefix: Prefix, want: str, text: str, *, numpy_of_pip: bool = False) -> Finding:
    """Return the finding that another BLAS runs than the one an environment was made for."""
    spec = f"libblas=*={want}"
    install = prefix.command if prefix.environment is not None else prefix.conda
    remedy, why = install("install", spec), RULES["blas"].why
    if numpy_of_pip:
        pip = prefix.command("exec", "--", "python", "-m", "pip", "uninstall", "-y", "numpy")
        remedy = f"{pip} && {_reinstall(prefix)}"
        why += " A NumPy that pip installed brings its own BLAS."
    return prefix.finding("blas", "error", text, why=why, remedy=remedy)


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
    """Return the BLAS library that a module loads; None if it contains its BLAS, or is of another system."""
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
    """Return the BLAS of a file, by the name of the file that its links lead to."""
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
    conda = sorted(name for name in names_in(prefix.path / "lib") if _OPENMP.match(name))
    if brought and conda:
        yield prefix.finding(
            "openmp",
            "note",
            f"Wheels bring OpenMP runtimes in addition to the environment's {conda[0]}: {', '.join(brought)}.",
            why=f"{OPENMP_WHY} The remedy starts the kernel and shows whether both are loaded.",
            remedy=f"mambakernels doctor {quoting.quote(prefix.name)}{prefix.option}",
        )
