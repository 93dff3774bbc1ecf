"""A channel of tiny packages in several versions, whose environments are made in a moment and are real kernels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from support.conda_packages import File, Package, write_channel
from support.forge import PACKAGES, PYTHON, SUBDIR

from mambakernels import engines

SITE = f"lib/{PYTHON}/site-packages"
_BASE = {package.name: package for package in PACKAGES}


def module(
    name: str,
    version: str = "1.0",
    *depends: str,
    constrains: tuple[str, ...] = (),
    files: dict[str, File] | None = None,
    size: int = 0,
) -> Package:
    """A pure package with one module that knows its version, and as many further modules as it is to be big."""
    content = {
        f"site-packages/{name}/__init__.py": File(f'VERSION = "{version}"\n'.encode()),
        **{f"site-packages/{name}/part{number}.py": File(b"VALUE = 1\n" * 200) for number in range(size)},
    }
    return Package(
        name,
        version,
        "pyh_0",
        depends=("python", *depends),
        constrains=constrains,
        noarch="python",
        files={**content, **(files or {})},
        entry_points=(f"{name} = {name}:main",),
    )


def plain(name: str, version: str = "1.0", *depends: str, subdir: str = "noarch", **files: bytes) -> Package:
    """A package of text files, without Python."""
    content = {f"share/{name}/{file}": File(data) for file, data in ({"version": version.encode()} | files).items()}
    return Package(
        name, version, "0", subdir, depends=depends, noarch=None if subdir != "noarch" else "generic", files=content
    )


def activating(version: str) -> Package:
    """A package whose activation changes with its version."""
    return Package(
        "activating",
        version,
        "0",
        noarch="generic",
        files={
            "etc/conda/activate.d/activating.sh": File(f"export ACTIVATING={version}\n".encode()),
            "etc/conda/deactivate.d/activating.sh": File(b"unset ACTIVATING\n"),
        },
    )


EVERYWHERE = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
_VIRTUAL = {"linux": "__glibc >=2.17", "osx": "__osx >=11.0", "win": "__win"}

OLD = [
    *(_BASE[name] for name in ("python", "pip", "ipykernel", "activated", "_openmp_mutex", "patched", "tiny")),
    activating("1.0"),
    module("seed"),
    module("grown", "1.0", "seed"),
    module("leaf"),
    module("stem", "1.0", "leaf"),
    module("other"),
    module("pinned", "1.0"),
    module("quarrel", "1.0", "seed ==9"),
    module("big", "1.0", size=60),
    *(
        Package("python", "3.11.7", "0_cpython", subdir, depends=(_VIRTUAL[subdir.partition("-")[0]],))
        for subdir in EVERYWHERE
        if subdir != SUBDIR
    ),
    *(plain("native", "1.0", _VIRTUAL[subdir.partition("-")[0]], subdir=subdir) for subdir in EVERYWHERE),
]
NEW = [
    activating("2.0"),
    module("seed", "2.0"),
    module("grown", "2.0", "seed >=2"),
    module("leaf", "2.0"),
    module("stem", "2.0", "leaf"),
    module("other", "2.0"),
    module("pinned", "2.0"),
    Package("python", "3.99.0", "0_cpython", SUBDIR, depends=("__unix",), files={"bin/none": File(b"")}),
]


def write(folder: Path) -> str:
    """Write the channel as it is at first; return its address."""
    write_channel(OLD, folder)
    return folder.as_uri()


def grow(folder: Path) -> None:
    """Publish the newer versions in a channel, at the address it has."""
    write_channel([*OLD, *NEW], folder.with_name("grown"))
    shutil.rmtree(folder)
    folder.with_name("grown").rename(folder)


def damage(folder: Path, name: str) -> None:
    """Cut an archive of a channel short, as a broken mirror has it; its index promises the whole."""
    [archive] = folder.rglob(f"{name}.conda")
    archive.write_bytes(archive.read_bytes()[:-200])


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a folder with its inode, time and mode: what changed at all differs."""
    found = ((path, path.lstat()) for path in [folder, *folder.rglob("*")])
    return {str(path.relative_to(folder)): (state.st_ino, state.st_mtime_ns, state.st_mode) for path, state in found}


def manifest(prefix: Path) -> dict[str, object]:
    """What is written of an environment, without what may differ between engines and moments."""
    content: dict[str, object] = json.loads((prefix / ".mambakernels.json").read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if key not in {"engine", "created"}}


def names(packages: Iterable[engines.Package]) -> dict[str, str]:
    """Names and versions of packages."""
    return {package.name: package.version for package in packages}
