"""Registered kernelspecs: listed, registered again when their environment changes, removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from mambakernels.environments import Environment
from mambakernels.errors import NotFoundError
from mambakernels.kernels import folders, naming
from mambakernels.kernels.registration import check_free, register_kernels
from mambakernels.kernels.specs import JupyterFolder, KernelSpec, is_gone
from mambakernels.paths import PathLike, Root, same_place, storage_errors


@storage_errors
def list_kernels(*, jupyter: PathLike | None = None, root: PathLike | None = None) -> list[KernelSpec]:
    """Return the kernelspecs that mambakernels wrote, by environment and name.

    Searches Jupyter's folders and those where kernels of the root were registered, or only the folder `jupyter`.
    """
    found = (spec for folder in _jupyters(root, jupyter) for spec in folder.specs())
    return sorted(found, key=lambda spec: (spec.environment, str(spec.prefix), spec.base, spec.name))


def check_name(environment: str, prefix: Path) -> None:
    """Raise KernelError if the kernel of an environment of that name, at that prefix, could not be registered."""
    check_free(JupyterFolder(folders.data_folder()), naming.derived(environment), prefix, environment)


def refresh(environment: Environment, *, only: Collection[KernelSpec] | None = None) -> list[KernelSpec]:
    """Register an environment's kernels again with their options, after its packages or its activation changed.

    `only` limits this to some kernelspecs, and those that were registered together with one of them.
    """
    return _again(environment, environment, lambda name: name, only=only)


def copy(source: Environment, target: Environment) -> list[KernelSpec]:
    """Register the kernels of `source` for `target` too; names derived from the environment's follow the new name."""
    was, now = naming.derived(source.name), naming.derived(target.name)

    def named(name: str) -> str:
        return now + name[len(was) :] if name == was or name.startswith(f"{was}-") else f"{now}-{name}"

    return _again(source, target, named)


def move(source: Environment, target: Environment) -> list[KernelSpec]:
    """Register the kernels of `source` for `target` instead; those with a name of their choice keep it."""
    was, now = naming.derived(source.name), naming.derived(target.name)
    moved = _again(source, target, lambda name: now if name == was else name)
    unregister_all(source)
    return moved


@storage_errors
def prune(
    *, only: Collection[KernelSpec] | None = None, dry_run: bool = False, root: PathLike | None = None
) -> list[KernelSpec]:
    """Remove the kernelspecs that mambakernels wrote and whose environment is gone, and return them.

    `only` limits this to some kernelspecs; those whose environment has come back in the meantime stay. Copies made by
    hand stay as well, unless they are in `only`.
    """
    found = [spec for spec in list_kernels(root=root) if _is_dead(spec) and not spec.copied] if only is None else only
    return list(found) if dry_run else _remove(found, still=_is_dead)


@storage_errors
def unregister(*names: str, jupyter: PathLike | None = None, root: PathLike | None = None) -> list[KernelSpec]:
    """Remove kernelspecs that mambakernels wrote, in every Jupyter folder or only in `jupyter`, and return them.

    Environments stay. If a name is not that of such a kernelspec, raises NotFoundError and removes nothing.
    """
    wanted = [name.lower() for name in names]
    known = list_kernels(jupyter=jupyter, root=root)
    if missing := [name for name in wanted if name not in {spec.name.lower() for spec in known}]:
        raise _not_ours(_jupyters(root, jupyter), missing[0], known)
    named = (spec for spec in known if spec.name.lower() in wanted)
    return _remove(sorted(named, key=lambda spec: wanted.index(spec.name.lower())))


def unregister_all(environment: Environment) -> list[KernelSpec]:
    """Remove every kernelspec of an environment, except for copies made by hand; return them."""
    return _remove(_kernels_of(environment))


def _kernels_of(environment: Environment) -> list[KernelSpec]:
    known = list_kernels(root=environment.root)
    return [spec for spec in known if same_place(spec.prefix, environment.prefix) and not spec.copied]


def _again(
    source: Environment,
    target: Environment,
    named: Callable[[str], str],
    *,
    only: Collection[KernelSpec] | None = None,
) -> list[KernelSpec]:
    """Register `target` with the options of each of `source`'s kernels; `named` makes the new names."""
    existing = _kernels_of(source)
    chosen = {(spec.jupyter, spec.base) for spec in (existing if only is None else only)}
    registrations = {(spec.jupyter, spec.base): spec for spec in existing if (spec.jupyter, spec.base) in chosen}
    return [
        written
        for spec in registrations.values()
        for written in register_kernels(
            target,
            name=None if spec.asked_name is None else named(spec.asked_name),
            display_name=spec.title,
            variant=spec.variant,
            env=spec.variables,
            threads=spec.threads,
            declared_in=spec.declared_in if same_place(source.prefix, target.prefix) else None,
            over=source.prefix,
            data_dir=spec.jupyter,
        )
    ]


def _is_dead(spec: KernelSpec) -> bool:
    return is_gone(spec.prefix)


def _remove(specs: Iterable[KernelSpec], *, still: Callable[[KernelSpec], bool] = lambda _: True) -> list[KernelSpec]:
    """Remove those of our kernelspecs that exist and pass `still` once their folder is locked."""
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


def _jupyters(root: PathLike | None, jupyter: PathLike | None) -> list[JupyterFolder]:
    known = folders.folders_of_root(Root.find(root)) if jupyter is None else [folders.data_folder(jupyter)]
    return [JupyterFolder(folder) for folder in known]


def _not_ours(jupyters: Sequence[JupyterFolder], name: str, known: Iterable[KernelSpec]) -> NotFoundError:
    there = next(filter(None, (jupyter.find(name) for jupyter in jupyters)), None)
    what = f"The kernel {name!r} is not one that mambakernels wrote." if there else f"There is no kernel {name!r}."
    return NotFoundError(
        what,
        where=str(there or jupyters[0].kernels),
        next_step=f"Kernels of mambakernels: {', '.join(spec.name for spec in known) or 'none yet'}.",
    )
