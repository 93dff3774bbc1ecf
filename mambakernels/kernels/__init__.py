"""Environments as Jupyter kernels: registered, listed, carried along when the environment changes, removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from mambakernels.environments import Environment
from mambakernels.errors import NotFoundError
from mambakernels.kernels import folders, naming
from mambakernels.kernels.registering import check_free, register
from mambakernels.kernels.specs import JupyterFolder, KernelSpec, is_gone
from mambakernels.paths import Root

__all__ = [
    "KernelSpec",
    "check_name",
    "copy",
    "list_kernels",
    "move",
    "prunable",
    "prune",
    "refresh",
    "register",
    "unregister",
]


def list_kernels(*, root: Root | None = None, data_dir: Path | None = None) -> list[KernelSpec]:
    """Return the kernelspecs that mambakernels wrote, by environment and name.

    They are looked for where Jupyter looks and in what other folders the root knows of, or only in `data_dir`.
    """
    found = (spec for jupyter in _jupyters(root, data_dir) for spec in jupyter.specs())
    return sorted(found, key=lambda spec: (spec.environment, str(spec.prefix), spec.base, spec.name))


def check_name(environment: str, prefix: Path) -> None:
    """Raise KernelError if the kernel of an environment of that name, at that prefix, could not be registered."""
    check_free(JupyterFolder(folders.choose()), naming.derived(environment), prefix, environment)


def refresh(environment: Environment, *, only: Collection[KernelSpec] | None = None) -> list[KernelSpec]:
    """Register an environment again in every way it is registered: what is in it, or its activation, has changed.

    `only` are the kernelspecs that this is done for, with those that were registered together with one of them.
    """
    return _again(environment, environment, lambda name: name, only=only)


def copy(source: Environment, target: Environment) -> list[KernelSpec]:
    """Register an environment in every way that another is: kernels called after that one are called after this."""
    was, now = naming.derived(source.name), naming.derived(target.name)

    def named(name: str) -> str:
        return now + name[len(was) :] if name == was or name.startswith(f"{was}-") else f"{now}-{name}"

    return _again(source, target, named)


def move(source: Environment, target: Environment) -> list[KernelSpec]:
    """Hand an environment's kernels over to another: those that were given a name keep it."""
    was, now = naming.derived(source.name), naming.derived(target.name)
    moved = _again(source, target, lambda name: now if name == was else name)
    unregister(environment=source)
    return moved


def prunable(*, root: Root | None = None, data_dir: Path | None = None) -> list[KernelSpec]:
    """Return the kernelspecs of ours that point nowhere: their environment is gone."""
    return [spec for spec in list_kernels(root=root, data_dir=data_dir) if _is_dead(spec) and not spec.copied]


def prune(specs: Iterable[KernelSpec]) -> list[KernelSpec]:
    """Remove those of the kernelspecs that carry our mark and point nowhere, now; return them."""
    return _remove(specs, still=_is_dead)


def unregister(
    names: str | Iterable[str] = (),
    *,
    environment: Environment | None = None,
    root: Root | None = None,
    data_dir: Path | None = None,
) -> list[KernelSpec]:
    """Remove our kernelspecs of these names, and all of an environment; return what was removed.

    A name that is not one of ours raises `NotFoundError`, and then nothing is removed. Copies that somebody made by
    hand stay, unless they are named.
    """
    wanted = [name.lower() for name in ([names] if isinstance(names, str) else names)]
    place = environment.root if environment else root
    known = list_kernels(root=place, data_dir=data_dir)
    if missing := [name for name in wanted if name not in {spec.name.lower() for spec in known}]:
        raise _not_ours(_jupyters(place, data_dir), missing[0], known)
    named = (spec for spec in known if spec.name.lower() in wanted)
    by_name = sorted(named, key=lambda spec: wanted.index(spec.name.lower()))
    of_environment = [spec for spec in known if environment and spec.prefix == environment.prefix and not spec.copied]
    return _remove([*by_name, *(spec for spec in of_environment if spec not in by_name)])


def _again(
    source: Environment,
    target: Environment,
    named: Callable[[str], str],
    *,
    only: Collection[KernelSpec] | None = None,
) -> list[KernelSpec]:
    """Register an environment in every way that another is, under names derived from those there are."""
    own = [spec for spec in list_kernels(root=source.root) if spec.prefix == source.prefix and not spec.copied]
    chosen = {(spec.jupyter, spec.base) for spec in (own if only is None else only)}
    asked = {(spec.jupyter, spec.base): spec for spec in own if (spec.jupyter, spec.base) in chosen}
    return [
        written
        for spec in asked.values()
        for written in register(
            target,
            name=None if spec.asked_name is None else named(spec.asked_name),
            display_name=spec.title,
            variant=spec.variant,
            env=spec.variables,
            threads=spec.threads,
            declared_in=spec.declared_in if source.prefix == target.prefix else None,
            over=source.prefix,
            data_dir=spec.jupyter,
        )
    ]


def _is_dead(spec: KernelSpec) -> bool:
    return is_gone(spec.prefix)


def _remove(specs: Iterable[KernelSpec], *, still: Callable[[KernelSpec], bool] = lambda _: True) -> list[KernelSpec]:
    """Remove kernelspecs of ours that are there, and `still` so, once the folder they are in is locked."""
    gone: list[KernelSpec] = []
    by_folder: dict[Path, list[Path]] = {}
    for spec in specs:
        by_folder.setdefault(spec.jupyter, []).append(spec.path)
    for folder, doomed in by_folder.items():
        jupyter = JupyterFolder(folder)
        with jupyter.locked():
            there = {spec.path: spec for spec in jupyter.specs()}
            for spec in (there[path] for path in doomed if path in there and still(there[path])):
                jupyter.remove(spec)
                gone.append(spec)
    return gone


def _jupyters(root: Root | None, data_dir: Path | None) -> list[JupyterFolder]:
    known = folders.known(root or Root.find()) if data_dir is None else [data_dir.absolute()]
    return [JupyterFolder(folder) for folder in known]


def _not_ours(jupyters: Sequence[JupyterFolder], name: str, known: Iterable[KernelSpec]) -> NotFoundError:
    there = next(filter(None, (jupyter.find(name) for jupyter in jupyters)), None)
    what = f"The kernel {name!r} is not one that mambakernels wrote." if there else f"There is no kernel {name!r}."
    return NotFoundError(
        what,
        where=str(there or jupyters[0].kernels),
        next_step=f"Kernels of mambakernels: {', '.join(spec.name for spec in known) or 'none yet'}.",
    )
