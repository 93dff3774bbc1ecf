"""The names of kernels, by which Jupyter finds them, and their display names."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mambakernels.environments import Environment
from mambakernels.errors import InvalidRequestError, KernelError
from mambakernels.kernels.blas import TITLES
from mambakernels.kernels.packaged_kernelspecs import PYTHON_SPEC, PackagedKernelspec

TEMPLATE = "{environment} · {language} {version} · {blas} · {variant}"
_FIELDS = ("environment", "language", "version", "blas", "variant", "threads", "kernel")
_BETWEEN = " · "

# Jupyter lower-cases names and allows these characters; a leading dot hides the folder, a dash looks like an option.
_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,99}")
_INVALID = re.compile(r"[^a-z0-9._-]+")

# How a language is written, the package whose version is the language's, and whether the environment's BLAS serves it.
_LANGUAGES = {
    "python": ("Python", "python", True),
    "r": ("R", "r-base", True),
    "octave": ("Octave", "octave", True),
    "julia": ("Julia", "julia", False),
    "bash": ("Bash", "bash", False),
}


@dataclass(frozen=True)
class KernelOptions:
    """The options of a registration: name, title (display name), variant, variables, thread count, a project's file."""

    name: str | None = None
    title: str | None = None
    variant: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    declared_in: str | None = None


def base(environment: Environment, options: KernelOptions) -> str:
    """Return the beginning of the names of all of a registration's kernels; a derived one is valid."""
    if options.name is not None:
        return options.name.lower()
    name = derived(environment.name)
    return name if options.variant is None else f"{name}-{_valid(options.variant)}"


def derived(environment: str) -> str:
    """Return the kernel name that is derived from an environment's name."""
    return _valid(environment).lstrip("-.")


def kernel_names(environment: Environment, packaged: Sequence[PackagedKernelspec], options: KernelOptions) -> list[str]:
    """Return the names of the kernels; InvalidRequestError for a name that Jupyter would not find."""
    if options.variant is not None and not re.search("[a-z0-9]", options.variant.lower()):
        raise InvalidRequestError(
            f"{options.variant!r} cannot be a variant's name.", next_step="Use letters or digits."
        )
    first = base(environment, options)
    if not _NAME.fullmatch(first):
        raise InvalidRequestError(
            f"{(options.name or environment.name)[:80]!r} cannot be a kernel's name.",
            next_step="Use up to 100 ASCII letters, digits, '-', '_' and '.', the first a letter or digit.",
        )
    alone = options.name is not None and len(packaged) == 1
    names = [first if alone or spec.name == PYTHON_SPEC else f"{first}-{_valid(spec.name)}" for spec in packaged]
    for name, spec in zip(names, packaged, strict=True):
        if names.count(name) > 1:
            raise KernelError(
                f"Two kernelspecs of the environment {environment.name!r} would both be called {name!r}.",
                where=str(spec.folder),
                next_step="Jupyter ignores case and allows few characters: remove the package of one of them.",
            )
    return names


def display_name(
    environment: Environment,
    spec: PackagedKernelspec,
    kernel: str,
    options: KernelOptions,
    *,
    threads: int | None,
    alone: bool,
) -> str:
    """Fill in the title of the options, else `TEMPLATE`.

    Parts of a title are separated by ` · `; a part without any known field is left out. A title without fields is
    used as it is, and the language is added for kernels other than the Python one, unless it is `alone`.
    """
    label, package, uses_blas = _LANGUAGES.get(spec.language.lower(), (spec.title, "", False))
    installed = environment.package(package) if package else None
    known = {
        "environment": environment.name,
        "language": label,
        "version": installed.version if installed else "",
        "blas": TITLES.get(environment.blas or "", environment.blas or "") if uses_blas else "",
        "variant": options.variant or "",
        "threads": str(threads or ""),
        "kernel": kernel,
    }
    title = TEMPLATE if options.title is None else options.title
    used = check_title(title)
    if options.title is not None and "language" not in used and spec.name != PYTHON_SPEC and not alone:
        title += f"{_BETWEEN}{{language}}"
    parts = [_filled(part, known) for part in title.split(_BETWEEN)]
    return _BETWEEN.join(part for part in parts if part) or kernel


def check_title(title: str) -> set[str]:
    """Return the fields of a display name's template; InvalidRequestError for an unknown one."""
    try:
        used = {field for _, field, _, _ in string.Formatter().parse(title) if field is not None}
    except ValueError as error:
        raise _bad_title(title, str(error)) from error
    if unknown := sorted(used - set(_FIELDS)):
        raise _bad_title(title, f"there is no field {unknown[0]!r}")
    return used


def unique(display: str, kernel: str, others: Iterable[str]) -> str:
    """Add the kernel's name where another kernel already looks like it."""
    return f"{display} ({kernel})" if display in others else display


def _valid(name: str) -> str:
    return _INVALID.sub("-", name.lower())


def _filled(part: str, known: dict[str, str]) -> str:
    fields = check_title(part)
    if fields and not any(known[field] for field in fields):
        return ""
    return " ".join(part.format(**known).split()) if fields else part.format()


def _bad_title(title: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{title!r} cannot be a display name: {why}.",
        next_step=f"Fields: {', '.join(f'{{{name}}}' for name in _FIELDS)}; write a brace itself twice.",
    )
