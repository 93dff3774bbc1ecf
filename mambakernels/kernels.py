"""Environments as Jupyter kernels: static kernelspecs that start an environment's own program, activated."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from mambakernels import paths
from mambakernels.activation import Activation, capture
from mambakernels.environments import Environment
from mambakernels.errors import ActivationError, InvalidRequestError, KernelError, NotFoundError
from mambakernels.kernelspecs import MARK, SCHEMA, Json, JupyterFolder, KernelSpec, read

__all__ = ["KernelSpec", "list_kernels", "register", "unregister"]

# Jupyter lower-cases names and allows these characters; a leading dot hides the folder, a dash looks like an option.
_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,99}")
_INVALID = re.compile(r"[^a-z0-9._-]+")
_PYTHON_SPEC = "python3"  # ipykernel's
_RESOURCES = ("logo-*", "kernel.js", "kernel.css")

# How a language is written, and the package whose version is the language's.
_LANGUAGES = {"python": ("Python", "python"), "r": ("R", "r-base"), "julia": ("Julia", "julia")}
_BLAS = {
    "accelerate": "Accelerate",
    "blis": "BLIS",
    "mkl": "MKL",
    "netlib": "netlib",
    "nvpl": "NVPL",
    "openblas": "OpenBLAS",
}

# Settings of the Jupyter server's session that must not change which packages the kernel finds; to Python, an empty
# value means unset. VIRTUAL_ENV: IPython puts the packages of any other one first, and warns of an empty one.
_ISOLATION = {"PYTHONNOUSERSITE": "1", "PYTHONPATH": "", "PYTHONHOME": "", "VIRTUAL_ENV": "{prefix}"}
_EMPTY_IS_UNSET = re.compile(r"PYTHON[A-Z]+|LD_(LIBRARY_PATH|PRELOAD)|DYLD_\w+")


@dataclass(frozen=True)
class _Shipped:
    """A kernelspec as the environment's packages ship it."""

    name: str
    folder: Path
    document: Json

    @property
    def language(self) -> str:
        return str(self.document.get("language", ""))

    def resources(self) -> list[Path]:
        """Return its files that Jupyter's front ends use."""
        return [file for pattern in _RESOURCES for file in sorted(self.folder.glob(pattern)) if file.is_file()]


def register(
    environment: Environment,
    *,
    name: str | None = None,
    display_name: str | None = None,
    env: Mapping[str, str] | None = None,
    declared_in: str | None = None,
    over: Path | None = None,
    data_dir: Path | None = None,
) -> list[KernelSpec]:
    """Make every kernel that the environment ships visible to Jupyter, activated; again after something changed.

    The Python kernel is called `name` (default: the environment's), others `<name>-<shipped name>`. `env` are
    variables set last, literally. `declared_in` is the project's file that asks for it. Kernels of the
    prefix `over` are replaced like the environment's own. `data_dir` is a Jupyter data folder other than the user's.

    Raises `KernelError` (no kernel in the environment, a name that is taken), `ActivationError` and
    `InvalidRequestError` before anything is written, and `StorageError`.
    """
    extra = _checked_variables(env or {})
    shipped = _shipped(environment)
    names = _names(environment, shipped, name)
    session = {name: value for name, value in os.environ.items() if name not in _ISOLATION}
    activation = capture(environment.prefix, root=environment.root.path, environ=session)
    variables = _templates(environment, activation, chosen=extra)
    jupyter = _jupyter(data_dir)
    with jupyter.locked():
        for kernel in names:
            _check_free(jupyter, kernel, environment.prefix, environment.name, over=over)
        return [
            jupyter.write(
                kernel,
                _document(
                    environment,
                    spec,
                    display_name=_unique(jupyter, kernel, _display_name(environment, spec, display_name)),
                    env=variables | _composed(spec, variables) | extra,
                    fingerprint=activation.fingerprint,
                    asked={
                        "base": _base(environment, name),
                        "title": display_name,
                        "variables": dict(env or {}),
                        "declared_in": declared_in,
                    },
                ),
                resources=spec.resources(),
            )
            for kernel, spec in zip(names, shipped, strict=True)
        ]


def list_kernels(*, data_dir: Path | None = None) -> list[KernelSpec]:
    """Return the kernelspecs that mambakernels wrote, by name."""
    return _jupyter(data_dir).specs()


def check_name(name: str, prefix: Path, *, data_dir: Path | None = None) -> None:
    """Raise KernelError if the kernel of an environment of that name, at that prefix, could not be registered."""
    _check_free(_jupyter(data_dir), _INVALID.sub("-", name.lower()).lstrip("-."), prefix, name)


def refresh(environment: Environment, *, data_dir: Path | None = None) -> list[KernelSpec]:
    """Register an environment again in every way it is registered: what is in it, or its activation, has changed."""
    return _again(environment, environment, lambda base: base, data_dir=data_dir)


def copy(source: Environment, target: Environment, *, data_dir: Path | None = None) -> list[KernelSpec]:
    """Register an environment in every way that another is: kernels called after that one are called after this."""
    was, now = _base(source, None), _base(target, None)

    def named(base: str) -> str:
        return now + base[len(was) :] if base == was or base.startswith(f"{was}-") else f"{now}-{base}"

    return _again(source, target, named, data_dir=data_dir)


def move(source: Environment, target: Environment, *, data_dir: Path | None = None) -> list[KernelSpec]:
    """Hand an environment's kernels over to another: all keep their names, but for the one called as it was."""
    was, now = _base(source, None), _base(target, None)
    moved = _again(source, target, lambda base: now if base == was else base, data_dir=data_dir)
    unregister(environment=source, data_dir=data_dir)
    return moved


def _again(
    source: Environment, target: Environment, named: Callable[[str], str], *, data_dir: Path | None
) -> list[KernelSpec]:
    """Register an environment in every way that another is, under names derived from those there are."""
    asked = {spec.base: spec for spec in list_kernels(data_dir=data_dir) if _belongs(spec, source)}
    return [
        written
        for base, spec in asked.items()
        for written in register(
            target,
            name=named(base),
            display_name=spec.title,
            env=spec.variables,
            declared_in=spec.declared_in if source.prefix == target.prefix else None,
            over=source.prefix,
            data_dir=data_dir,
        )
    ]


def unregister(
    names: str | Iterable[str] = (), *, environment: Environment | str | None = None, data_dir: Path | None = None
) -> list[KernelSpec]:
    """Remove our kernelspecs of these names, and all of an environment; return what was removed.

    A name that is not one of ours raises `NotFoundError`, and then nothing is removed.
    """
    jupyter = _jupyter(data_dir)
    if not names and not any(environment is not None and _belongs(spec, environment) for spec in jupyter.specs()):
        return []  # a folder that cannot be written to is no matter then
    with jupyter.locked():
        known = {spec.name: spec for spec in jupyter.specs()}
        wanted = [name.lower() for name in ([names] if isinstance(names, str) else names)]
        if missing := [name for name in wanted if name not in known]:
            raise _not_ours(jupyter, missing[0], known)
        wanted += [spec.name for spec in known.values() if environment is not None and _belongs(spec, environment)]
        doomed = [known[name] for name in dict.fromkeys(wanted)]
        for spec in doomed:
            jupyter.remove(spec)
        return doomed


def _jupyter(data_dir: Path | None) -> JupyterFolder:
    return JupyterFolder(paths.jupyter_data() if data_dir is None else Path(data_dir).absolute())


def _belongs(spec: KernelSpec, environment: Environment | str) -> bool:
    if isinstance(environment, str):
        return spec.environment == environment
    return spec.prefix == environment.prefix


def _not_ours(jupyter: JupyterFolder, name: str, known: Iterable[str]) -> NotFoundError:
    there = jupyter.find(name)
    what = f"The kernel {name!r} is not one that mambakernels wrote." if there else f"There is no kernel {name!r}."
    return NotFoundError(
        what,
        where=str(there or jupyter.kernels),
        next_step=f"Kernels of mambakernels: {', '.join(known) or 'none yet'}.",
    )


def _shipped(environment: Environment) -> list[_Shipped]:
    """Read the kernelspecs in the environment, the Python kernel first."""
    folder = environment.prefix / "share" / "jupyter" / "kernels"
    files = sorted(folder.glob("*/kernel.json"), key=lambda file: (file.parent.name != _PYTHON_SPEC, file.parent.name))
    if not files:
        advice = f"For Python: mambakernels install {shlex.quote(environment.name)} ipykernel"
        raise KernelError(
            f"The environment {environment.name!r} brings no kernel: no package in it has a kernelspec.",
            where=str(folder),
            next_step=advice if environment.managed else "Install ipykernel with the program that made it.",
        )
    return [_Shipped(file.parent.name, file.parent, _read_shipped(file)) for file in files]


def _read_shipped(file: Path) -> Json:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise _unusable(file, str(error)) from error
    match document:
        case {"argv": [str(first), *rest], **others} if first and all(isinstance(word, str) for word in rest):
            if not isinstance(others.get("metadata", {}), dict) or not isinstance(others.get("env", {}), dict):
                raise _unusable(file, "its metadata or env is not an object")
            return dict(document)
    raise _unusable(file, "it names no command to start")


def _unusable(file: Path, why: str) -> KernelError:
    return KernelError(
        f"A kernelspec that the environment ships cannot be used: {why}.",
        where=str(file),
        next_step="If its files are damaged: mambakernels verify NAME --repair. Else update or remove its package.",
    )


def _names(environment: Environment, shipped: Sequence[_Shipped], name: str | None) -> list[str]:
    """Name the kernels: a name that was asked for is checked, one that is derived is made valid."""
    base = _base(environment, name)
    if not _NAME.fullmatch(base):
        raise InvalidRequestError(
            f"{(name or environment.name)[:80]!r} cannot be a kernel's name.",
            next_step="Use up to 100 ASCII letters, digits, '-', '_' and '.', the first a letter or digit.",
        )
    alone = name is not None and len(shipped) == 1
    return [base if alone or spec.name == _PYTHON_SPEC else _suffixed(base, spec.name) for spec in shipped]


def _base(environment: Environment, name: str | None) -> str:
    """Return the name that the names of all of an environment's kernels begin with."""
    return name.lower() if name is not None else _INVALID.sub("-", environment.name.lower()).lstrip("-.")


def _suffixed(base: str, name: str) -> str:
    return f"{base}-{_INVALID.sub('-', name.lower())}"


def _check_free(jupyter: JupyterFolder, name: str, prefix: Path, environment: str, *, over: Path | None = None) -> None:
    """Raise `KernelError` unless nothing has that name but a kernel of this prefix, or of one that is gone."""
    there = jupyter.find(name)
    if there is None:
        return
    ours = read(there)
    if ours and ours.name == name and (ours.prefix in {prefix, over} or not ours.prefix.exists()):
        return
    owner = f"belongs to the environment {ours.environment!r}" if ours else "was not written by mambakernels"
    raise KernelError(
        f"The name {name!r} is taken: the kernelspec that has it {owner}.",
        where=str(there),
        next_step=f"Give another name: mambakernels register {shlex.quote(environment)} --kernel {name}-2",
    )


def _document(
    environment: Environment,
    spec: _Shipped,
    *,
    display_name: str,
    env: Mapping[str, str],
    fingerprint: str,
    asked: Json,
) -> Json:
    mark = {
        "schema": SCHEMA,
        **asked,
        "environment": environment.name,
        "prefix": str(environment.prefix),
        "root": str(environment.root.path),
        "blas": environment.blas,
        "fingerprint": fingerprint,
        "spec": spec.name,
        "version": _version(),
    }
    return {
        **spec.document,
        "argv": _argv(environment, spec),
        "display_name": display_name,
        "language": spec.language,
        "env": dict(env),
        "metadata": {**spec.document.get("metadata", {}), MARK: mark},
    }


def _version() -> str:
    from importlib.metadata import version

    return version("mambakernels")


def _argv(environment: Environment, spec: _Shipped) -> list[str]:
    """Return the command with the environment's own program and folders in place of the Jupyter server's."""
    places = {"{prefix}": str(environment.prefix), "{resource_dir}": str(spec.folder)}
    words: list[str] = spec.document["argv"]
    for placeholder, folder in places.items():
        words = [word.replace(placeholder, folder) for word in words]
    return [_program(environment, words[0], spec), *words[1:]]


def _program(environment: Environment, word: str, spec: _Shipped) -> str:
    """Find the program to start: an absolute path as it is, else in the prefix; a Python under whatever name."""
    own = environment.prefix / "bin"
    candidates = [Path(word), own / Path(word).name] if Path(word).is_absolute() else [own / word]
    if re.fullmatch(r"python[0-9.]*", Path(word).name):
        candidates.append(environment.python)
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return str(candidate)
    raise _unusable(spec.folder / "kernel.json", f"its program {word} is not in the environment")


def _templates(environment: Environment, activation: Activation, *, chosen: Mapping[str, str]) -> dict[str, str]:
    """Return what a kernelspec's `env` says: templates, which Jupyter fills in from the server's environment."""
    isolation = {name: value.format(prefix=environment.prefix) for name, value in _ISOLATION.items()}
    literal = isolation | _emptied(environment, activation, chosen) | dict(activation.set)
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
            next_step=f"Say what it shall be in the kernel: mambakernels register {shlex.quote(environment.name)} "
            + " ".join(f"--env {name}=" for name in lost),
        )
    return dict.fromkeys(activation.unset, "")


def _composed(spec: _Shipped, activated: Mapping[str, str]) -> dict[str, str]:
    """Return the `env` that the environment ships, filled in from the activated environment as Jupyter would there."""

    def fill(match: re.Match[str]) -> str:
        return activated.get(match["named"] or match["braced"] or "", match[0])

    return {name: Template.pattern.sub(fill, str(value)) for name, value in spec.document.get("env", {}).items()}


def _checked_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Check the variables of a request, and escape their values."""
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidRequestError(f"{name!r} with {value!r} cannot be a variable of a kernel.")
    return {name: _escape(value) for name, value in env.items()}


def _display_name(environment: Environment, spec: _Shipped, chosen: str | None) -> str:
    """Write `{environment} · {language} {version} · {blas}`, without the parts that are not known."""
    label, package = _LANGUAGES.get(spec.language.lower(), (spec.language, ""))
    if chosen is not None:
        return chosen if spec.name == _PYTHON_SPEC else f"{chosen} · {label}"
    installed = environment.package(package) if package else None
    language = f"{label} {installed.version}" if installed else label
    blas = _BLAS.get(environment.blas, environment.blas) if environment.blas else ""
    return " · ".join(part for part in (environment.name, language, blas) if part)


def _unique(jupyter: JupyterFolder, kernel: str, display_name: str) -> str:
    """Add the kernel's name where another kernel already looks like it."""
    others = (shown for folder, shown in jupyter.display_names().items() if folder.name.lower() != kernel)
    return f"{display_name} ({kernel})" if display_name in others else display_name
