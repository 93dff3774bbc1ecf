"""The local channel of `mambakernels-numeric`: this very source of `numeric` and `lessons`, as a conda package."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from mambakernels.channels import conda_packages
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process
from mambakernels.system.locks import locked

NAME = "mambakernels-numeric"
_SUBDIR = "noarch"
_PACKAGE = Path(__file__).parents[1]
_CARRIED = ("numeric", "lessons")


def folder(root: Root) -> Path:
    """Return where the channel is; the same folder is its URL."""
    return root.channels / "mambakernels"


def ensure(root: Root, *, progress: Progress = silent) -> tuple[str, str]:
    """Make sure the channel has the package of the present source; return its URL and the match spec for it."""
    mark = source_hash()[:8]
    spec = f"{NAME}=*=s{mark}*"
    if not _has(root, mark):
        with locked(root, folder(root).name, progress=progress):
            if not _has(root, mark):
                process.Worker(__name__).call({"root": str(root.path)}, progress=progress)
    return folder(root).as_uri(), spec


def record(root: Root) -> dict[str, Any]:
    """Return the record of the present source's package, which `ensure` has made sure of."""
    mark = source_hash()[:8]
    name, found = next(
        (name, found)
        for name, found in conda_packages.records(folder(root), _SUBDIR).items()
        if found["build"].startswith(f"s{mark}")
    )
    return {**found, "url": f"{folder(root).as_uri()}/{_SUBDIR}/{name}"}


def source_hash() -> str:
    """Return the SHA-256 of all that the package carries; `numeric.code_hash` covers what measures, and no lesson."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _has(root: Root, mark: str) -> bool:
    return any(
        record["build"].startswith(f"s{mark}") and (folder(root) / _SUBDIR / name).exists()
        for name, record in conda_packages.records(folder(root), _SUBDIR).items()
    )


def _sources() -> list[Path]:
    return sorted(path for folder in _CARRIED for path in (_PACKAGE / folder).glob("*.py"))


def work(message: process.Json, progress: Progress) -> process.Json:
    """Build the package and publish it beside the earlier ones, in a worker process."""
    import importlib.metadata

    root = Root(Path(message["root"]))
    scratch = folder(root) / ".build"
    shutil.rmtree(scratch, ignore_errors=True)  # left by a process that was killed
    files = scratch / "stage" / "site-packages" / "mambakernels"
    progress(Event("stage", NAME))
    for source in _sources():
        target = files / source.relative_to(_PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    recipe = conda_packages.Recipe(
        name=NAME,
        version=importlib.metadata.version("mambakernels"),
        subdir=_SUBDIR,
        depends=("python >=3.10", "numpy"),
        license="BSD-3-Clause",
        summary="The numeric kernels that mambakernels runs in every environment",
        build_prefix=f"s{source_hash()[:8]}",
        noarch="python",
    )
    conda_packages.seed_index(folder(root), scratch / "index", subdir=_SUBDIR)
    built = conda_packages.assemble(recipe, scratch / "stage", scratch / "index" / _SUBDIR)
    members = {*conda_packages.records(folder(root), _SUBDIR), built.name}
    conda_packages.publish(scratch / "index", folder(root), members=members, subdir=_SUBDIR)
    shutil.rmtree(scratch)
    return {}
