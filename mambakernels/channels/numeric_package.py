"""The source of `numeric` and `lessons` for kernels: as a conda package in a local channel, or as a folder."""

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
    """Return the channel's folder."""
    return root.channels / "mambakernels"


def ensure(root: Root, *, progress: Progress = silent) -> dict[str, Any]:
    """Return the record, with its URL, of the package of the present source, which is built if it is missing."""
    found = _record(root)
    if found is None:
        with locked(root, folder(root).name, progress=progress):
            if _record(root) is None:
                process.Worker(__name__).call({"root": str(root.path)}, progress=progress)
        found = _record(root)
    assert found is not None
    return found


def importable(root: Root) -> Path:
    """Return a folder for PYTHONPATH with the present source, for environments that are not to be changed."""
    target = root.numeric / f"s{source_hash()[:8]}"
    if not target.exists():
        with locked(root, root.numeric.name):
            staged = root.numeric / ".stage"
            shutil.rmtree(staged, ignore_errors=True)  # left by a process that was killed
            _copy_sources(staged)
            if not target.exists():
                staged.rename(target)
    return target


def source_hash() -> str:
    """Return the SHA-256 of all files in the package; `numeric.code_hash` covers only those that measure."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _record(root: Root) -> dict[str, Any] | None:
    mark, place = f"s{source_hash()[:8]}", folder(root) / _SUBDIR
    for name, found in conda_packages.records(folder(root), _SUBDIR).items():
        if found["build"].startswith(mark) and (place / name).exists():
            return {**found, "url": f"{folder(root).as_uri()}/{_SUBDIR}/{name}"}
    return None


def _sources() -> list[Path]:
    return sorted(path for folder in _CARRIED for path in (_PACKAGE / folder).glob("*.py"))


def _copy_sources(folder: Path) -> None:
    for source in _sources():
        target = folder / "mambakernels" / source.relative_to(_PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def work(message: process.Json, progress: Progress) -> process.Json:
    """Build the package in a worker process, and publish it next to the earlier ones."""
    import importlib.metadata

    channel = folder(Root(Path(message["root"])))
    progress(Event("stage", NAME))
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
    with conda_packages.scratch(channel) as scratch:
        _copy_sources(scratch / "stage" / "site-packages")
        conda_packages.seed_index(channel, scratch / "index", subdir=_SUBDIR)
        built = conda_packages.assemble(recipe, scratch / "stage", scratch / "index" / _SUBDIR)
        members = {*conda_packages.records(channel, _SUBDIR), built.name}
        conda_packages.publish(scratch / "index", channel, members=members, subdir=_SUBDIR)
    return {}
