"""The Python that runs mambakernels, staged as the `python` package of a channel."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from mambakernels.channels import elf
from mambakernels.channels.conda_packages import Recipe

# Half of the size, and not needed at run time: test suites, caches, installed packages, static libraries.
_LEFT_OUT = ("__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test", "ensurepip", "config-*")
_LEFT_OUT_FILES = ("*.pyc", "*.a", "EXTERNALLY-MANAGED")


VERSION = ".".join(map(str, sys.version_info[:3]))
MINOR = ".".join(map(str, sys.version_info[:2]))
TAG = f"py{MINOR.replace('.', '')}"  # of build strings
# Debian's Python would have pip install into `local/` of a prefix: programs into `local/bin`, which is not on PATH.
_SCHEMES = """\
def _get_preferred_schemes():  # written by mambakernels: packages go where every conda environment has them
    return {"prefix": "posix_prefix", "home": "posix_home", "user": "posix_user"}


"""
_FIRST_USE = "def get_preferred_scheme("  # in the module sysconfig; what follows it has the schemes as defaults
# Relative to the prefix of any environment.
LIBRARY = Path("lib") / f"python{MINOR}"
SITE_PACKAGES = LIBRARY / "site-packages"


def fingerprint() -> str:
    """Return a hash of the interpreter: its build, its path, its file's size and time."""
    executable = _executable()
    state = executable.stat()
    facts = (sys.version, str(executable), state.st_size, state.st_mtime_ns)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def recipe(subdir: str) -> Recipe:
    """Describe the `python` package; as on conda-forge, it constrains `python_abi` and depends on pip."""
    return Recipe(
        name="python",
        version=VERSION,
        subdir=subdir,
        depends=("pip",),
        constrains=(f"python_abi {MINOR}.*",),
        license="PSF-2.0",
        license_files=_licence(),
        summary=f"The {platform.python_implementation()} that runs mambakernels, from this machine",
        homepage="https://www.python.org/",
        build_suffix="_cpython",
    )


def stage(prefix: Path) -> None:
    """Copy the interpreter into `prefix`: its executable, standard library and shared libraries."""
    (prefix / "bin").mkdir(parents=True)
    executable = prefix / "bin" / f"python{MINOR}"
    shutil.copy2(_executable(), executable)
    for alias in ("python", "python3"):
        (prefix / "bin" / alias).symlink_to(executable.name)
    library_folder = prefix / LIBRARY
    _copy_library(Path(sysconfig.get_path("platstdlib", vars=_base())), library_folder)
    _copy_library(Path(sysconfig.get_path("stdlib", vars=_base())), library_folder)
    _copy_headers(prefix)
    (library_folder / "site-packages").mkdir(exist_ok=True)
    (library_folder / "site-packages" / "README.txt").write_text("Packages of this environment.\n", encoding="utf-8")
    _bundle_libraries(prefix, executable)
    if "deb_system" in sysconfig.get_scheme_names():
        reach_site_packages(prefix)


def _executable() -> Path:
    base = Path(getattr(sys, "_base_executable", None) or sys.executable)
    return base.resolve()


def _base() -> dict[str, str]:
    return {"base": sys.base_prefix, "platbase": sys.base_exec_prefix, "installed_base": sys.base_prefix}


def _copy_library(source: Path, target: Path) -> None:
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns(*_LEFT_OUT, *_LEFT_OUT_FILES), dirs_exist_ok=True, symlinks=False,
        ignore_dangling_symlinks=True,
    )  # fmt: skip


def _copy_headers(prefix: Path) -> None:
    """Copy the headers, so that a compiler inside the environment finds `Python.h`."""
    source = Path(sysconfig.get_path("include", vars=_base()))
    if source.is_dir():
        shutil.copytree(source, prefix / "include" / f"python{MINOR}", dirs_exist_ok=True)


def _bundle_libraries(prefix: Path, executable: Path) -> None:
    """Copy the shared libraries in the interpreter's own folders (libpython, a conda base's OpenSSL), transitively.

    Libraries in the system's folders are not copied.
    """
    origin = [Path(sys.base_prefix) / "lib", Path(sysconfig.get_config_var("LIBDIR") or sys.base_prefix)]
    own = [folder for folder in origin if folder.is_dir() and not elf.is_system_folder(folder)]
    pending = [executable, *(prefix / LIBRARY / "lib-dynload").glob("*.so")]
    while pending:
        for name in elf.needed(pending.pop()):
            found = next((folder / name for folder in own if (folder / name).exists()), None)
            target = prefix / "lib" / name
            if found and not target.exists():
                shutil.copy2(found.resolve(), target)
                pending.append(target)
                elf.edit(target, rpath="$ORIGIN")
    elf.edit(executable, rpath="$ORIGIN/../lib")
    for module in (prefix / LIBRARY / "lib-dynload").glob("*.so"):
        if any((prefix / "lib" / name).exists() for name in elf.needed(module)):
            elf.edit(module, rpath="$ORIGIN/../..")


def reach_site_packages(prefix: Path) -> None:
    """Make a copy of Debian's patched Python install packages into `site-packages`, and find them there.

    Where it looks cannot be changed, as its module `site` is part of the executable: `lib/python3/dist-packages` is a
    link.
    """
    (prefix / "lib" / "python3").mkdir()
    (prefix / "lib" / "python3" / "dist-packages").symlink_to(os.path.relpath(SITE_PACKAGES, "lib/python3"))
    for name in ("sysconfig.py", "sysconfig/__init__.py"):  # the latter since 3.13
        file = prefix / LIBRARY / name
        if file.is_file():
            text = file.read_text("utf-8")
            file.write_text(text.replace(_FIRST_USE, _SCHEMES + _FIRST_USE, 1), encoding="utf-8")


def _licence() -> tuple[Path, ...]:
    candidates = (
        Path(sysconfig.get_path("stdlib", vars=_base())) / "LICENSE.txt",
        Path("/usr/share/doc") / f"python{MINOR}" / "copyright",
    )
    return tuple(path for path in candidates if path.is_file())
