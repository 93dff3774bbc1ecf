"""Build the `wheels` channel, as a worker process: download, stage, compile, relink, pack, publish."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mambakernels import errors, paths, process
from mambakernels.channels import blas as blas_table
from mambakernels.channels import downloads, interpreter, packages, relink, wheel, wheels
from mambakernels.channels.blas import Blas, Provider
from mambakernels.channels.names import wheel_name
from mambakernels.channels.packages import Recipe
from mambakernels.channels.wheels import Request, State
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress


@dataclass(frozen=True)
class Staged:
    """A package whose files are laid out but not yet packed; `source` names what it was made from."""

    source: str
    recipe: Recipe
    files: Path


@dataclass
class Build:
    """One build: where it works, what the channel has already, what was staged for it."""

    root: Root
    scratch: Path
    known: State
    progress: Progress
    sources: dict[str, str] = field(default_factory=dict)
    staged: list[Staged] = field(default_factory=list)

    def add(self, recipe: Recipe, origin: str, fill: Callable[[Path], Recipe | None]) -> None:
        """Lay a package out, unless the channel has one made from the same origin by the same recipe.

        `fill` puts the files into the folder it is given, and may return the recipe with licence texts added.
        """
        facts = {key: value for key, value in asdict(recipe).items() if key != "license_files"}
        digest = hashlib.sha256(json.dumps([facts, origin]).encode()).hexdigest()[:16]
        source = f"{recipe.version} {recipe.name} {digest}"
        if source in self.known.sources:
            self.sources[source] = self.known.sources[source]
            return
        self.progress(Event("stage", f"{recipe.name} {recipe.version}"))
        files = self.scratch / "stage" / f"{len(self.staged)}-{recipe.name}"
        files.mkdir(parents=True)
        self.staged.append(Staged(source, fill(files) or recipe, files))


@dataclass(frozen=True)
class Ready:
    """A BLAS whose distributions are here, unpacked, by provider name."""

    blas: Blas
    unpacked: dict[str, Path]


def work(message: process.Json, progress: Progress) -> process.Json:
    """Answer `wheels.ensure`: build what is missing and publish it, or leave the channel as it was."""
    root = Root(Path(message["root"]))
    request = Request(**{key: tuple(value) for key, value in message["request"].items()})
    known = wheels.load(root) or State(interpreter.fingerprint(), wheels.code())
    scratch = wheels.folder(root) / ".build"
    shutil.rmtree(scratch, ignore_errors=True)  # left by a process that was killed
    scratch.mkdir(parents=True)
    try:
        state = _build(Build(root, scratch, known, progress), request, update=message["update"], insist=message["insist"])
        wheels.save(root, state)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {"packages": len(state.files)}


def _build(build: Build, request: Request, *, update: bool, insist: bool) -> State:
    wanted = tuple(dict.fromkeys((*build.known.blas, *request.blas)))
    requirements = _requirements(build.known, request, update=update, insist=insist)
    with ThreadPoolExecutor(3) as pool:
        wheels_coming = pool.submit(_download_wheels, build, requirements, update=update)
        providers_coming = pool.submit(_download_providers, build, wanted)
        _stage_interpreter(build)
        found, (ready, missing) = wheels_coming.result(), providers_coming.result()
    if asked_for := [name for name in request.blas if name in missing and len(request.blas) == 1]:
        raise wheels.unavailable(blas_table.BY_NAME[asked_for[0]], missing[asked_for[0]])
    if not update:
        build.sources.update(build.known.sources)
    _stage_wheels(build, found)
    _stage_providers(build, ready)
    _compile(build)
    _stage_numpy(build, found, ready)
    _pack(build)
    _publish(build)
    return replace(
        build.known,
        requirements=tuple(dict.fromkeys((*wheels.BASE, *build.known.requirements, *request.wheels))),
        blas=tuple(item.blas.name for item in ready),
        unavailable=missing,
        sources=build.sources,
    )


def _requirements(known: State, request: Request, *, update: bool, insist: bool) -> list[str]:
    """Return what pip is asked for: all of it for a new channel or an update, else only what is new."""
    new = [_pip_requirement(spec) for spec in request.wheels]
    if update or not known.sources:
        names = [wheel_name(wheels.name_of(spec)) for spec in (*wheels.BASE, *known.requirements)]
        return list(dict.fromkeys((*new, *names)))
    have = {source.split()[1] for source in known.sources}
    return [item for item, spec in zip(new, request.wheels, strict=True) if insist or wheels.name_of(spec) not in have]


def _pip_requirement(spec: str) -> str:
    """Translate a match spec for pip: `numpy=1.26` is `numpy==1.26.*`; a build string has no counterpart."""
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    try:
        version = str(MatchSpec(spec, strict=False).version or "").strip()
    except InvalidMatchSpecError as error:
        raise errors.InvalidRequestError(f"{spec!r} is not a match spec: {error}") from error
    if re.fullmatch(r"[0-9][\w.]*(\.\*)?", version):
        version = f"=={version}"
    usable = re.fullmatch(r"((>=|<=|==|!=|~=|>|<)[\w.*+!]+,?)+", version)
    return wheel_name(wheels.name_of(spec)) + (version if usable else "")


def _download_wheels(build: Build, requirements: Sequence[str], *, update: bool) -> dict[str, wheel.Wheel]:
    """Download wheels; what the channel has already keeps its version where the resolution allows it."""
    if not requirements:
        return {}
    target, pins = build.scratch / "wheels", build.scratch / "pins.txt"
    asked = {re.split(r"[^A-Za-z0-9_.-]", item)[0] for item in requirements}
    pinned = {} if update else {name: version for name, version in _versions(build.known) if name not in asked}
    pins.write_text("".join(f"{name}=={version}\n" for name, version in pinned.items()), encoding="utf-8")
    try:
        found = downloads.wheels(requirements, target, options=["--constraint", str(pins)], progress=build.progress)
    except errors.ChannelError:
        if not pinned:
            raise
        shutil.rmtree(target, ignore_errors=True)
        found = downloads.wheels(requirements, target, progress=build.progress)
    return {item.name: item for item in map(wheel.Wheel, found)}


def _versions(known: State) -> Iterator[tuple[str, str]]:
    """Yield the name and version of everything in the channel that came as a wheel."""
    for source in known.sources:
        version, name, _digest = source.split()
        if name not in {"python", *blas_table.INTERFACES, *blas_table.PROVIDERS}:
            yield wheel_name(name), version


def _download_providers(build: Build, names: Iterable[str]) -> tuple[list[Ready], dict[str, str]]:
    """Fetch what each BLAS is made of; one that cannot be had is told, and the others go on."""
    ready: list[Ready] = []
    missing: dict[str, str] = {}
    unpacked: dict[str, Path] = {}
    for blas in (blas_table.BY_NAME[name] for name in names):
        try:
            for provider in blas.providers:
                if provider.distribution not in unpacked:
                    unpacked[provider.distribution] = _fetch(build, provider)
        except errors.ChannelError as error:
            missing[blas.name] = error.what.rstrip(".")
        else:
            ready.append(Ready(blas, {item.name: unpacked[item.distribution] for item in blas.providers}))
    return ready, missing


def _fetch(build: Build, provider: Provider) -> Path:
    """Download one distribution; a folder with the archive in `archives` and its files in `files`."""
    folder = build.scratch / "providers" / provider.distribution
    if provider.source == "deb":
        return downloads.debian_package(provider.distribution, folder, progress=build.progress)
    (archive,) = downloads.wheels(
        [provider.distribution], folder / "archives", options=["--no-deps"], progress=build.progress
    )
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder / "files")
    return folder


def _stage_interpreter(build: Build) -> None:
    recipe = interpreter.recipe(paths.subdir())
    build.add(recipe, interpreter.fingerprint(), interpreter.stage)


def _stage_wheels(build: Build, found: dict[str, wheel.Wheel]) -> None:
    for item in found.values():
        if item.name in blas_table.PROVIDERS or item.name == "numpy":
            continue  # staged once per BLAS, or as the library it is
        _stage_wheel(build, item, wheel.recipe(item, found, paths.subdir()))


def _stage_wheel(build: Build, item: wheel.Wheel, recipe: Recipe) -> None:
    def fill(files: Path) -> Recipe:
        wheel.stage(item, files)
        licences = wheel.licence_files(item, build.scratch / "licences" / item.path.stem)
        return replace(recipe, license_files=licences)

    build.add(recipe, item.sha256, fill)


def _stage_providers(build: Build, ready: Sequence[Ready]) -> None:
    """Stage each library's package, and per BLAS the three interface packages that match specs name."""
    seen: set[str] = set()
    for item in ready:
        for provider in item.blas.providers:
            if provider.name not in seen:
                seen.add(provider.name)
                _stage_provider(build, provider, item.unpacked[provider.name])
        for name in blas_table.INTERFACES:
            build.add(_interface_recipe(item.blas, name), "", lambda _files: None)


def _stage_provider(build: Build, provider: Provider, unpacked: Path) -> None:
    (archive,) = (unpacked / "archives").iterdir()
    is_wheel = provider.source == "wheel"
    version = wheel.Wheel(archive).version if is_wheel else downloads.debian_version(unpacked)
    texts = [*unpacked.glob("files/**/*.dist-info/LICENSE*"), *unpacked.glob("files/usr/share/doc/*/copyright")]
    recipe = Recipe(
        name=provider.name,
        version=version,
        subdir=paths.subdir(),
        depends=provider.depends,
        license=provider.license,
        license_files=tuple(texts),
        summary=f"{provider.distribution}, from {'its wheel' if is_wheel else 'the Debian package'}",
    )
    origin = hashlib.sha256(archive.read_bytes()).hexdigest()
    build.add(recipe, origin, lambda files: relink.stage_provider(provider, unpacked / "files", files))


def _interface_recipe(blas: Blas, name: str) -> Recipe:
    own = tuple(provider.name for provider in blas.providers) if name == "libblas" else ()
    same = () if name == "libblas" else (f"libblas {blas_table.INTERFACE_VERSION} *_{blas.name}",)
    return Recipe(
        name=name,
        version=blas_table.INTERFACE_VERSION,
        subdir=paths.subdir(),
        depends=(*own, *same),
        license="BSD-3-Clause",
        summary=f"{name} is {blas.title}",
        build_number=blas.build_number,
        build_suffix=f"_{blas.name}",
    )


def _stage_numpy(build: Build, found: dict[str, wheel.Wheel], ready: Sequence[Ready]) -> None:
    """Stage one NumPy per BLAS, from every NumPy wheel the channel has; the wheels are kept for a later BLAS."""
    kept = wheels.folder(build.root) / "sources"
    kept.mkdir(exist_ok=True)
    if "numpy" in found:
        shutil.copy2(found["numpy"].path, kept)
    for path in sorted(kept.glob("numpy-*.whl")):
        item = wheel.Wheel(path)
        plain: list[Path] = []  # unpacked and compiled once, when the first BLAS wants it

        def unpacked(item: wheel.Wheel = item, plain: list[Path] = plain) -> Path:
            if not plain:
                plain.append(build.scratch / "numpy" / item.path.stem)
                wheel.stage(item, plain[0])
                compile_all([plain[0]])
            return plain[0]

        for each in ready:
            _stage_numpy_on(build, item, each, unpacked=unpacked, found=found)


def _stage_numpy_on(
    build: Build, item: wheel.Wheel, ready: Ready, *, unpacked: Callable[[], Path], found: dict[str, wheel.Wheel]
) -> None:
    blas = ready.blas
    plain = wheel.recipe(item, found, paths.subdir())
    recipe = replace(
        plain,
        depends=(*plain.depends, *(f"{name} * *_{blas.name}" for name in blas_table.INTERFACES)),
        build_number=blas.build_number,
        build_suffix=f"_{blas.name}",
    )

    def fill(files: Path) -> Recipe:
        shutil.copytree(unpacked(), files, dirs_exist_ok=True, symlinks=True)
        if blas.needed:
            libraries = [path for folder in ready.unpacked.values() for path in folder.rglob("files/**/*.so*")]
            relink.relink(files, blas, libraries)
        licences = wheel.licence_files(item, build.scratch / "licences" / item.path.stem)
        return replace(recipe, license_files=licences)

    origins = sorted(path.name for folder in ready.unpacked.values() for path in (folder / "archives").iterdir())
    build.add(recipe, " ".join((item.sha256, *origins)), fill)


def _compile(build: Build) -> None:
    """Compile every module that was staged, the standard library's included, in one go."""
    build.progress(Event("compile", f"{len(build.staged)} packages"))
    compile_all([item.files for item in build.staged])


def compile_all(folders: Sequence[Path]) -> None:
    """Write bytecode that no time stamp can make stale; a file that is not valid Python stays without."""
    if not folders:
        return
    command = [sys.executable, "-m", "compileall", "-qq", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    process.stream([*command, *folders], own_session=False)
    unwritten = [folder for folder in folders if any(folder.rglob("*.py")) and not any(folder.rglob("*.pyc"))]
    if unwritten:
        raise errors.ChannelError("Compiling Python files to bytecode failed.", where=str(unwritten[0]))


def _pack(build: Build) -> None:
    """Pack everything staged, the largest first, on all processors."""
    total, done = len(build.staged), 0
    output = build.scratch / "packed"
    largest_first = sorted(build.staged, key=lambda item: -_size(item.files))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for item, path in zip(
            largest_first,
            pool.map(lambda item: packages.assemble(item.recipe, item.files, output), largest_first),
            strict=True,
        ):
            done += 1
            build.sources[item.source] = path.name
            build.progress(Event("pack", item.recipe.name, done, total))


def _publish(build: Build) -> None:
    build.progress(Event("index"))
    packages.publish(
        sorted((build.scratch / "packed").glob("*.conda")),
        wheels.folder(build.root),
        members=build.sources.values(),
        subdir=paths.subdir(),
        scratch=build.scratch / "index",
    )


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


if __name__ == "__main__":
    process.serve(work)
