"""Facts about this installation: folders, engine, channels, available BLAS libraries."""

from __future__ import annotations

import platform
from typing import Any

from mambakernels import channels, engines, errors, paths
from mambakernels.environments.environment import list_environments
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.system.credentials import public


@storage_errors
def info(*, root: PathLike | None = None) -> dict[str, Any]:
    """Return what mambakernels uses here: folders, engine, channels, and which BLAS libraries are available."""
    import importlib.metadata

    from mambakernels.channels import blas_libraries, wheels

    place = Root.find(root)
    state = wheels.load(place)
    return {
        "version": importlib.metadata.version("mambakernels"),
        "python": platform.python_version(),
        "subdir": paths.subdir(),
        "root": str(place.path),
        "kernels": str(paths.jupyter_data() / "kernels"),
        "engine": _engine_in_words(place),
        "conda_forge": public(channels.conda_forge()),
        "wheels_channel": wheels.url(place) if state else None,
        "wheels_packages": len(state.files) if state else 0,
        "blas": {item.name: blas_libraries.why_not(item) or "available" for item in blas_libraries.TABLE},
        "environments": len(list_environments(place)),
    }


def _engine_in_words(root: Root) -> str:
    """Return the engine that would be used, or the reason why there is none."""
    try:
        engine, why = engines.choose(root=root, fetch=False)
    except errors.EngineError as error:
        return f"none: {error.what} ({error.where})"
    return f"{engine.name} {engine.version} ({why})"
