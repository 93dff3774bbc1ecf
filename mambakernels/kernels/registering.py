"""Environments as Jupyter kernels: static kernelspecs that start an environment's own program, activated."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from mambakernels.activation.capture import Activation, capture
from mambakernels.environments import Environment
from mambakernels.errors import ActivationError, InvalidRequestError, KernelError
from mambakernels.kernels import damaged, folders, launching, logo, naming
from mambakernels.kernels.naming import Asked
from mambakernels.kernels.shipped import Shipped, read_shipped
from mambakernels.kernels.specs import MARK, SCHEMA, Json, JupyterFolder, KernelSpec, is_gone, read
from mambakernels.kernels.threads import Threads, available, decide
from mambakernels.numeric.machine import cpu_quota

# Settings of the Jupyter server's session that must not change which packages the kernel finds; to Python and R, an
# empty value means unset. VIRTUAL_ENV: IPython puts the packages of any other one first, and warns of an empty one.
_ISOLATION = {"PYTHONNOUSERSITE": "1", "PYTHONPATH": "", "PYTHONHOME": "", "VIRTUAL_ENV": "{prefix}"}
_ISOLATION_OF_R = {"R_LIBS": "", "R_LIBS_USER": ""}
_EMPTY_IS_UNSET = re.compile(r"PYTHON[A-Z]+|LD_(LIBRARY_PATH|PRELOAD)|DYLD_\w+")


@dataclass(frozen=True)
class _Request:
    """What was asked for; see `register`."""

    asked: Asked
    env: Mapping[str, str]
    threads: int | None
    declared_in: str | None


@dataclass(frozen=True)
class _Registration:
    """What the kernelspecs of one registration have in common."""

    environment: Environment
    request: _Request
    threads: Threads
    activation: Activation
    env: Mapping[str, str]
    alone: bool

    def write(self, jupyter: JupyterFolder, kernel: str, spec: Shipped) -> KernelSpec:
        """Write one kernelspec, with the pictures and files that belong to it."""
        words = spec.command(self.environment)
        pictures = logo.logos(spec.language, self.environment.blas)
        own = {name: file for name, file in spec.resources().items() if not (pictures and name.startswith("logo-"))}
        resources = {**own, **pictures, **launching.files(words)}
        return jupyter.write(kernel, self._document(jupyter, kernel, spec, words), resources=resources)

    def _document(self, jupyter: JupyterFolder, kernel: str, spec: Shipped, words: list[str]) -> Json:
        shown = naming.display_name(
            self.environment, spec, kernel, self.request.asked, threads=self.threads.count, alone=self.alone
        )
        return {
            **spec.document,
            "argv": launching.command(words, jupyter.kernels / kernel),
            "display_name": naming.unique(shown, kernel, _shown_by_others(jupyter, kernel)),
            "language": spec.language,
            "env": {**self.env, **_composed(spec, self.env), **_checked_variables(self.request.env)},
            "metadata": {
                **spec.document.get("metadata", {}),
                **_interpreter(spec, words),
                MARK: {**self._asked(), **self._found(spec, kernel, words[0])},
            },
        }

    def _asked(self) -> Json:
        """Return what the mark says of the request, so that it can be done again."""
        asked = self.request.asked
        return {
            "base": naming.base(self.environment, asked),
            "name": asked.name,
            "title": asked.title,
            "variant": asked.variant,
            "variables": dict(self.request.env),
            "threads": self.request.threads,
            "declared_in": self.request.declared_in,
        }

    def _found(self, spec: Shipped, kernel: str, program: str) -> Json:
        """Return what the mark says of the environment as it was."""
        return {
            "schema": SCHEMA,
            "environment": self.environment.name,
            "prefix": str(self.environment.prefix),
            "root": str(self.environment.root.path),
            "blas": self.environment.blas,
            "fingerprint": self.activation.fingerprint,
            "spec": spec.name,
            "kernel": kernel,
            "program": program,
            "stand_in": launching.stand_in(),
            "limit": None if self.threads.asked else self.threads.count,
            "limited_by": None if self.threads.asked else self.threads.why,
            "version": _version(),
        }


def register(
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
    """Make every kernel that the environment ships visible to Jupyter, activated; again after something changed.

    The Python kernel is called `name` (default: the environment's, with a dash and the `variant` if that is given),
    others `<name>-<shipped name>`. `display_name` may have fields, as `naming.TEMPLATE` has. `env` are variables set
    last, literally; `threads` sets those of all numeric libraries, 0 leaves them alone, and None no more than a quota
    allows (`threads.decide`). `declared_in` is the project's file that asks for it. Kernels of the prefix `over` are
    replaced like the environment's own. `data_dir` is a Jupyter data folder other than the user's.

    Raises `KernelError` (no kernel in the environment, a name that is taken), `ActivationError` and
    `InvalidRequestError` before anything is written, and `StorageError`.
    """
    request = _Request(Asked(name, display_name, variant), dict(env or {}), threads, declared_in)
    extra = _checked_variables(request.env)
    naming.check_title(display_name or "")
    shipped = read_shipped(environment)
    names = naming.kernel_names(environment, shipped, request.asked)
    isolation = _isolation(environment)
    session = {name: value for name, value in os.environ.items() if name not in isolation}
    chosen = decide(threads, environment.blas, cores=available(), quota=cpu_quota(), session=session)
    activation = capture(environment.prefix, root=environment.root.path, environ=session)
    variables = isolation | _templates(environment, activation, threads=chosen, extra=extra)
    registration = _Registration(environment, request, chosen, activation, variables, alone=len(shipped) == 1)
    jupyter = JupyterFolder(data_dir.absolute() if data_dir else folders.choose())
    with jupyter.locked():
        for kernel in names:
            check_free(jupyter, kernel, environment.prefix, environment.name, over=over)
        folders.record(environment.root, jupyter.path)
        _remove_stale(jupyter, environment.prefix, naming.base(environment, request.asked), names)
        return [registration.write(jupyter, kernel, spec) for kernel, spec in zip(names, shipped, strict=True)]


def check_free(jupyter: JupyterFolder, name: str, prefix: Path, environment: str, *, over: Path | None = None) -> None:
    """Raise `KernelError` unless nothing has that name but a kernel of this prefix, or of one that is gone.

    What Jupyter finds in another folder counts as well, unless this kernel is there already: it would hide that one,
    or be hidden by it.
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
    """Remove what an earlier registration wrote for kernelspecs that the environment no longer ships."""
    for spec in jupyter.specs():
        if (spec.prefix, spec.base) == (prefix, base) and spec.name not in names and not spec.copied:
            jupyter.remove(spec)


def _is_replaceable(there: Path, name: str, prefixes: Iterable[Path | None]) -> bool:
    ours = read(there)
    return bool(ours and ours.name == name and (ours.prefix in prefixes or is_gone(ours.prefix)))


def _taken(name: str, there: Path, environment: str) -> KernelError:
    if damaged.is_damaged(there):
        next_step = f"{damaged.remedy(there)}\nThen again."
        return KernelError(f"The kernel {name!r} is there. {damaged.WHAT}.", where=str(there), next_step=next_step)
    ours = read(there)
    owner = f"belongs to the environment {ours.environment!r}" if ours else "was not written by mambakernels"
    return KernelError(
        f"The name {name!r} is taken: the kernelspec that has it {owner}.",
        where=str(there),
        next_step=naming.suggestion(environment, name),
    )


def _interpreter(spec: Shipped, words: list[str]) -> Json:
    """Say which Python it is, for VS Code, which otherwise takes the first word of the command for it."""
    is_python = launching.runs_module(words) and spec.language.lower() == "python"
    return {"interpreter": {"path": words[0]}} if is_python else {}


def _shown_by_others(jupyter: JupyterFolder, kernel: str) -> set[str]:
    """Return the display names of other kernels, here and wherever Jupyter looks."""
    everywhere = {jupyter.path, *folders.searched()}
    shown = (item for folder in everywhere for item in JupyterFolder(folder).display_names().items())
    return {title for folder, title in shown if folder.name.lower() != kernel}


def _version() -> str:
    from importlib.metadata import version

    return version("mambakernels")


def _isolation(environment: Environment) -> dict[str, str]:
    """Return what keeps packages of the session out of the kernel, escaped."""
    wanted = {**_ISOLATION, **(_ISOLATION_OF_R if environment.package("r-base") else {})}
    return {name: _escape(value.format(prefix=environment.prefix)) for name, value in wanted.items()}


def _templates(
    environment: Environment, activation: Activation, *, threads: Threads, extra: Mapping[str, str]
) -> dict[str, str]:
    """Return what a kernelspec's `env` says: templates, which Jupyter fills in from the server's environment.

    Threads that were asked for override what activation sets; a limit that nobody asked for does not.
    """
    before, after = ({}, threads.variables) if threads.asked else (threads.variables, {})
    literal = {**before, **_emptied(environment, activation, extra), **activation.set, **after}
    path = [*map(_escape, activation.path_prepend), "${PATH}", *map(_escape, activation.path_append)]
    return {name: _escape(value) for name, value in literal.items()} | {"PATH": os.pathsep.join(path)}


def _escape(value: str) -> str:
    return value.replace("$", "$$")


def _emptied(environment: Environment, activation: Activation, chosen: Mapping[str, str]) -> dict[str, str]:
    """Stand in for variables that activation removes: a kernelspec can set, not unset.

    Where an empty value means the same, it is set; where it does not, and the user has not chosen a value, the
    kernel would differ from the activated environment without anybody being told: `ActivationError`.
    """
    lost = [name for name in activation.unset if name not in chosen and not _EMPTY_IS_UNSET.fullmatch(name)]
    if lost:
        raise ActivationError(
            f"Activation removes {', '.join(lost)} from this session, and a kernelspec can only set variables.",
            where=str(environment.prefix),
            next_step="Say what it shall be in the kernel, by registering it with "
            + " ".join(f"--env {name}=" for name in lost),
        )
    return dict.fromkeys(activation.unset, "")


def _composed(spec: Shipped, activated: Mapping[str, str]) -> dict[str, str]:
    """Return the `env` that the environment ships, filled in from the activated environment as Jupyter would there."""

    def fill(match: re.Match[str]) -> str:
        return activated.get(match["named"] or match["braced"] or "", match[0])

    return {name: Template.pattern.sub(fill, str(value)) for name, value in spec.document.get("env", {}).items()}


def _checked_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Check the variables of a request, and escape their values."""
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value or name == "PATH":
            raise InvalidRequestError(
                f"{name!r} with {value!r} cannot be a variable of a kernel.",
                next_step="PATH is the environment's." if name == "PATH" else "Choose another name or value.",
            )
    return {name: _escape(value) for name, value in env.items()}
