"""The request for an environment: match specs, or exact packages, and their channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mambakernels import errors
from mambakernels.engines import EngineName, Package
from mambakernels.engines.match_spec import name_of
from mambakernels.paths import PathLike
from mambakernels.progress import Event, Progress

# A spec whose name begins like one of these brings a kernel; otherwise, ipykernel is added.
_KERNEL_PACKAGES = ("ipykernel", "r-irkernel", "xeus", "bash_kernel", "ijulia", "octave_kernel")
_NUMERIC_WITH = ("numpy", "libblas", "blas", "mkl")


@dataclass(frozen=True)
class EnvironmentSpec:
    """The request for an environment: its name, its match specs, and the channels that packages may come from.

    `pip` are requirements that pip installs afterwards, `variables` are set at activation. If `packages` are given,
    exactly those are linked, without solving. Relative paths in `pip` start at `folder`. `declared_in` is the
    project's file with the request. `notes` say what was skipped in the file that it was read from.
    """

    name: str
    specs: tuple[str, ...]
    channels: tuple[str, ...] = ("auto",)
    engine: EngineName = "auto"
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[Package, ...] = ()
    folder: Path | None = None
    declared_in: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def report(self, progress: Progress) -> None:
        """Report the notes."""
        for note in self.notes:
            progress(Event("note", note))

    def completed(self) -> EnvironmentSpec:
        """Add ipykernel unless a spec brings a kernel, and pip if there are requirements for it."""
        stripped = tuple(spec.strip() for spec in self.specs)
        if self.pip and set(stripped) <= {"pip"}:
            stripped = ("python", "pip")
        if not stripped or not all(stripped):
            raise errors.InvalidRequestError(
                "An environment needs at least one match spec.", next_step="For example: python numpy 'libblas=*=*mkl'"
            )
        if self.packages:
            return self
        if self.pip and "pip" not in map(name_of, stripped):
            stripped = (*stripped, "pip")
        has_kernel = any(name_of(spec).startswith(_KERNEL_PACKAGES) for spec in stripped)
        return replace(self, specs=stripped if has_kernel else (*stripped, "ipykernel"))


def is_numeric(names: Sequence[str]) -> bool:
    """Whether packages of these names make a Python kernel with NumPy or a BLAS, which gets `mambakernels.numeric`."""
    return not set(names).isdisjoint(_NUMERIC_WITH) and "ipykernel" in names


def read_file(path: Path, *, environment: str | None = None, subdir: str | None = None) -> EnvironmentSpec:
    """Read an `environment.yml`, a list of specs, an `@EXPLICIT` file or a lockfile, recognised by its content.

    `environment` is which of several in a lockfile, `subdir` the platform whose specs are selected (default: this one).
    InvalidRequestError, with the line, for what cannot be read; what is skipped is in the `notes`.
    """
    from mambakernels.environments import spec_files  # with msgspec, for commands that read such a file only

    return spec_files.read(path, environment=environment, subdir=subdir)


def requested(
    name: str,
    specs: Sequence[str],
    *,
    file: PathLike | None = None,
    locked: PathLike | None = None,
    environment: str | None = None,
    subdir: str | None = None,
    channel: str | Sequence[str] = (),
    engine: EngineName = "auto",
) -> EnvironmentSpec:
    """Combine a request's words with its file: environment file, list of specs, `@EXPLICIT` file or lockfile.

    `environment` is which of several in a lockfile, `subdir` the platform that a file's selectors are for.
    """
    named = locked if locked is not None else file
    if named is None and environment is not None:
        raise errors.InvalidRequestError(
            f"There is no lockfile to take the environment {environment!r} from.", next_step="Add --locked FILE."
        )
    read = None if named is None else read_file(Path(named), environment=environment, subdir=subdir)
    if locked is not None:
        assert read is not None
        given = _from_lockfile(name, specs, file, read=read, locked=Path(locked))
    else:
        given = _from_words(name, specs, read, file)
    channels = (channel,) if isinstance(channel, str) else tuple(channel)
    return replace(given, channels=channels or given.channels, engine=engine)


def _from_lockfile(
    name: str, specs: Sequence[str], file: PathLike | None, *, read: EnvironmentSpec, locked: Path
) -> EnvironmentSpec:
    if specs or file is not None:
        raise errors.InvalidRequestError(
            "A lockfile names the exact packages, so it cannot be combined with specs or another file.",
            next_step="Leave one of them out, or install the specs afterwards.",
        )
    if not read.packages:
        raise errors.InvalidRequestError(
            "This is not a lockfile: it does not name exact packages.",
            where=str(locked),
            next_step="`mambakernels lock` writes one. For specs, use --file.",
        )
    return replace(read, name=name or locked.stem)


def _from_words(
    name: str, specs: Sequence[str], read: EnvironmentSpec | None, file: PathLike | None
) -> EnvironmentSpec:
    given = read or EnvironmentSpec(name, ())
    if given.packages and specs:
        raise errors.InvalidRequestError("A file of exact packages cannot be combined with specs.", where=str(file))
    return replace(given, name=name or given.name, specs=(*given.specs, *specs))


def of_packages(name: str, packages: Sequence[Package], channels: Sequence[str] = ()) -> EnvironmentSpec:
    """Return the spec of an environment of exactly these packages."""
    return EnvironmentSpec(name, tuple(package.spec for package in packages), tuple(channels), packages=tuple(packages))
