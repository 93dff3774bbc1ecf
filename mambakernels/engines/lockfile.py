"""Lockfiles, exact packages per subdir: those of rattler written in a worker, those of other tools read as well."""

from __future__ import annotations

import json
import operator
import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mambakernels import errors, paths
from mambakernels.engines import Package, foreign_locks, locked_requirements
from mambakernels.progress import Progress
from mambakernels.system import files, process, yaml

# pixi's name for the only environment of a project.
_ENVIRONMENT = "default"

Kind = Literal["rattler", "conda-lock", "micromamba"]
_TOP_LEVEL_KEY = re.compile(r"^[\"']?([\w-]+)[\"']?[ \t]*:(?=\s)", re.MULTILINE)
_TOOLS = {"rattler": "rattler or pixi", "conda-lock": "conda-lock"}
_INSTEAD = {
    "rattler": "Write it again with another version of the tool that it comes from.",
    "conda-lock": "Render it, and use that file: conda-lock render --kind explicit",
}
_KINDS = (
    "A lockfile is one of mambakernels, pixi, conda-lock or micromamba (.json), or an @EXPLICIT list of addresses. "
    "Make one: mambakernels lock NAME -o FILE.lock"
)


@dataclass(frozen=True)
class Lockfile:
    """The content of a lockfile: channels, and for each subdir the conda packages and pip's requirements.

    `notes` say which part of a file with several was read.
    """

    channels: tuple[str, ...]
    packages: Mapping[str, tuple[Package, ...]]
    pip: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def write(path: Path, content: Lockfile) -> None:
    """Write a lockfile; the packages need their records."""
    files.write_atomically(path, text(content))


def text(content: Lockfile) -> str:
    """Return a lockfile as text; the packages need their records."""
    packages = {
        subdir: [{**package.record, **package.identity} for package in found]
        for subdir, found in content.packages.items()
    }
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
        path = Path(folder) / "lock"
        message = {"do": "write", "path": str(path), "channels": content.channels, "packages": packages}
        process.Worker(__name__).call(message)
        return path.read_text(encoding="utf-8")


def kind_of(text: str) -> Kind | None:
    """Return which tool's lockfile a text is, by its keys; None if it is none."""
    if text.lstrip().startswith("{"):
        return "micromamba" if re.search(r'"lockVersion"\s*:', text) else None
    keys = set(_TOP_LEVEL_KEY.findall(text))
    if {"version", "environments", "packages"} <= keys:
        return "rattler"
    return "conda-lock" if {"metadata", "package"} <= keys else None


def read(path: Path, *, text: str | None = None, environment: str | None = None) -> Lockfile:
    """Read a lockfile of rattler, pixi, conda-lock or micromamba, recognised by its content, its `text`.

    `environment` is which of several in it; by default the one called `default`, or the only one. Of conda-lock's
    categories, the main one is read. InvalidRequestError if the file is not a lockfile, or has a package for this
    machine that only other tools can install.
    """
    text = _text(path) if text is None else text
    kind = kind_of(text)
    if kind is None:
        raise errors.InvalidRequestError("This is not a lockfile.", where=str(path), next_step=_KINDS)
    if kind == "micromamba":
        channels, packages, pip = foreign_locks.read_json(text, path)
        found = {subdir: tuple(listed) for subdir, listed in packages.items()}
        return Lockfile(channels, found, {subdir: tuple(lines) for subdir, lines in pip.items()})
    message = {"do": "read", "path": str(path.absolute()), "text": text, "kind": kind, "environment": environment}
    answer = process.Worker(__name__).call(message)
    return Lockfile(
        channels=tuple(answer["channels"]),
        packages={subdir: tuple(map(Package.from_record, records)) for subdir, records in answer["packages"].items()},
        pip={subdir: tuple(requirements) for subdir, requirements in answer["pip"].items()},
        notes=tuple(answer["notes"]),
    )


def _text(path: Path) -> str:
    try:
        return files.read_text(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise errors.NotFoundError(
            "There is no such lockfile.", where=str(path), next_step="Make one: mambakernels lock NAME -o FILE.lock"
        ) from error
    except UnicodeDecodeError as error:
        raise errors.InvalidRequestError("This is not a text file.", where=str(path), next_step=_KINDS) from error


# ------------------------------------------------------------------------------------------------- in the child


def work(message: process.Json, progress: Progress) -> process.Json:
    """Read or write, as a message of the parent says."""
    del progress
    path = Path(message["path"])
    if message["do"] == "write":
        return _write(path, message["channels"], message["packages"])
    return _read(path, message["text"], message["kind"], message["environment"])


def _write(path: Path, channels: Sequence[str], packages: Mapping[str, Sequence[process.Json]]) -> process.Json:
    import rattler

    from mambakernels.engines.rattler import from_json

    platforms = {subdir: rattler.LockPlatform(subdir) for subdir in packages}
    lock = rattler.LockFile(list(platforms.values()))
    lock.set_channels(_ENVIRONMENT, [rattler.LockChannel(url) for url in channels])
    for subdir, records in packages.items():
        for record in records:
            lock.add_conda_package(_ENVIRONMENT, platforms[subdir], from_json(record))
    lock.to_path(path)
    return {}


def _read(path: Path, text: str, kind: Kind, name: str | None) -> process.Json:
    lock = _parsed(path, text, kind)
    environment, notes = _chosen(dict(sorted(lock.environments(), key=operator.itemgetter(0))), name, path)
    selection = _Selection.of(text, kind)
    found: dict[str, list[Any]] = {}
    pip: dict[str, list[str]] = {}
    for subdir, platform in _platforms(environment).items():
        packages = [item for item in environment.packages(platform) or [] if selection.has(subdir, item.name)]
        if _can_be_linked(packages, subdir, path):
            conda = [item for item in packages if not _is_python(item)]
            found[subdir] = [json.loads(item.repo_data_record().to_json()) for item in conda]
            pip[subdir] = [_requirement(item, selection, path) for item in packages if _is_python(item)]
    channels = [str(channel) for channel in environment.channels()]
    return {"channels": channels, "packages": found, "pip": pip, "notes": notes}


@dataclass(frozen=True)
class _Selection:
    """What a lockfile says that rattler does not pass on: the packages of the main category, and the editable ones."""

    main: Collection[tuple[str, str]] | None
    editable: Collection[str]

    @classmethod
    def of(cls, text: str, kind: Kind) -> _Selection:
        """Read it where there is anything of the kind; parsing takes a second for each megabyte."""
        in_categories = kind == "conda-lock" and re.search(r"\bcategory\b", text)
        content = yaml.load_written(text) if in_categories or re.search(r"\beditable: true", text) else None
        main = foreign_locks.main_category(content) if in_categories else None
        return cls(main, foreign_locks.editable(content))

    def has(self, subdir: str, name: str) -> bool:
        return self.main is None or (subdir, foreign_locks.normalized(name)) in self.main


def _parsed(path: Path, text: str, kind: Kind) -> Any:
    import rattler

    with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
        copy = Path(folder) / path.name  # in UTF-8, which the file itself may not be
        copy.write_text(text, encoding="utf-8")
        try:
            return rattler.LockFile.from_path(copy)
        except Exception as error:  # rattler raises no specific class here
            why = " ".join(str(error).split()).rstrip(".")
            raise errors.InvalidRequestError(
                f"This is a lockfile of {_TOOLS[kind]}, and cannot be read: {why}.",
                where=str(path),
                next_step=_INSTEAD[kind],
            ) from error


def _chosen(known: Mapping[str, Any], name: str | None, path: Path) -> tuple[Any, list[str]]:
    """Return the environment of a name, and what there is to say of the choice."""
    others = ", ".join(known)
    if name is not None and name not in known:
        raise errors.InvalidRequestError(
            f"This lockfile has no environment {name!r}.", where=str(path), next_step=f"Choose from: {others}."
        )
    if not known:
        raise errors.InvalidRequestError("This lockfile has no environment.", where=str(path))
    if name is None and len(known) > 1 and _ENVIRONMENT not in known:
        raise errors.InvalidRequestError(
            f"This lockfile has several environments: {others}.", where=str(path), next_step="Add: --environment NAME"
        )
    chosen = name or (_ENVIRONMENT if _ENVIRONMENT in known else next(iter(known)))
    said = f"{path}: environment {chosen!r} of {others}. For another: --environment NAME"
    return known[chosen], [said] if name is None and len(known) > 1 else []


def _platforms(environment: Any) -> dict[str, Any]:
    """Return the platforms by subdir; of several for one subdir, the one without further demands."""
    found: dict[str, Any] = {}
    for platform in environment.platforms():
        if str(platform.subdir) not in found or platform.name == str(platform.subdir):
            found[str(platform.subdir)] = platform
    return found


def _can_be_linked(packages: Sequence[Any], subdir: str, path: Path) -> bool:
    """Whether all packages are archives; InvalidRequestError if that matters here."""
    import rattler

    sources = [item.name for item in packages if isinstance(item, rattler.CondaLockedSourcePackage)]
    if sources and subdir == paths.subdir():
        raise errors.InvalidRequestError(
            f"The package {sources[0]} in this lockfile must be built from source, which mambakernels cannot do.",
            where=str(path),
            next_step="Install this environment with pixi, then: mambakernels register PREFIX",
        )
    return not sources


def _is_python(package: Any) -> bool:
    import rattler

    return isinstance(package, rattler.PypiLockedPackage)


def _requirement(package: Any, selection: _Selection, path: Path) -> str:
    try:
        kinds = {"sha256": package.hashes.sha256, "md5": package.hashes.md5}
    except AttributeError:  # py-rattler 0.28 wraps hashes even where there are none
        kinds = {}
    digest = next((f"{kind}={value.hex()}" for kind, value in kinds.items() if value), "")
    editable = foreign_locks.normalized(package.name) in selection.editable
    return locked_requirements.line(package.name, package.location, digest, folder=path.parent, editable=editable)
