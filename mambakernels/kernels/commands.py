"""Commands of ours about a kernel, ready to be copied: what errors and the doctor tell to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from mambakernels.kernels import folders
from mambakernels.kernels.specs import KernelSpec
from mambakernels.paths import Root


def again(spec: KernelSpec, environment: str) -> str:
    """Return what registers a kernel as it was asked for, of the environment that is called, or at, `environment`.

    A project's kernel is asked for by its file. A copy made by hand becomes a kernel of its own.
    """
    if spec.declared_in and not spec.copied:
        return f"mambakernels {shlex.join(['sync', spec.declared_in])}{option(Root(spec.root))}"
    words = [word for name, value in _options(spec) if value is not None for word in (name, value)]
    return f"mambakernels {shlex.join(['register', environment, *words])}{option(Root(spec.root))}"


def _options(spec: KernelSpec) -> Iterator[tuple[str, str | None]]:
    yield "--kernel", spec.name if spec.copied else spec.asked_name
    yield "--variant", spec.variant
    yield "--display-name", literal(spec.display_name) if spec.copied else spec.title
    yield "--threads", None if spec.threads is None else str(spec.threads)
    yield "--jupyter", None if spec.jupyter == folders.choose() else str(spec.jupyter)
    for name, value in spec.variables.items():
        yield "--env", f"{name}={value}"


def unregister(spec: KernelSpec) -> str:
    """Return what removes this kernel, and none of that name in another Jupyter folder."""
    words = ["unregister", spec.name, "--jupyter", str(spec.jupyter)]
    return f"mambakernels {shlex.join(words)}{option(Root(spec.root))}"


def literal(display_name: str) -> str:
    """Return the template of a display name that has no fields: a brace itself is written twice."""
    return display_name.replace("{", "{{").replace("}", "}}")


def called(prefix: Path, root: Root) -> str:
    """Return what a command names an environment of ours by: its name, or its path where it is outside the root."""
    return prefix.name if prefix.parent == root.environments else str(prefix)


def option(root: Root) -> str:
    """Return how a command is told the root, if it is not the one it would take by itself."""
    return "" if root == Root.find() else f" --root {shlex.quote(str(root.path))}"
