"""The kernelspecs on disk, as Jupyter finds them, and those that a run names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from mambakernels.errors import InvalidRequestError, KernelError, NotFoundError
from mambakernels.kernels import folders, launcher
from mambakernels.kernels.specs import MARK


@dataclass(frozen=True)
class Kernel:
    """A kernelspec that a run can use; `fingerprint` is the SHA-256 of its `kernel.json`."""

    name: str
    spec: KernelSpec
    fingerprint: str

    @property
    def display_name(self) -> str:
        """The name that JupyterLab shows."""
        return str(self.spec.display_name)

    @property
    def language(self) -> str:
        """The language of its cells, as the kernelspec says it."""
        return str(self.spec.language)

    @property
    def ours(self) -> dict[str, Any] | None:
        """The metadata that mambakernels wrote when it registered the kernelspec."""
        metadata: dict[str, Any] | None = self.spec.metadata.get(MARK)
        return metadata

    @property
    def is_ipykernel(self) -> bool:
        """Whether its command is a Python of this machine that starts ipykernel, with no wrapper around it."""
        argv = [str(word) for word in self.spec.argv]
        words = launcher.program(argv) if self.ours else argv
        return launcher.runs_module(words) and words[words.index("-m") + 1].startswith("ipykernel")


def find_kernels(names: Iterable[str]) -> list[Kernel]:
    """Return the named kernelspecs, each once, in the order given; `NotFoundError` lists the known ones."""
    there = _folders()
    wanted = list(dict.fromkeys(names))
    if not wanted:
        raise InvalidRequestError("No kernel was named.", next_step=known_kernels())
    missing = [name for name in wanted if name.lower() not in there]
    if missing:
        raise NotFoundError(f"There is no kernel {' and no kernel '.join(missing)}.", next_step=known_kernels())
    return [_load(name.lower(), Path(there[name.lower()])) for name in wanted]


def _folders() -> dict[str, str]:
    """Return each kernelspec's folder by its name, searched as Jupyter does."""
    searched = [str(folder / "kernels") for folder in folders.searched()]
    # Without the flag, jupyter_client invents a `python3` when none is on disk.
    found: dict[str, str] = KernelSpecManager(ensure_native_kernel=False, kernel_dirs=searched).find_kernel_specs()
    return found


def _load(name: str, folder: Path) -> Kernel:
    file = folder / "kernel.json"
    try:
        raw = file.read_bytes()
        spec = KernelSpec(resource_dir=str(folder), **json.loads(raw))
    except (OSError, ValueError, TypeError) as error:
        raise KernelError(f"The kernelspec '{name}' cannot be read: {error}.", where=str(file)) from error
    if not spec.argv:
        raise KernelError(f"The kernelspec '{name}' names no command to start.", where=str(file))
    return Kernel(name=name, spec=spec, fingerprint=hashlib.sha256(raw).hexdigest())


def known_kernels() -> str:
    """Return the sentence that lists the kernels Jupyter finds."""
    names = sorted(_folders())
    return f"Known kernels: {', '.join(names)}." if names else "No kernel is registered here yet."
