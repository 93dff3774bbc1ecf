"""A `wheels` channel copied: pure Python packages as on conda-forge, `noarch: python` and without bytecode.

What create_four.py is given to see what sharing bytecode is worth:

    python benchmarks/without_bytecode.py FROM_FOLDER TO_FOLDER
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from mambakernels.channels import conda_packages


def main(source: Path, target: Path) -> None:
    """Convert each package that has modules and no compiled code; copy the others."""
    for subdir in ("linux-64", "noarch"):
        (target / subdir).mkdir(parents=True, exist_ok=True)
    for archive in sorted((source / "linux-64").glob("*.conda")):
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / "unpacked"
            unpack(archive, unpacked)
            index = json.loads((unpacked / "info" / "index.json").read_text())
            if is_pure(unpacked):
                convert(unpacked, index, target / "noarch", Path(folder) / "staged")
            else:
                shutil.copy2(archive, target / "linux-64")
    asyncio.run(write_index(target))


def unpack(archive: Path, folder: Path) -> None:
    """Take an archive apart."""
    from rattler import package_streaming

    package_streaming.extract(archive, folder)


def is_pure(unpacked: Path) -> bool:
    """Whether it has modules in site-packages, and nothing that was compiled for a machine."""
    files = [path for path in unpacked.rglob("*") if path.is_file() and not path.is_relative_to(unpacked / "info")]
    return any("site-packages" in path.parts for path in files) and not any(".so" in path.suffixes for path in files)


def convert(unpacked: Path, index: dict[str, Any], folder: Path, staged: Path) -> None:
    """Assemble the `noarch: python` package of the same files, without bytecode."""
    for path in unpacked.rglob("*"):
        name = path.relative_to(unpacked)
        if name.parts[0] == "info" or path.suffix == ".pyc" or path.is_dir():
            continue
        parts = name.parts[2:] if name.parts[:1] == ("lib",) and "site-packages" in name.parts else name.parts
        target = staged.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    recipe = conda_packages.Recipe(
        name=index["name"],
        version=index["version"],
        subdir="noarch",
        depends=tuple(index["depends"]),
        constrains=tuple(index.get("constrains", ())),
        noarch="python",
    )
    conda_packages.assemble(recipe, staged, folder)


async def write_index(target: Path) -> None:
    """Write `repodata.json` for both subdirs."""
    from rattler.index import index_fs

    await index_fs(target, write_zst=False, write_shards=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    os._exit(0)  # py-rattler now and then crashes while the interpreter shuts down
