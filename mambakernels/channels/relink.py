"""Relinking: makes NumPy's modules call another BLAS, after checking that it has every routine they call."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from mambakernels import errors
from mambakernels.channels import blas_libraries, elf, interpreter
from mambakernels.channels.blas_libraries import BlasLibrary, Provider


class FixedBlasError(errors.ChannelError):
    """A NumPy runs on the library in its wheel, and on no other."""


def stage_provider(provider: Provider, source: Path, prefix: Path) -> None:
    """Copy a provider's shared libraries from its unpacked distribution into `prefix`/lib.

    Debian's libraries find each other in the system's folders, so their search path is set to their own folder.
    Those of wheels have that path already, and stay as they are.
    """
    target = prefix / "lib"
    target.mkdir(parents=True, exist_ok=True)
    for pattern in provider.libraries:
        for library in source.rglob(pattern):
            shutil.copy2(library.resolve(), target / library.name)
    missing = [pattern for pattern in provider.libraries if not list(target.glob(pattern))]
    if missing == list(provider.libraries):
        raise errors.ChannelError(f"{provider.distribution} does not contain {', '.join(missing)}.")
    for library in target.iterdir() if provider.source == "deb" else ():
        elf.edit(library, rpath="$ORIGIN", needed=provider.replace_needed)


def is_fixed(wheel: Path) -> bool:
    """Whether a NumPy wheel has no module whose BLAS calls can be redirected; nothing but its modules is unpacked."""
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as scratch:
        names = [name for name in archive.namelist() if name.startswith("numpy/") and name.endswith(".so")]
        return not any(_calls(Path(archive.extract(name, scratch))) for name in names)


def relink(numpy: Path, blas: BlasLibrary, libraries: Iterable[Path]) -> None:
    """Make the NumPy that is staged under the prefix `numpy` call `blas`, whose libraries are given as files."""
    given = {path.name: path for path in libraries}
    needed = tuple(_resolve(pattern, given) for pattern in blas.needed)
    offered = frozenset().union(*(elf.exported(given[name]) for name in needed))
    for module in filter(_calls, _modules(numpy)):
        _relink_module(module, numpy, blas, needed=needed, offered=offered)
    _drop_unneeded(numpy)


def _relink_module(
    module: Path, prefix: Path, blas: BlasLibrary, *, needed: tuple[str, ...], offered: frozenset[str]
) -> None:
    renamed = {name: new for name in _calls(module) if (new := blas.symbol(name))}
    missing = sorted({*(set(_calls(module)) - set(renamed)), *(set(renamed.values()) - offered)})
    if missing:
        raise errors.ChannelError(
            f"{blas.title} lacks {len(missing)} routines that NumPy calls: {', '.join(missing[:5])} …",
            where=module.name,
            next_step="Another version of NumPy or of the library may work.",
        )
    old = [name for name in elf.needed(module) if _is_wheels_own(name)]
    up = os.path.relpath(prefix / "lib", module.parent)
    elf.edit(
        module,
        rpath=f"$ORIGIN/{up}",
        needed={old[0]: needed[0]},
        add_needed=needed[1:],
        symbols={name: new for name, new in renamed.items() if name != new},
    )


def _modules(prefix: Path) -> list[Path]:
    return sorted((prefix / interpreter.SITE_PACKAGES / "numpy").rglob("*.so"))


def _calls(module: Path) -> list[str]:
    """Return the BLAS and LAPACK symbols that a module imports from the library in its wheel."""
    return sorted(name for name in elf.imported(module) if name.startswith("scipy_"))


def _is_wheels_own(library: str) -> bool:
    return Path(library).match(blas_libraries.WHEEL_LIBRARY)


def _resolve(pattern: str, given: dict[str, Path]) -> str:
    return next(name for name in sorted(given) if Path(name).match(pattern))


def _drop_unneeded(prefix: Path) -> None:
    """Remove the wheel's libraries, which nothing loads now, and their lines in RECORD."""
    site = prefix / interpreter.SITE_PACKAGES
    for library in (site / "numpy.libs").glob("*.so*"):
        library.unlink()
    loaded = {name for module in _modules(prefix) for name in elf.needed(module)}
    if lost := [name for name in loaded if _is_wheels_own(name)]:
        raise errors.ChannelError(f"NumPy would still load {lost[0]} after relinking.")
    for record in site.glob("numpy-*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("numpy.libs/")), encoding="utf-8")
