"""Command lines of mambakernels about a kernel, ready to be copied: the advice of errors and findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mambakernels.kernels import folders
from mambakernels.kernels.specs import KernelSpec
from mambakernels.paths import Root, same_place
from mambakernels.system import quoting


def to_register(spec: KernelSpec, environment: str) -> str:
    """Return the command that registers a kernel again with its options; `environment` is a name or a path.

    A project's kernel is registered by its file. A copy made by hand becomes a kernel under its own name.
    """
    if spec.declared_in and not spec.copied:
        return f"mambakernels {quoting.join(['sync', spec.declared_in])}{root_option(Root(spec.root))}"
    words = [word for name, value in _options(spec) if value is not None for word in (name, value)]
    return f"mambakernels {quoting.join(['register', environment, *words])}{root_option(Root(spec.root))}"


def _options(spec: KernelSpec) -> Iterator[tuple[str, str | None]]:
    yield "--kernel", spec.name if spec.copied else spec.asked_name
    yield "--variant", spec.variant
    yield "--display-name", literal_title(spec.display_name) if spec.copied else spec.title
    yield "--threads", None if spec.threads is None else str(spec.threads)
    yield "--jupyter", None if spec.jupyter == folders.data_folder() else str(spec.jupyter)
    for name, value in spec.variables.items():
        yield "--env", f"{name}={value}"


def to_unregister(spec: KernelSpec) -> str:
    """Return the command that removes this kernel, and none of its name in another Jupyter folder."""
    words = ["unregister", spec.name, "--jupyter", str(spec.jupyter)]
    return f"mambakernels {quoting.join(words)}{root_option(Root(spec.root))}"


def to_remove_folder(folder: Path) -> str:
    """Return the command that removes a damaged kernelspec, so that it can be registered again."""
    return quoting.remove_folder(str(folder))


def literal_title(display_name: str) -> str:
    """Return the template of a display name that has no fields: braces are doubled."""
    return display_name.replace("{", "{{").replace("}", "}}")


def environment_argument(prefix: Path, root: Root) -> str:
    """Return a command's argument for one of our environments: its name, or its path if it is outside the root."""
    return prefix.name if same_place(prefix.parent, root.environments) else str(prefix)


def root_option(root: Root) -> str:
    """Return the option that names the root, empty if it is the default one."""
    return "" if root == Root.find() else f" --root {quoting.quote(str(root.path))}"
