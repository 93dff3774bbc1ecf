"""The public functions: what the command line does, each as one call. They report progress and never print."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mambakernels import channels, engines, environments, errors, kernels, paths
from mambakernels.engines import EngineName, Package
from mambakernels.engines.lockfile import Locked
from mambakernels.environments import Change, Cleaned, Environment, EnvironmentSpec, Format, Verification
from mambakernels.kernels import KernelSpec, folders
from mambakernels.kernels.shipped import has_kernel
from mambakernels.paths import Root
from mambakernels.progress import Progress, silent
from mambakernels.system.credentials import public

if TYPE_CHECKING:
    import pandas as pd

    from mambakernels.activation.shell_init import Initialization
    from mambakernels.bench.comparison import Comparison
    from mambakernels.bootstrap.installed import Installed
    from mambakernels.doctor import Examination
    from mambakernels.plots import Theme
    from mambakernels.plots.plotting import Drawn, FigureFormat
    from mambakernels.projects.sync import Synced
    from mambakernels.runs.records import Run
    from mambakernels.system.process import Completed

PathLike = str | os.PathLike[str]
P = ParamSpec("P")
R = TypeVar("R")


def _translated(function: Callable[P, R]) -> Callable[P, R]:
    """Turn operating-system errors (a full or read-only disk) into StorageError, which says what to do."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            raise errors.from_os_error(error) from error

    return wrapper


@_translated
def create(
    name: str = "",
    specs: Sequence[str] = (),
    *,
    file: PathLike | None = None,
    locked: PathLike | None = None,
    prefix: PathLike | None = None,
    engine: EngineName = "auto",
    channel: str | Sequence[str] = (),
    root: PathLike | None = None,
    register: bool = True,
    progress: Progress = silent,
) -> Environment:
    """Make an environment from match specs, a file or both, and register it as Jupyter kernels.

    `file` is an `environment.yml` (also with a `pip:` part and `variables`), a list of specs, an `@EXPLICIT` file or
    a lockfile; `locked` is a lockfile whose packages are to be linked exactly. `prefix` is where to make it, if not
    at its name under the root. An environment made from the same is returned as it is. `channel` is `auto`, `wheels`,
    `conda-forge`, a URL or a folder, or several of these, the first one first. Raises InvalidRequestError,
    SolveError, ChannelError, EngineError, ActivationError or KernelError; nothing half-made is left then.
    """
    place = Root.find(root)
    spec = _spec(name or (Path(prefix).name if prefix is not None else ""), specs, file, locked)
    spec = replace(spec, channels=_several(channel) or spec.channels, engine=engine)
    target = None if prefix is None else Path(prefix)
    if register:
        where = environments.Location.at(target, place) if target else environments.Location.named(spec.name, place)
        kernels.check_name(where.name, where.prefix)
    environment = environments.create_environment(spec, root=place, prefix=target, progress=progress)
    if register:
        with environments.held(target or environment.name, place) as environment:
            _registered(environment)
    return environment


@_translated
def solve(
    specs: Sequence[str] = (),
    *,
    file: PathLike | None = None,
    locked: PathLike | None = None,
    engine: EngineName = "auto",
    channel: str | Sequence[str] = (),
    root: PathLike | None = None,
    progress: Progress = silent,
) -> tuple[Package, ...]:
    """Return the packages that `create` would link for these specs or this file; nothing is made.

    Raises InvalidRequestError, SolveError, ChannelError or EngineError.
    """
    spec = _spec("solve", specs, file, locked)
    spec = replace(spec, channels=_several(channel) or spec.channels, engine=engine)
    return environments.solve_spec(spec, root=Root.find(root), progress=progress)


@_translated
def get(name: PathLike, *, root: PathLike | None = None) -> Environment:
    """Return the environment of that name, or at that path (also one that others made); NotFoundError if none is."""
    return environments.find_environment(name, Root.find(root))


@_translated
def list_environments(*, root: PathLike | None = None) -> list[Environment]:
    """Return all environments under the root, by name."""
    return environments.environments_under(Root.find(root))


@_translated
def remove(name: PathLike, *, root: PathLike | None = None) -> None:
    """Remove an environment and the kernelspecs that point to it, those first."""
    with environments.held(name, Root.find(root)) as environment:
        environments.owned(environment)
        kernels.unregister(environment=environment)
        environments.discard_environment(environment)


@_translated
def install(
    name: PathLike,
    specs: Sequence[str],
    *,
    channel: str | Sequence[str] = (),
    engine: EngineName = "auto",
    dry_run: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Change:
    """Add match specs to an environment, changing as little else as can be; its kernels are activated anew.

    `channel` is where to look, by default where the environment came from. Raises as `create` does; the environment
    is then as it was, as it is after an interruption.
    """
    place = Root.find(root)
    change = environments.install_specs(
        name, specs, root=place, channel=_several(channel), engine=engine, dry_run=dry_run, progress=progress
    )
    return change if dry_run else _refreshed(change, name, place)


@_translated
def update(
    name: PathLike,
    names: Sequence[str] = (),
    *,
    channel: str | Sequence[str] = (),
    engine: EngineName = "auto",
    dry_run: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Change:
    """Bring packages (by default all) and what they depend on to the newest versions that the specs allow.

    Python stays at its minor version unless it is named. Raises as `install` does.
    """
    place = Root.find(root)
    change = environments.update_packages(
        name, names, root=place, channel=_several(channel), engine=engine, dry_run=dry_run, progress=progress
    )
    return change if dry_run else _refreshed(change, name, place)


@_translated
def uninstall(
    name: PathLike,
    names: Sequence[str],
    *,
    engine: EngineName = "auto",
    dry_run: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Change:
    """Take packages out of an environment, with what only they needed; InvalidRequestError if others need them."""
    place = Root.find(root)
    change = environments.uninstall_packages(name, names, root=place, engine=engine, dry_run=dry_run, progress=progress)
    return change if dry_run else _refreshed(change, name, place)


@_translated
def clone(
    name: PathLike,
    target: str,
    *,
    engine: EngineName = "auto",
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Environment:
    """Make another environment of the same packages and files, with kernels of its own like those of the first."""
    place = Root.find(root)
    source = environments.find_environment(name, place)
    environments.clone_environment(name, target, root=place, engine=engine, progress=progress)
    with environments.held(target, place) as made:
        kernels.copy(source, made)
    return made


@_translated
def rename(
    name: PathLike,
    target: str,
    *,
    engine: EngineName = "auto",
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Environment:
    """Give an environment another name: its files are linked anew for their new place, its kernels go with it.

    Interrupted, it is there under both names, and doing it again completes it.
    """
    place = Root.find(root)
    environments.clone_environment(name, target, root=place, engine=engine, progress=progress)
    with environments.held(name, place) as source, environments.held(target, place) as made:
        kernels.move(source, made)
        environments.discard_environment(source)
    return made


@_translated
def verify(
    name: PathLike,
    *,
    repair: bool = False,
    engine: EngineName = "auto",
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Verification:
    """Compare an environment's files with what its packages brought; `repair` links them anew where they differ."""
    place = Root.find(root)
    found = environments.verify_files(environments.find_environment(name, place), progress=progress)
    if not (repair and found.damage):
        return found
    damaged = {item.package for item in found.damage}
    environments.repair(name, damaged, root=place, engine=engine, progress=progress)
    return verify(name, root=root, progress=progress)


@_translated
def export(name: PathLike, *, form: Format = "yml", root: PathLike | None = None) -> str:
    """Return an environment as text: `yml` with exact builds, `specs` as it was asked for, `explicit`, or `lock`."""
    return environments.export_text(environments.find_environment(name, Root.find(root)), form=form)


@_translated
def lock(
    name: PathLike = "",
    specs: Sequence[str] = (),
    *,
    output: PathLike,
    file: PathLike | None = None,
    subdirs: Sequence[str] = (),
    engine: EngineName = "auto",
    channel: str | Sequence[str] = (),
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Locked:
    """Write a lockfile: of an environment as it is, or of specs or a file, solved for each of `subdirs`.

    An environment is solved anew, from its specs, where another subdir than this one is named.
    """
    place, path = Root.find(root), Path(output)
    if file is None and not specs:
        environment = environments.find_environment(name, place)
        if set(subdirs) <= {paths.subdir()}:
            return environments.lock_environment(environment, path)
        spec = EnvironmentSpec(environment.name, environments.owned(environment).specs, environment.channels)
    else:
        spec = _spec(os.fspath(name), specs, file, None)
    spec = replace(spec, channels=_several(channel) or spec.channels, engine=engine)
    return environments.lock_spec(spec, path, root=place, subdirs=subdirs, progress=progress)


@_translated
def clean(*, dry_run: bool = False, root: PathLike | None = None, progress: Progress = silent) -> list[Cleaned]:
    """Delete the package cache and what killed processes left; environments keep working. Return what it was."""
    return environments.delete_leftovers(Root.find(root), dry_run=dry_run, progress=progress)


@_translated
def describe(name: PathLike, *, root: PathLike | None = None) -> dict[str, Any]:
    """Return what is known of an environment: its manifest, what pip added, its kernels."""
    environment = environments.find_environment(name, Root.find(root))
    own = [item.name for item in kernels.list_kernels(root=environment.root) if item.prefix == environment.prefix]
    return {
        "name": environment.name,
        "prefix": str(environment.prefix),
        "managed": environment.managed,
        "engine": environment.engine,
        "created": environment.created,
        "blas": environment.blas,
        "specs": list(environment.specs),
        "channels": list(environment.channels),
        "variables": dict(environment.variables),
        "kernels": own,
        "pip": sorted(environments.pip_installed(environment.prefix)),
        "packages": [package.identity for package in environment.packages],
    }


@_translated
def register(
    name: PathLike,
    *,
    kernel: str | None = None,
    display_name: str | None = None,
    variant: str | None = None,
    env: Mapping[str, str] | None = None,
    threads: int | None = None,
    jupyter: PathLike = "user",
    add_ipykernel: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> list[KernelSpec]:
    """Register an environment's kernels with Jupyter, activated; again after its activation changed.

    `name` is an environment's, or the path of one that conda, mamba or pixi made. `kernel` is the kernelspec's name,
    by default the environment's, with a dash and the `variant` if there is one: another kernel of the environment.
    `display_name` may have fields: `{environment} · {language} {version} · {blas} · {variant}` is the default, also
    `{threads}` and `{kernel}`. `env` are variables set on top; `threads` sets those of all numeric libraries (0: leave
    them alone; None: no more than a container's quota allows). `jupyter` is `user`, `sys-prefix` or a Jupyter data
    folder. With `add_ipykernel`, that is installed where the environment has no kernel.
    """
    place = Root.find(root)
    if add_ipykernel:
        _add_ipykernel(name, place, progress)
    with environments.held(name, place) as environment:
        return kernels.register(
            environment,
            name=kernel,
            display_name=display_name,
            variant=variant,
            env=env,
            threads=threads,
            data_dir=folders.choose(jupyter),
        )


def _add_ipykernel(name: PathLike, root: Root, progress: Progress) -> None:
    """Install ipykernel in an environment of ours that has no kernel."""
    environment = environments.find_environment(name, root)
    if not has_kernel(environment):
        environments.owned(environment)
        environments.install_specs(name, ["ipykernel"], root=root, progress=progress)


@_translated
def sync(
    file: PathLike = "kernels.toml",
    *,
    dry_run: bool = False,
    prune: bool = False,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Synced:
    """Make the environments and kernels that a project's file declares; return the steps that took.

    With `dry_run`, nothing is changed. Only what was made for this file is changed, and with `prune` removed when it
    is declared no more. `root` is where environments live, if not where the file says. InvalidRequestError tells
    what is wrong in the file; the error of a step that fails says what was done and what is left.
    """
    from mambakernels.projects import kernels_toml
    from mambakernels.projects import sync as project_sync

    declared = kernels_toml.read(Path(file))
    place = Root.find(root or declared.root)
    return project_sync.sync(declared, place, dry_run=dry_run, prune=prune, progress=progress)


def _registered(environment: Environment) -> None:
    """Register the kernels of an environment that was just made; an error says that it is there all the same."""
    try:
        kernels.register(environment)
    except errors.MambakernelsError as error:
        again = f"The environment is there; when that is mended: mambakernels register {environment.name}"
        error.next_step = "\n".join(filter(None, (error.next_step, again)))
        raise


def _spec(name: str, specs: Sequence[str], file: PathLike | None, locked: PathLike | None) -> EnvironmentSpec:
    """Put together what was asked for in words and in a file."""
    if locked is not None:
        if specs or file is not None:
            raise errors.InvalidRequestError(
                "A lockfile says exactly what is installed; specs beside it would not be heeded.",
                next_step="Leave one of them out, or install the specs afterwards.",
            )
        exact = environments.read_file(Path(locked))
        if not exact.packages:
            raise errors.InvalidRequestError(
                "This is no lockfile: it does not name exact packages.",
                where=str(locked),
                next_step="A lockfile's name ends in .lock; `mambakernels lock` writes one. For specs, use --file.",
            )
        return replace(exact, name=name or Path(locked).stem)
    given = EnvironmentSpec(name, ()) if file is None else environments.read_file(Path(file))
    if given.packages and specs:
        raise errors.InvalidRequestError("A file of exact packages cannot be combined with specs.", where=str(file))
    return replace(given, name=name or given.name, specs=(*given.specs, *specs))


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _refreshed(change: Change, name: PathLike, root: Root) -> Change:
    """Activate the kernels anew, also if nothing has changed now: a call before may have been killed."""
    with environments.held(name, root) as environment:
        kernels.refresh(environment)
    return change


@_translated
def unregister(*names: str, jupyter: PathLike | None = None, root: PathLike | None = None) -> list[KernelSpec]:
    """Remove kernelspecs that mambakernels wrote, in every Jupyter folder or only in one; the environments stay."""
    only = None if jupyter is None else folders.choose(jupyter)
    return kernels.unregister(names, root=Root.find(root), data_dir=only)


@_translated
def list_kernels(*, root: PathLike | None = None) -> list[KernelSpec]:
    """Return the kernelspecs that mambakernels wrote, by environment: where Jupyter looks, and where else they went."""
    return kernels.list_kernels(root=Root.find(root))


@_translated
def prune(
    *, only: Sequence[KernelSpec] | None = None, dry_run: bool = False, root: PathLike | None = None
) -> list[KernelSpec]:
    """Remove kernelspecs that mambakernels wrote and whose environment is gone (of these, `only` some); return them."""
    found = kernels.prunable(root=Root.find(root)) if only is None else list(only)
    return found if dry_run else kernels.prune(found)


@_translated
def examine(
    *names: str,
    start: bool = False,
    fix: bool = False,
    engine: EngineName = "auto",
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Examination:
    """Find out what is wrong with the kernels and environments there are, or with those named, which are started too.

    With `start`, every kernel is started; with `fix`, what is safe is mended, and the rest is what is returned. Nothing
    that mambakernels did not make is changed. NotFoundError for a name that is no kernel's and no environment's.
    """
    from mambakernels import doctor

    return doctor.examine(names, root=Root.find(root), start=start, fix=fix, engine=engine, progress=progress)


@_translated
def run(
    notebook: PathLike,
    *,
    kernels: str | Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    output: PathLike | None = None,
    timeout: float | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> list[Run]:
    """Execute one notebook on each kernel, one after another; see `mambakernels.runs.execute.run`."""
    from mambakernels.runs import execute

    return execute.run(
        notebook,
        kernels=kernels,
        parameters=parameters,
        output=output,
        timeout=timeout,
        resume=resume,
        progress=progress,
    )


@_translated
def bench(
    kernels: str | Sequence[str],
    *,
    operations: Sequence[str] = ("gemm", "solve", "svd"),
    sizes: str | Sequence[int] = (256,),
    dtypes: Sequence[str] = ("float64",),
    threads: str | Sequence[int] = (),
    budget: float = 60.0,
    seed: int = 0,
    save: PathLike | None = None,
    base: PathLike | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Comparison:
    """Measure operations on kernels, alive side by side and in rounds; see `mambakernels.bench.comparison.bench`."""
    from mambakernels.bench import comparison

    return comparison.bench(
        kernels,
        operations=operations,
        sizes=sizes,
        dtypes=dtypes,
        threads=threads,
        budget=budget,
        seed=seed,
        save=save,
        base=base,
        force=force,
        progress=progress,
    )


@_translated
def parse_parameters(notebook: PathLike, assignments: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` texts as values for a notebook's parameters; InvalidRequestError if one does not fit."""
    from mambakernels.runs import notebooks, parameters

    known = parameters.read_parameters(notebooks.read_notebook(notebook)) if assignments else None
    return {} if known is None else dict(parameters.parse_assignment(text, known) for text in assignments)


@_translated
def collect(*notebooks: PathLike) -> pd.DataFrame:
    """Read executed notebooks (files, folders, patterns) into one DataFrame, a row per measurement."""
    from mambakernels.runs import results

    return results.collect(notebooks)


@_translated
def plot(
    *sources: PathLike,
    output: PathLike = ".",
    figures: Sequence[str] = (),
    theme: Theme = "light",
    format: FigureFormat = "png",  # noqa: A002 (as in `plotting.plot`)
) -> Drawn:
    """Draw figures of results as files in the folder `output`; see `mambakernels.plots.plotting.plot`.

    `sources` is a file that `collect` or `bench` wrote, or executed notebooks and their folders. Figures: gflops,
    ratios, threads, roofline, accuracy, paths, summary.
    """
    from mambakernels.plots import plotting

    return plotting.plot(*sources, output=output, figures=figures, theme=theme, format=format)


@_translated
def build_channel(
    specs: Sequence[str] = (), *, update: bool = False, root: PathLike | None = None, progress: Progress = silent
) -> str:
    """Build the `wheels` channel, or add packages to it, and return its URL; `update` looks for newer versions."""
    from mambakernels.channels import wheels

    place = Root.find(root)
    wheels.ensure(place, specs, update=update, progress=progress)
    return wheels.url(place)


@_translated
def list_channel(*, root: PathLike | None = None) -> list[dict[str, Any]]:
    """Return the records of the `wheels` channel's packages (name, version, build, license, size in bytes, …)."""
    from mambakernels.channels import conda_packages, wheels

    found = conda_packages.records(wheels.folder(Root.find(root)), paths.subdir())
    return sorted(({"file": name, **record} for name, record in found.items()), key=lambda item: str(item["file"]))


@_translated
def clean_channel(*, root: PathLike | None = None) -> int:
    """Remove the `wheels` channel and the package cache; return the bytes freed. Environments keep working."""
    from mambakernels.channels import wheels

    return wheels.clean(Root.find(root))


@_translated
def info(*, root: PathLike | None = None) -> dict[str, Any]:
    """Return what mambakernels would use here: places, engine, channels, and which BLAS can be had."""
    import importlib.metadata

    from mambakernels.channels import blas_libraries, wheels

    place = Root.find(root)
    state = wheels.load(place)
    return {
        "version": importlib.metadata.version("mambakernels"),
        "python": platform.python_version(),
        "subdir": paths.subdir(),
        "root": str(place.path),
        "kernels": str(paths.jupyter_data() / "kernels"),
        "engine": _engine_in_words(place),
        "conda_forge": public(channels.conda_forge()),
        "wheels_channel": wheels.url(place) if state else None,
        "wheels_packages": len(state.files) if state else 0,
        "blas": {item.name: blas_libraries.why_not(item) or "available" for item in blas_libraries.TABLE},
        "environments": len(environments.environments_under(place)),
    }


def _engine_in_words(root: Root) -> str:
    """Say which engine would be used, or why none can be."""
    try:
        engine, why = engines.choose(root=root, fetch=False)
    except errors.EngineError as error:
        return f"none: {error.what} ({error.where})"
    return f"{engine.name} {engine.version} ({why})"


@_translated
def execute(name: str, argv: Sequence[str], *, root: PathLike | None = None) -> int:
    """Run a command in an activated environment in place of this program; see `activation.programs.execute`."""
    from mambakernels.activation import programs

    return programs.execute(name, argv, root=Root.find(root))


@_translated
def call(
    name: str,
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: PathLike | None = None,
    root: PathLike | None = None,
) -> Completed:
    """Run a command in an activated environment to its end, and return its exit status and last lines.

    Each line of its output goes to `on_line` as it comes; `name` may be a path to any conda environment.
    """
    from mambakernels.activation import programs

    return programs.call(name, argv, root=Root.find(root), on_line=on_line, env=env, cwd=Path(cwd) if cwd else None)


@_translated
def open_shell(name: str, shell: str | None = None, *, root: PathLike | None = None) -> int:
    """Become an interactive shell in an activated environment; see `mambakernels.activation.programs.open_shell`."""
    from mambakernels.activation import programs

    return programs.open_shell(name, shell, root=Root.find(root))


@_translated
def init_shell(
    shell: str | None = None, *, root: PathLike | None = None, reverse: bool = False, dry_run: bool = False
) -> Initialization:
    """Have micromamba initialise a shell for the root prefix, or undo that; return what changes."""
    from mambakernels.activation import shell_init

    return shell_init.initialize(shell, root=Root.find(root), reverse=reverse, dry_run=dry_run)


@_translated
def bootstrap(
    *,
    source: PathLike | None = None,
    version: str | None = None,
    subdir: str | None = None,
    sha256: str | None = None,
    output: PathLike | None = None,
    root: PathLike | None = None,
    progress: Progress = silent,
) -> Installed:
    """Return the verified micromamba of the root, fetched first if it is not there; see `bootstrap.ensure`.

    `source` is a file, folder or address; `version` is `2.9.0`, `latest` or None, which is any that is there.
    """
    from mambakernels.bootstrap import ensure

    return ensure(
        Root.find(root),
        version=version,
        source=source,
        subdir=subdir,
        sha256=sha256,
        output=output,
        progress=progress,
    )


@_translated
def check_bootstrap(*, subdir: str | None = None, root: PathLike | None = None) -> Installed:
    """Verify the micromamba of the root, offline; NotFoundError, HashMismatchError or EngineError if it fails."""
    from mambakernels.bootstrap import check

    return check(Root.find(root), subdir=subdir)


@_translated
def remove_bootstrap(*, subdir: str | None = None, root: PathLike | None = None) -> bool:
    """Remove the micromamba of the root and say whether there was one; environments stay."""
    from mambakernels.bootstrap import remove

    return remove(Root.find(root), subdir=subdir)
