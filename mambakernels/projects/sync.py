"""Synchronisation with a project's file: its declarations are compared with an inventory, and the differences made.

Only environments and kernels made for this very file are changed or removed. Its path is in the manifest of each
environment, and in the mark of each kernelspec.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mambakernels import channels, environments, errors, kernels
from mambakernels.activation import capture
from mambakernels.engines.match_spec import name_of
from mambakernels.environments import Environment, EnvironmentSpec
from mambakernels.kernels import KernelSpec, command_lines, lifecycle, registration
from mambakernels.paths import PathLike, Root, same_place, storage_errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.projects import kernels_toml
from mambakernels.projects.kernels_toml import DeclaredKernel, Project
from mambakernels.system.credentials import public
from mambakernels.system.locks import locked

Kind = Literal["create", "replace", "install", "register", "re-register", "prune environment", "prune kernel"]


@dataclass(frozen=True)
class SyncStep:
    """One step: its kind, the name of the environment or kernel, and the reason or the specs."""

    kind: Kind
    name: str
    why: str = ""
    specs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Synced:
    """The steps for a project's file in their order, and those that `prune` would add: former declarations go."""

    file: Path
    root: Path
    steps: tuple[SyncStep, ...]
    prunable: tuple[SyncStep, ...]


@dataclass(frozen=True)
class Inventory:
    """The environments, our kernelspecs, those whose activation has changed, and the present addresses of channels."""

    environments: Mapping[str, Environment]
    kernels: tuple[KernelSpec, ...]
    drifted: Collection[KernelSpec]
    channels: Mapping[str, str]


@storage_errors
def sync(
    file: PathLike = "kernels.toml",
    *,
    dry_run: bool = False,
    prune: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Synced:
    """Make the environments and kernels that a project's file declares, and return the steps that this took.

    `dry_run` changes nothing. Only what was made for this file is changed, or, with `prune`, removed once the file no
    longer declares it. `root` takes the place of the file's. An InvalidRequestError says what is wrong in the file;
    the error of a failed step also says what was done and what is left.
    """
    project = kernels_toml.read(Path(file))
    root = Root.find(root or project.root)
    if dry_run:
        return _plan(project, root, prune=prune)
    with locked(root, "sync", progress=progress):
        planned = _plan(project, root, prune=prune)
        try:
            _perform(planned.steps, project, root, progress)
        except errors.MambakernelsError as error:
            error.next_step = _account(error, planned, project, root)
            raise
        except OSError as error:
            failure = errors.from_os_error(error)
            failure.next_step = _account(failure, planned, project, root)
            raise failure from error
    return planned


def _inventory(project: Project, root: Root) -> Inventory:
    """Return the present state; nothing is changed."""
    there = {environment.name: environment for environment in environments.list_environments(root)}
    names = {name for spec in project.environments for name in spec.channels if "auto" not in spec.channels}
    found = tuple(kernels.list(root=root))
    declared = [there[spec.name] for spec in project.environments if spec.name in there]
    # By the path that a kernel was registered with: the root may be another path to the same folder.
    drifted = [
        spec
        for spec in found
        if any(_is_of(spec, environment) for environment in declared)
        and spec.fingerprint != capture.fingerprint(spec.prefix)
    ]
    return Inventory(
        environments=there,
        kernels=found,
        drifted=drifted,
        channels={name: public(channels.choose(name, root).url) for name in sorted(names)},
    )


def _plan(project: Project, root: Root, *, prune: bool) -> Synced:
    """Return the steps from the present state to the declarations; InvalidRequestError if a name is taken."""
    there = _inventory(project, root)
    made = [step for spec in project.environments if (step := _for_environment(spec, project, there))]
    made.sort(key=lambda step: step.kind == "install")
    registered = [step for kernel in project.kernels if (step := _for_kernel(kernel, project, there, made))]
    prunable = (*_undeclared_kernels(project, there), *_undeclared_environments(project, there))
    steps = (*made, *registered, *(prunable if prune else ()))
    return Synced(project.file, root.path, steps, () if prune else prunable)


def _for_environment(spec: EnvironmentSpec, project: Project, there: Inventory) -> SyncStep | None:
    environment = there.environments.get(spec.name)
    if environment is None:
        return SyncStep("create", spec.name, _what(spec))
    ours = project.made(environment)
    step = _change(spec, environment, there.channels if ours else {})
    if step is not None and not ours:
        maker = environment.declared_in or "mambakernels create"
        raise errors.InvalidRequestError(
            f"There is an environment {spec.name!r} already, and it differs: {step.why}.",
            where=str(environment.prefix),
            next_step=f"It was made by {maker}, so sync does not change it. Declare another name, "
            f"or first: mambakernels remove {spec.name}",
        )
    return step


def _what(spec: EnvironmentSpec) -> str:
    return f"{len(spec.packages)} locked packages" if spec.packages else " ".join(spec.specs)


def _change(spec: EnvironmentSpec, environment: Environment, now: Mapping[str, str]) -> SyncStep | None:
    """Return the step that brings an environment in line: new or changed specs are installed, else it is replaced."""
    wanted, present = set(spec.specs), set(environment.specs)
    names = {name_of(text) for text in wanted}
    gone = [text for text in environment.specs if name_of(text) not in names]
    different = {name_of(text) for text in wanted ^ present}
    reasons = {
        f"its channels are {' '.join(spec.channels)} now": _moved(spec, environment, now),
        "its pip part differs": set(spec.pip) != set(environment.pip),
        "its variables differ": dict(spec.variables) != dict(environment.variables),
        "its lockfile differs": bool(spec.packages) and wanted != present,
        f"without {' '.join(gone)}": bool(gone),
    }
    if why := [reason for reason, holds in reasons.items() if holds]:
        return SyncStep("replace", spec.name, "; ".join(why))
    added = tuple(text for text in spec.specs if name_of(text) in different)
    return SyncStep("install", spec.name, f"with {' '.join(added)}", added) if added else None


def _moved(spec: EnvironmentSpec, environment: Environment, now: Mapping[str, str]) -> bool:
    addresses = [now.get(name) for name in spec.channels]
    return None not in addresses and addresses != list(environment.channels)


def _for_kernel(
    kernel: DeclaredKernel, project: Project, there: Inventory, made: Sequence[SyncStep]
) -> SyncStep | None:
    described = _described(kernel)
    environment = there.environments.get(kernel.environment)
    own = [
        spec
        for spec in there.kernels
        if spec.base == kernel.base and _is_of(spec, environment) and spec.jupyter == project.jupyter
    ]
    _check_free(kernel, project, there)
    if environment is None or not own:
        return SyncStep("register", kernel.name, described)
    if any(_asked(spec) != (dict(kernel.env), kernel.display_name, kernel.threads) for spec in own):
        if not (project.made(environment) or any(project.made(spec) for spec in own)):
            raise errors.InvalidRequestError(
                f"There is a kernel {kernel.name!r} already, with other settings than this file declares.",
                where=str(own[0].path),
                next_step=f"Declare another name, or first: {command_lines.to_unregister(own[0])}",
            )
        return SyncStep("re-register", kernel.name, f"{described}, its variables, threads or title differ")
    if not all(spec.working for spec in own):
        return SyncStep("re-register", kernel.name, "its program is gone")
    untouched = kernel.environment not in {step.name for step in made}
    if untouched and any(spec in there.drifted for spec in own):
        return SyncStep("re-register", kernel.name, "its environment's activation has changed")
    return None


def _described(kernel: DeclaredKernel) -> str:
    threads = () if kernel.threads is None else (f"threads={kernel.threads}",)
    return " ".join((kernel.environment, *threads, *(f"{name}={value}" for name, value in kernel.env.items())))


def _asked(spec: KernelSpec) -> tuple[dict[str, str], str | None, int | None]:
    return dict(spec.variables), spec.title, spec.threads


def _is_of(spec: KernelSpec, environment: Environment | None) -> bool:
    return environment is not None and same_place(spec.prefix, environment.prefix)


def _check_free(kernel: DeclaredKernel, project: Project, there: Inventory) -> None:
    """Raise before any work if registering would fail afterwards because the name is taken."""
    environment = there.environments.get(kernel.environment)
    for spec in (spec for spec in there.kernels if spec.jupyter == project.jupyter):
        if spec.name == kernel.base and spec.working and not _is_of(spec, environment):
            raise errors.InvalidRequestError(
                f"There is a kernel {kernel.name!r} already, of another environment.",
                where=str(spec.prefix),
                next_step=f"Declare another name, or first: {command_lines.to_unregister(spec)}",
            )


def _undeclared_environments(project: Project, there: Inventory) -> Iterable[SyncStep]:
    declared = {spec.name for spec in project.environments}
    for environment in there.environments.values():
        if project.made(environment) and environment.name not in declared:
            yield SyncStep("prune environment", environment.name)


def _undeclared_kernels(project: Project, there: Inventory) -> Iterable[SyncStep]:
    """Yield kernels of former declarations, without those of an environment that is removed as a whole."""
    gone = {there.environments[step.name].prefix for step in _undeclared_environments(project, there)}
    for spec in there.kernels:
        if _is_left_over(spec, project) and spec.prefix not in gone:
            yield SyncStep("prune kernel", spec.name)


def _is_left_over(spec: KernelSpec, project: Project) -> bool:
    """Whether the file once declared a kernelspec that it no longer declares by that name in that Jupyter folder."""
    declared = {kernel.base for kernel in project.kernels}
    elsewhere = spec.jupyter != project.jupyter
    return project.made(spec) and not spec.copied and (elsewhere or spec.base not in declared)


def _perform(steps: Sequence[SyncStep], project: Project, root: Root, progress: Progress) -> None:
    """Carry out the steps, first those that make environments, in parallel."""
    making = [step for step in steps if step.kind in {"create", "replace"}]
    replaced = {step.name for step in making if step.kind == "replace"}
    specs = [project.environment(step.name) for step in making]
    if specs:
        environments.create_in_parallel(specs, root=root, replacing=replaced, progress=progress)
    for name in sorted(replaced):
        with environments.held(name, root) as environment:
            kernels.refresh(environment)
    acts: Mapping[str, Callable[[SyncStep, Project, Root, Progress], None]] = {
        "install": _install,
        "register": _register,
        "re-register": _register,
        "prune kernel": _prune_kernel,
        "prune environment": _prune_environment,
    }
    for step in steps:
        if step not in making:
            acts[step.kind](step, project, root, progress)


def _install(step: SyncStep, project: Project, root: Root, progress: Progress) -> None:
    engine = project.environment(step.name).engine
    lifecycle.install(step.name, step.specs, engine=engine, root=root, progress=progress)


def _register(step: SyncStep, project: Project, root: Root, progress: Progress) -> None:
    kernel = next(kernel for kernel in project.kernels if kernel.name == step.name)
    progress(Event("register", kernel.name))
    with environments.held(kernel.environment, root) as environment:
        registration.register_kernels(
            environment,
            name=None if kernel.default else kernel.name,
            display_name=kernel.display_name,
            variant=kernel.variant,
            env=kernel.env,
            threads=kernel.threads,
            declared_in=project.identity,
            data_dir=project.jupyter,
        )


def _prune_kernel(step: SyncStep, project: Project, root: Root, progress: Progress) -> None:
    progress(Event("remove", step.name))
    for spec in kernels.list(root=root):
        if spec.name == step.name and _is_left_over(spec, project):
            kernels.unregister(spec.name, jupyter=spec.jupyter)


def _prune_environment(step: SyncStep, project: Project, root: Root, progress: Progress) -> None:
    progress(Event("remove", step.name))
    with environments.held(step.name, root) as environment:
        if project.made(environment):  # it may have been made again by hand meanwhile
            kernels.unregister_all(environment)
            environments.discard_environment(environment)


def _account(error: errors.MambakernelsError, planned: Synced, project: Project, root: Root) -> str:
    """Return the error's advice, with the steps that were done and those that are left."""
    now = _plan(project, root, prune=True)
    waiting = {(step.kind, step.name) for step in now.steps}
    parts: dict[str, list[str]] = {"Done": [], "Left": []}
    for step in planned.steps:
        parts["Left" if (step.kind, step.name) in waiting else "Done"].append(f"{step.kind} {step.name}")
    lines = [f"{title}: {', '.join(steps)}." for title, steps in parts.items() if steps]
    return "\n".join((*filter(None, [error.next_step]), *lines, f"Then again: mambakernels sync {project.file}"))
