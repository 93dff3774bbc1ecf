"""Registration: kernelspecs that start an environment's program in its captured activation."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from string import Template

from mambakernels.activation.capture import Activation, capture
from mambakernels.environments import Environment
from mambakernels.environments.virtual import sees_the_system
from mambakernels.errors import ActivationError, InvalidRequestError, KernelError
from mambakernels.kernels import command_lines, folders, launcher, logo, naming
from mambakernels.kernels.blas import Processors, ThreadChoice, choose_threads
from mambakernels.kernels.naming import KernelOptions
from mambakernels.kernels.packaged_kernelspecs import PackagedKernelspec, read_packaged
from mambakernels.kernels.specs import (
    MARK,
    Json,
    JupyterFolder,
    KernelMark,
    KernelSpec,
    is_damaged,
    is_gone,
    read_kernelspec,
)
from mambakernels.paths import same_place
from mambakernels.system import quoting

# Settings of the Jupyter server's session that must not change which packages the kernel finds; to Python and R, an
# empty value means unset. VIRTUAL_ENV: IPython puts the packages of any other one first, and warns of an empty one.
_ISOLATION = {"PYTHONNOUSERSITE": "1", "PYTHONPATH": "", "PYTHONHOME": "", "VIRTUAL_ENV": "{prefix}"}
_ISOLATION_OF_R = {"R_LIBS": "", "R_LIBS_USER": ""}
_EMPTY_IS_UNSET = re.compile(r"PYTHON[A-Z]+|LD_(LIBRARY_PATH|PRELOAD)|DYLD_\w+")


@dataclass(frozen=True)
class _Registration:
    """The parts that the kernelspecs of one registration share."""

    environment: Environment
    options: KernelOptions
    threads: ThreadChoice
    activation: Activation
    env: Mapping[str, str]
    alone: bool

    def write(self, jupyter: JupyterFolder, kernel: str, packaged: PackagedKernelspec) -> KernelSpec:
        """Write one kernelspec, with its pictures and files."""
        words = packaged.command(self.environment)
        pictures = logo.logos(packaged.language, self.environment.blas)
        theirs = {
            name: file for name, file in packaged.resources().items() if not (pictures and name.startswith("logo-"))
        }
        resources = {**theirs, **pictures, **launcher.files(words)}
        return jupyter.write(kernel, self._document(jupyter, kernel, packaged, words), resources=resources)

    def _document(self, jupyter: JupyterFolder, kernel: str, packaged: PackagedKernelspec, words: list[str]) -> Json:
        title = naming.display_name(
            self.environment, packaged, kernel, self.options, threads=self.threads.count, alone=self.alone
        )
        return {
            **packaged.document,
            "argv": launcher.command(words, jupyter.kernels / kernel),
            "display_name": naming.unique(title, kernel, _shown_by_others(jupyter, kernel)),
            "language": packaged.language,
            "env": launcher.with_dyld_variables(
                {**self.env, **_composed(packaged, self.env), **_checked_variables(self.options.variables)}
            ),
            "metadata": {
                **packaged.document.get("metadata", {}),
                **_interpreter(packaged, words),
                MARK: self._mark(packaged, kernel, words[0]).as_dict(),
            },
        }

    def _mark(self, packaged: PackagedKernelspec, kernel: str, program: str) -> KernelMark:
        options, environment, limit = self.options, self.environment, self.threads
        return KernelMark(
            environment=environment.name,
            prefix=environment.prefix,
            root=environment.root.path,
            blas=environment.blas,
            fingerprint=self.activation.fingerprint,
            spec=packaged.name,
            kernel=kernel,
            program=Path(program),
            stand_in=Path(sys.executable),
            base=naming.base(environment, options),
            asked_name=options.name,
            title=options.title,
            variant=options.variant,
            variables=dict(options.variables),
            threads=options.threads,
            declared_in=options.declared_in,
            limit=None if limit.asked else limit.count,
            limited_by=None if limit.asked else limit.why,
            version=version("mambakernels"),
        )


def register_kernels(
    environment: Environment,
    *,
    name: str | None = None,
    display_name: str | None = None,
    variant: str | None = None,
    env: Mapping[str, str] | None = None,
    threads: int | None = None,
    declared_in: str | None = None,
    over: Path | None = None,
    data_dir: Path | None = None,
) -> list[KernelSpec]:
    """Register every kernel in an environment's packages with Jupyter, activated; again after something changed.

    For the options see `kernels.register`; the Python kernel gets the name, other kernels `<name>-<kernelspec>`.
    `declared_in` is the project's file that declares it. Kernels of the prefix `over` are replaced like the
    environment's. `data_dir` is a Jupyter data folder other than the user's.

    Raises `KernelError` (no kernel in the environment, a name that is taken), `ActivationError` and
    `InvalidRequestError` before anything is written, and `StorageError`.
    """
    chosen_env = {name.upper() if os.name == "nt" else name: value for name, value in (env or {}).items()}
    options = KernelOptions(name, display_name, variant, chosen_env, threads, declared_in)
    extra = _checked_variables(options.variables)
    naming.check_title(display_name or "")
    packaged = read_packaged(environment)
    names = naming.kernel_names(environment, packaged, options)
    isolation = _isolation(environment)
    session = {name: value for name, value in os.environ.items() if name not in isolation}
    chosen = choose_threads(threads, environment.blas, processors=Processors.here(), session=session)
    activation = capture(environment.prefix, root=environment.root.path, environ=session)
    variables = isolation | _templates(environment, activation, threads=chosen, extra=extra)
    registration = _Registration(environment, options, chosen, activation, variables, alone=len(packaged) == 1)
    jupyter = JupyterFolder(data_dir.absolute() if data_dir else folders.data_folder())
    with jupyter.locked():
        for kernel in names:
            check_free(jupyter, kernel, environment.prefix, environment.name, over=over)
        folders.record(environment.root, jupyter.path)
        _remove_stale(jupyter, environment.prefix, naming.base(environment, options), names)
        return [registration.write(jupyter, kernel, spec) for kernel, spec in zip(names, packaged, strict=True)]


def check_free(jupyter: JupyterFolder, name: str, prefix: Path, environment: str, *, over: Path | None = None) -> None:
    """Raise `KernelError` if a kernelspec has that name already, unless it is this prefix's, or its prefix is gone.

    A kernelspec in another folder of Jupyter's path counts as well, unless this kernel exists already: one of the two
    would hide the other.
    """
    there = jupyter.find(name)
    if there is not None:
        if not _is_replaceable(there, name, {prefix, over}):
            raise _taken(name, there, environment)
        return
    searched = folders.searched()
    for folder in searched if jupyter.path in searched else ():
        other = JupyterFolder(folder).find(name)
        if other is not None and (other / "kernel.json").exists() and not _is_replaceable(other, name, {prefix, over}):
            raise _taken(name, other, environment)


def _remove_stale(jupyter: JupyterFolder, prefix: Path, base: str, names: Collection[str]) -> None:
    """Remove what an earlier registration wrote for kernelspecs that are no longer in the environment's packages."""
    for spec in jupyter.specs():
        theirs = spec.base == base and same_place(spec.prefix, prefix)
        if theirs and spec.name not in names and not spec.copied:
            jupyter.remove(spec)


def _is_replaceable(there: Path, name: str, prefixes: Iterable[Path | None]) -> bool:
    ours = read_kernelspec(there)
    if ours is None or ours.name != name:
        return False
    return is_gone(ours.prefix) or any(same_place(ours.prefix, prefix) for prefix in prefixes)


def _taken(name: str, there: Path, environment: str) -> KernelError:
    if is_damaged(there):
        return KernelError(
            f"The kernel {name!r} exists, and its kernel.json is damaged.",
            where=str(there),
            next_step=f"Remove it, then try again: {command_lines.to_remove_folder(there)}",
        )
    ours = read_kernelspec(there)
    owner = f"belongs to the environment {ours.environment!r}" if ours else "was not written by mambakernels"
    return KernelError(
        f"The name {name!r} is taken by a kernelspec that {owner}.",
        where=str(there),
        next_step=f"Give another name: mambakernels register {quoting.quote(environment)} --kernel {name}-2",
    )


def _interpreter(packaged: PackagedKernelspec, words: list[str]) -> Json:
    """Name the Python for VS Code, which otherwise uses the first word of the command."""
    is_python = launcher.runs_module(words) and packaged.language.lower() == "python"
    return {"interpreter": {"path": words[0]}} if is_python else {}


def _shown_by_others(jupyter: JupyterFolder, kernel: str) -> set[str]:
    """Return the display names of other kernels, here and wherever Jupyter looks."""
    everywhere = {jupyter.path, *folders.searched()}
    shown = (item for folder in everywhere for item in JupyterFolder(folder).display_names().items())
    return {title for folder, title in shown if folder.name.lower() != kernel}


def _isolation(environment: Environment) -> dict[str, str]:
    """Return the variables that keep the session's packages out of the kernel, escaped."""
    wanted = {**_ISOLATION, **(_ISOLATION_OF_R if environment.package("r-base") else {})}
    if sees_the_system(environment.prefix):  # as its `activate` leaves the user's packages to it
        del wanted["PYTHONNOUSERSITE"]
    return {name: _escape(value.format(prefix=environment.prefix)) for name, value in wanted.items()}


def _templates(
    environment: Environment, activation: Activation, *, threads: ThreadChoice, extra: Mapping[str, str]
) -> dict[str, str]:
    """Return a kernelspec's `env`: templates, which Jupyter fills in from the server's environment.

    A thread count that was asked for overrides what activation sets; a limit that mambakernels chose does not.
    """
    before, after = ({}, threads.variables) if threads.asked else (threads.variables, {})
    literal = {**before, **_emptied(environment, activation, extra), **activation.set, **after}
    path = [*map(_escape, activation.path_prepend), "${PATH}", *map(_escape, activation.path_append)]
    return {name: _escape(value) for name, value in literal.items()} | {"PATH": os.pathsep.join(path)}


def _escape(value: str) -> str:
    return value.replace("$", "$$")


def _emptied(environment: Environment, activation: Activation, chosen: Mapping[str, str]) -> dict[str, str]:
    """Return values for variables that activation removes, as a kernelspec can only set variables.

    An empty value is set where it means the same. Where it does not, and the user has not chosen a value, the kernel
    would silently differ from the activated environment: `ActivationError`.
    """
    lost = [name for name in activation.unset if name not in chosen and not _EMPTY_IS_UNSET.fullmatch(name)]
    if lost:
        raise ActivationError(
            f"Activation unsets {', '.join(lost)}, but a kernelspec can only set variables.",
            where=str(environment.prefix),
            next_step="Choose its value in the kernel: register it with " + " ".join(f"--env {name}=" for name in lost),
        )
    return dict.fromkeys(activation.unset, "")


def _composed(packaged: PackagedKernelspec, activated: Mapping[str, str]) -> dict[str, str]:
    """Return the packaged kernelspec's `env`, filled in from the activated environment as Jupyter would do there."""

    def fill(match: re.Match[str]) -> str:
        return activated.get(match["named"] or match["braced"] or "", match[0])

    return {name: Template.pattern.sub(fill, str(value)) for name, value in packaged.document.get("env", {}).items()}


def _checked_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Check the variables that were asked for, and escape their values."""
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value or name == "PATH":
            raise InvalidRequestError(
                f"{f'{name}={value}'!r} cannot be set for a kernel.",
                next_step="PATH is the environment's." if name == "PATH" else "Choose another name or value.",
            )
    return {name: _escape(value) for name, value in env.items()}
