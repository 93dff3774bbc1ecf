"""What kernels are called: names that Jupyter finds, and display names that tell them apart."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mambakernels.environments import Environment
from mambakernels.errors import InvalidRequestError, KernelError
from mambakernels.kernels.shipped import PYTHON_SPEC, Shipped

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
_BLAS = {
    "accelerate": "Accelerate",
    "blis": "BLIS",
    "mkl": "MKL",
    "netlib": "netlib",
    "newaccelerate": "Accelerate",
    "nvpl": "NVPL",
    "openblas": "OpenBLAS",
}


@dataclass(frozen=True)
class Asked:
    """What a registration asked a kernel to be called."""

    name: str | None = None
    title: str | None = None
    variant: str | None = None


def base(environment: Environment, asked: Asked = Asked()) -> str:
    """Return the name that the names of all of a registration's kernels begin with; one that is derived is valid."""
    if asked.name is not None:
        return asked.name.lower()
    own = derived(environment.name)
    return own if asked.variant is None else f"{own}-{_valid(asked.variant)}"


def derived(environment: str) -> str:
    """Return the kernel's name that an environment's name makes."""
    return _valid(environment).lstrip("-.")


def kernel_names(environment: Environment, shipped: Sequence[Shipped], asked: Asked) -> list[str]:
    """Name the kernels; InvalidRequestError for a name that Jupyter would not find."""
    if asked.variant is not None and not re.search("[a-z0-9]", asked.variant.lower()):
        raise InvalidRequestError(f"{asked.variant!r} cannot be a variant's name.", next_step="Use letters or digits.")
    first = base(environment, asked)
    if not _NAME.fullmatch(first):
        raise InvalidRequestError(
            f"{(asked.name or environment.name)[:80]!r} cannot be a kernel's name.",
            next_step="Use up to 100 ASCII letters, digits, '-', '_' and '.', the first a letter or digit.",
        )
    alone = asked.name is not None and len(shipped) == 1
    names = [first if alone or spec.name == PYTHON_SPEC else f"{first}-{_valid(spec.name)}" for spec in shipped]
    for name, spec in zip(names, shipped, strict=True):
        if names.count(name) > 1:
            raise KernelError(
                f"Two kernelspecs of the environment {environment.name!r} would both be called {name!r}.",
                where=str(spec.folder),
                next_step="Jupyter ignores case and knows few characters: remove the package of one of them.",
            )
    return names


def display_name(
    environment: Environment, spec: Shipped, kernel: str, asked: Asked, *, threads: int | None, alone: bool
) -> str:
    """Fill in the title that was asked for, else `TEMPLATE`, leaving out what is not known.

    Parts of a title are separated by ` · `; a part of which no field is known is left out. A title without fields is
    taken as it is, and the language is added for kernels other than the Python one, unless it is `alone`.
    """
    label, package, uses_blas = _LANGUAGES.get(spec.language.lower(), (spec.title, "", False))
    installed = environment.package(package) if package else None
    known = {
        "environment": environment.name,
        "language": label,
        "version": installed.version if installed else "",
        "blas": _BLAS.get(environment.blas or "", environment.blas or "") if uses_blas else "",
        "variant": asked.variant or "",
        "threads": str(threads or ""),
        "kernel": kernel,
    }
    title = TEMPLATE if asked.title is None else asked.title
    used = check_title(title)
    if asked.title is not None and "language" not in used and spec.name != PYTHON_SPEC and not alone:
        title += f"{_BETWEEN}{{language}}"
    parts = [_filled(part, known) for part in title.split(_BETWEEN)]
    return _BETWEEN.join(part for part in parts if part) or kernel


def check_title(title: str) -> set[str]:
    """Return the fields of a display name's template; InvalidRequestError for one there is not."""
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


def suggestion(environment: str, name: str) -> str:
    """Return the command that registers under a name that is free."""
    return f"Give another name: mambakernels register {shlex.quote(environment)} --kernel {name}-2"


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
        next_step=f"Fields: {', '.join(f'{{{name}}}' for name in _FIELDS)}; a brace itself is written twice.",
    )
