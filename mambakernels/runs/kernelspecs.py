"""The kernelspecs on disk, as Jupyter finds them, and those that a run names."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from traitlets import TraitError

from mambakernels.errors import InvalidRequestError, KernelError, NotFoundError
from mambakernels.kernels import folders, launcher
from mambakernels.kernels.blas import with_thread_count
from mambakernels.kernels.specs import MARK


@dataclass(frozen=True)
class Kernel:
    """A kernelspec that a run can use; `fingerprint` is the SHA-256 of its `kernel.json`.

    `problem` says why it cannot be started, if it cannot be read.
    """

    name: str
    spec: KernelSpec
    fingerprint: str
    problem: str | None = None

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
    def program(self) -> list[str]:
        """Its command, without the launcher of kernelspecs that mambakernels wrote."""
        argv = [str(word) for word in self.spec.argv]
        return launcher.program(argv) if self.ours else argv

    @cached_property
    def packages(self) -> str | None:
        """The SHA-256 of its environment's packages: their names, versions and builds; None for no environment."""
        folders = Path(self.program[0]).parents[:2] if Path(self.program[0]).is_absolute() else ()  # Windows has no bin
        prefix = next((one for one in folders if (one / "conda-meta").is_dir() or (one / "pyvenv.cfg").is_file()), None)
        if prefix is None:
            return None
        patterns = ("conda-meta/*.json", "lib/python*/site-packages/*.dist-info", "Lib/site-packages/*.dist-info")
        names = sorted(path.name for pattern in patterns for path in prefix.glob(pattern))
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    @property
    def is_ipykernel(self) -> bool:
        """Whether its command is a Python of this machine that starts ipykernel, with no wrapper around it."""
        words = self.program
        return launcher.runs_module(words) and words[words.index("-m") + 1].startswith("ipykernel")


def with_threads(kernel: Kernel, threads: int | None) -> Kernel:
    """Return the kernel with a number of threads in every variable that a library reads when it loads.

    0 takes those variables out of the kernelspec, None changes nothing.
    """
    if threads is None:
        return kernel
    return with_variables(kernel, with_thread_count(kernel.spec.env, threads))


def with_variables(kernel: Kernel, variables: Mapping[str, str]) -> Kernel:
    """Return the kernel with these variables instead of its own."""
    fields = kernel.spec.to_dict() | {"env": dict(variables)}
    return replace(kernel, spec=KernelSpec(resource_dir=kernel.spec.resource_dir, **fields))


def find_kernels(names: Iterable[str]) -> list[Kernel]:
    """Return the kernelspecs of these names, each once, in the order given; `NotFoundError` lists the known ones.

    A name may be a pattern such as `np-*`, or `all`, if no kernelspec has that name. A kernelspec that cannot be read
    is a `KernelError` if it was named; if it matches a pattern, its runs fail, and those of others do not.
    """
    there = _folders()
    wanted = list(dict.fromkeys(names))
    if not wanted:
        raise InvalidRequestError("No kernel was named.", next_step=known_kernels())
    matching = {name: _matching(name.lower(), sorted(there)) for name in wanted}
    missing = [name for name, found in matching.items() if not found]
    if missing:
        raise NotFoundError(f"There is no kernel {' and no kernel '.join(missing)}.", next_step=known_kernels())
    chosen = dict.fromkeys(name for found in matching.values() for name in found)
    named = {name.lower() for name in wanted}
    return [_load(name, Path(there[name])) if name in named else _matched(name, Path(there[name])) for name in chosen]


def _matching(name: str, there: list[str]) -> list[str]:
    if name in there:
        return [name]
    return there if name == "all" else [known for known in there if fnmatchcase(known, name)]


def _folders() -> dict[str, str]:
    """Return each kernelspec's folder by its name, searched as Jupyter does."""
    searched = [str(folder / "kernels") for folder in folders.searched()]
    # Without the flag, jupyter_client invents a `python3` when none is on disk.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names with a space, which Jupyter warns of, and lists
        found: dict[str, str] = KernelSpecManager(ensure_native_kernel=False, kernel_dirs=searched).find_kernel_specs()
    return found


def _load(name: str, folder: Path) -> Kernel:
    file = folder / "kernel.json"
    try:
        raw = file.read_bytes()
        document = {key: value for key, value in dict(json.loads(raw)).items() if value is not None}
        spec = KernelSpec(resource_dir=str(folder), **document)
    except (OSError, ValueError, TypeError, TraitError) as error:
        why = str(error).replace(" trait of a KernelSpec instance", "").rstrip(".")
        raise KernelError(f"The kernelspec '{name}' cannot be read: {why}.", where=str(file)) from error
    if not spec.argv:
        raise KernelError(f"The kernelspec '{name}' names no command to start.", where=str(file))
    return Kernel(name=name, spec=spec, fingerprint=hashlib.sha256(raw).hexdigest())


def _matched(name: str, folder: Path) -> Kernel:
    """Return a kernel that a pattern matches, which nobody named: a broken one has a `problem`."""
    try:
        return _load(name, folder)
    except KernelError as error:
        spec = KernelSpec(argv=[str(folder / "kernel.json")], display_name=name)
        return Kernel(name=name, spec=spec, fingerprint="", problem=str(error))


def known_kernels() -> str:
    """Return the sentence that lists the kernels Jupyter finds."""
    names = sorted(_folders())
    return f"Known kernels: {', '.join(names)}." if names else "No kernel is registered here yet."
