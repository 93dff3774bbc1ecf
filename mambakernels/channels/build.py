"""The build of the `wheels` channel, in a worker process: download, stage, compile, relink, pack, publish."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import json
import os
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from packaging.requirements import Requirement

from mambakernels import errors, paths
from mambakernels.channels import blas_libraries, conda_packages, downloads, interpreter, relink, wheel, wheels
from mambakernels.channels.blas_libraries import BlasLibrary, Provider
from mambakernels.channels.conda_packages import Recipe
from mambakernels.channels.wheel_names import conda_name, pip_requirement, wheel_name
from mambakernels.channels.wheels import State, WheelsRequest
from mambakernels.engines import match_spec
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress
from mambakernels.system import decoding, process


@dataclass(frozen=True)
class Staged:
    """A package that is laid out but not yet packed; `source` identifies what it was made from."""

    source: str
    recipe: Recipe
    files: Path


@dataclass
class Build:
    """One build: its scratch folder, the channel's earlier state, and the packages that it adds."""

    root: Root
    scratch: Path
    known: State
    progress: Progress
    sources: dict[str, str] = field(default_factory=dict)
    laid_out: dict[str, Path] = field(default_factory=dict)
    indexing: threading.Lock = field(default_factory=threading.Lock)

    def add(self, recipe: Recipe, origin: str, fill: Callable[[Path], Recipe | None]) -> list[Staged]:
        """Lay a package out, unless the channel has one from the same origin with the same recipe.

        `fill` puts the files into a given folder, and may return the recipe with licence texts added.
        """
        facts = {key: value for key, value in asdict(recipe).items() if key != "license_files"}
        digest = hashlib.sha256(json.dumps([facts, origin]).encode()).hexdigest()[:16]
        source = f"{recipe.version} {recipe.name} {digest}"
        if source in self.known.sources:
            self.sources[source] = self.known.sources[source]
            return []
        self.progress(Event("stage", f"{recipe.name} {recipe.version}"))
        files = self.scratch / "stage" / f"{recipe.name}-{digest}"
        files.mkdir(parents=True)
        return [Staged(source, fill(files) or recipe, files)]

    def package(self, name: str) -> str:
        """Return the file name of the package of that name, built now or before."""
        return next(file for source, file in self.sources.items() if source.split()[1] == name)

    def files(self, package: str) -> Path:
        """Return the folder with a package's files, unpacked from the channel unless this build laid them out."""
        if package not in self.laid_out:
            self.laid_out[package] = self.scratch / "unpacked" / package
            conda_packages.unpack(wheels.folder(self.root) / paths.subdir() / package, self.laid_out[package])
        return self.laid_out[package]


def work(message: process.Json, progress: Progress) -> process.Json:
    """Answer `wheels.ensure`: build and publish the missing packages, or leave the channel as it was."""
    root = Root(Path(message["root"]))
    request = decoding.decode(message["request"], WheelsRequest)
    known = wheels.load(root) or State(interpreter.fingerprint(), wheels.code())
    with conda_packages.scratch(wheels.folder(root)) as scratch:
        build = Build(root, scratch, known, progress)
        state = _build(build, request, update=message["update"], insist=message["insist"])
        wheels.save(root, state)
    return {"packages": len(state.files)}


def _build(build: Build, request: WheelsRequest, *, update: bool, insist: bool) -> State:
    """Run three tracks in parallel (the interpreter, the wheels, the BLAS libraries), then stage NumPy on each BLAS."""
    if not update:
        build.sources.update(build.known.sources)
    have = () if update else build.known.blas
    wanted = tuple(name for name in dict.fromkeys((*build.known.blas, *request.blas)) if name not in have)
    asked = [match_spec.name_of(spec) for spec in request.wheels]
    requirements = _requirements(build.known, request, update=update, insist=insist)
    conda_packages.seed_index(wheels.folder(build.root), build.scratch / "index", subdir=paths.subdir())
    with ThreadPoolExecutor(3) as pool:
        blas_track = pool.submit(_blas_track, build, wanted)
        wheels_track = pool.submit(_wheels_track, build, requirements, asked, update=update)
        pool.submit(_interpreter_track, build).result()
        found, (added, missing) = wheels_track.result(), blas_track.result()
    _refuse_missing(request, missing)
    ready = tuple(blas_libraries.BY_NAME[name] for name in dict.fromkeys((*have, *added)))
    numpys = _numpys(build, found, update=update)
    _finish(build, _stage_numpy(build, numpys, ready, found))
    build.progress(Event("index"))
    conda_packages.publish(
        build.scratch / "index", wheels.folder(build.root), members=build.sources.values(), subdir=paths.subdir()
    )
    _keep(build, numpys)
    return replace(
        build.known,
        requirements=tuple(dict.fromkeys((*wheels.BASE, *build.known.requirements, *request.wheels))),
        blas=tuple(blas.name for blas in ready),
        unavailable=missing,
        sources=build.sources,
    )


def _refuse_missing(request: WheelsRequest, missing: dict[str, str]) -> None:
    """Raise if no requested BLAS is available; if some are, the state says which are not."""
    if request.blas and all(name in missing for name in request.blas):
        raise wheels.unavailable(blas_libraries.BY_NAME[request.blas[0]], missing[request.blas[0]])


def _interpreter_track(build: Build) -> None:
    recipe = interpreter.recipe(paths.subdir())
    staged = build.add(recipe, interpreter.fingerprint(), interpreter.stage)
    _compile(build, staged)
    _finish(build, staged)


def _wheels_track(
    build: Build, requirements: Sequence[str], asked: Sequence[str], *, update: bool
) -> dict[str, wheel.Wheel]:
    found = _download_wheels(build, requirements, update=update)
    staged = [package for item in found.values() for package in _stage_wheel(build, item, found)]
    staged += [package for name in asked for package in _stage_alias(build, name, found)]
    _compile(build, staged)
    _finish(build, staged)
    return found


def _blas_track(build: Build, wanted: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the BLAS libraries that are packed now, and the reasons why others are not."""
    found, missing = _download_providers(build, wanted)
    _finish(build, _stage_providers(build, found))
    return list(found), missing


def _requirements(known: State, request: WheelsRequest, *, update: bool, insist: bool) -> list[str]:
    """Return the requirements for pip: all of them for a new channel or an update, else only new ones."""
    new = [pip_requirement(spec) for spec in request.wheels]
    if update or not known.sources:
        names = [wheel_name(match_spec.name_of(spec)) for spec in (*wheels.BASE, *known.requirements)]
        return list(dict.fromkeys((*new, *names)))
    have = {source.split()[1] for source in known.sources}
    pairs = zip(new, request.wheels, strict=True)
    return [item for item, spec in pairs if insist or match_spec.name_of(spec) not in have]


def _download_wheels(build: Build, requirements: Sequence[str], *, update: bool) -> dict[str, wheel.Wheel]:
    """Download wheels; packages of the channel keep their versions if the resolution allows it."""
    if not requirements:
        return {}
    target, pins = build.scratch / "wheels", build.scratch / "pins.txt"
    asked = {Requirement(item).name for item in requirements}
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
        if name not in {"python", *blas_libraries.INTERFACES, *blas_libraries.PROVIDERS}:
            yield wheel_name(name), version


_Fetched = dict[Provider, Path]


def _download_providers(build: Build, names: Iterable[str]) -> tuple[dict[str, _Fetched], dict[str, str]]:
    """Fetch what each BLAS needs; return the folders by provider, and for each unavailable BLAS the reason."""
    found: dict[str, _Fetched] = {}
    missing: dict[str, str] = {}
    folders: dict[str, Path] = {}
    for name in names:
        try:
            found[name] = dict(_fetch_all(build, blas_libraries.BY_NAME[name].providers, folders))
        except errors.ChannelError as error:
            missing[name] = error.what.rstrip(".")
    return found, missing


def _fetch_all(
    build: Build, providers: Iterable[Provider], folders: dict[str, Path]
) -> Iterator[tuple[Provider, Path]]:
    """Fetch providers, each with the dependencies that its package names on this machine, and these as well."""
    for provider in providers:
        if provider.distribution not in folders:
            folders[provider.distribution] = _fetch(build, provider)
        folder = folders[provider.distribution]
        named = downloads.debian_dependencies(folder) if provider.source == "deb" else ()
        needed = blas_libraries.runtimes(named)
        yield replace(provider, depends=(*provider.depends, *(each.name for each in needed))), folder
        yield from _fetch_all(build, needed, folders)


def _fetch(build: Build, provider: Provider) -> Path:
    """Download one distribution into a folder: the archive in `archives`, the files we need of it in `files`."""
    folder = build.scratch / "providers" / provider.distribution
    if provider.source == "deb":
        return downloads.debian_package(provider.distribution, folder, progress=build.progress)
    (archive,) = downloads.wheels(
        [provider.distribution], folder / "archives", options=["--no-deps"], progress=build.progress
    )
    wanted = ("*.dist-info/*LICENSE*", *(f"*/{pattern}" for pattern in provider.libraries))
    with zipfile.ZipFile(archive) as content:
        names = content.namelist()
        content.extractall(
            folder / "files", [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)]
        )
    return folder


def _stage_wheel(build: Build, item: wheel.Wheel, found: dict[str, wheel.Wheel]) -> list[Staged]:
    if item.name in blas_libraries.PROVIDERS or item.name == "numpy":
        return []  # staged as libraries, and NumPy once per BLAS
    recipe = wheel.recipe(item, found, paths.subdir())

    def fill(files: Path) -> Recipe:
        wheel.stage(item, files)
        return replace(recipe, license_files=_licences(build, item))

    return build.add(recipe, item.sha256, fill)


def _stage_alias(build: Build, name: str, found: dict[str, wheel.Wheel]) -> list[Staged]:
    """Stage an empty package for a name that conda-forge uses and wheels do not, such as `matplotlib-base`."""
    item, actual = found.get(wheel_name(name)), conda_name(wheel_name(name))
    if item is None or name == actual:
        return []
    recipe = Recipe(
        name=name,
        version=item.version,
        subdir=paths.subdir(),
        depends=(f"{actual} =={item.version}",),
        license=wheel.licence(item.metadata),
        summary=f"{name}, as conda-forge calls it, is {actual} in this channel",
    )
    return build.add(recipe, "", lambda _files: None)


def _licences(build: Build, item: wheel.Wheel) -> tuple[Path, ...]:
    return wheel.licence_files(item, build.scratch / "licences" / item.path.stem)


def _stage_providers(build: Build, found: Mapping[str, _Fetched]) -> list[Staged]:
    """Stage each library's package, and for each BLAS the three interface packages that match specs name."""
    providers = {provider: folder for fetched in found.values() for provider, folder in fetched.items()}
    libraries = [
        package for provider, folder in providers.items() for package in _stage_provider(build, provider, folder)
    ]
    interfaces = [
        package
        for blas in found
        for name in blas_libraries.INTERFACES
        for package in build.add(_interface_recipe(blas_libraries.BY_NAME[blas], name), "", lambda _files: None)
    ]
    return libraries + interfaces


def _stage_provider(build: Build, provider: Provider, unpacked: Path) -> list[Staged]:
    (archive,) = (unpacked / "archives").iterdir()
    is_wheel = provider.source == "wheel"
    version = wheel.Wheel(archive).version if is_wheel else downloads.debian_version(unpacked)
    texts = [*unpacked.glob("files/**/*.dist-info/**/LICENSE*"), *unpacked.glob("files/usr/share/doc/*/copyright")]
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
    return build.add(recipe, origin, lambda files: relink.stage_provider(provider, unpacked / "files", files))


def _interface_recipe(blas: BlasLibrary, name: str) -> Recipe:
    own = tuple(provider.name for provider in blas.providers) if name == "libblas" else ()
    same = () if name == "libblas" else (f"libblas {blas_libraries.INTERFACE_VERSION} *_{blas.name}",)
    return Recipe(
        name=name,
        version=blas_libraries.INTERFACE_VERSION,
        subdir=paths.subdir(),
        depends=(*own, *same),
        license="BSD-3-Clause",
        summary=f"{name} is {blas.title}",
        build_number=blas.build_number,
        build_suffix=f"_{blas.name}",
    )


def _numpys(build: Build, found: dict[str, wheel.Wheel], *, update: bool) -> list[wheel.Wheel]:
    """Return the NumPy wheels of the channel: a new one and, unless this is an update, those of earlier builds."""
    paths_by_name = {} if update else {path.name: path for path in _kept(build).glob("numpy-*.whl")}
    if "numpy" in found:
        paths_by_name[found["numpy"].path.name] = found["numpy"].path
    return [wheel.Wheel(path) for _, path in sorted(paths_by_name.items())]


def _keep(build: Build, numpys: Sequence[wheel.Wheel]) -> None:
    """Keep only these NumPy wheels, for a BLAS that is added later."""
    kept = _kept(build)
    kept.mkdir(exist_ok=True)
    for item in numpys:
        if item.path.parent != kept:
            item.path.replace(kept / item.path.name)
    for path in kept.iterdir():
        if path.name not in {item.path.name for item in numpys}:
            path.unlink()


def _kept(build: Build) -> Path:
    return wheels.folder(build.root) / "sources"


def _stage_numpy(
    build: Build, numpys: Sequence[wheel.Wheel], ready: Sequence[BlasLibrary], found: dict[str, wheel.Wheel]
) -> list[Staged]:
    """Stage each NumPy on each BLAS; before 2.0, NumPy runs on the OpenBLAS of its wheel only."""
    staged: list[Staged] = []
    for item in numpys:
        numpy = _Plain(item, build.scratch / "numpy" / item.path.stem)
        for blas in ready:
            try:
                staged += _stage_numpy_on(build, numpy, blas, found)
            except relink.FixedBlasError:
                build.progress(Event("stage", f"{item.path.name} runs on its own OpenBLAS only"))
    return staged


@dataclass
class _Plain:
    """A NumPy as in its wheel, unpacked and compiled when the first BLAS needs it."""

    wheel: wheel.Wheel
    folder: Path

    @functools.cached_property
    def is_fixed(self) -> bool:
        """Whether it runs on its own library only."""
        return relink.is_fixed(self.wheel.path)

    def unpacked(self) -> Path:
        if not self.folder.exists():
            wheel.stage(self.wheel, self.folder)
            compile_all([self.folder])
        return self.folder


def _stage_numpy_on(build: Build, numpy: _Plain, blas: BlasLibrary, found: dict[str, wheel.Wheel]) -> list[Staged]:
    plain = wheel.recipe(numpy.wheel, found, paths.subdir())
    recipe = replace(
        plain,
        depends=(*plain.depends, *(f"{name} * *_{blas.name}" for name in blas_libraries.INTERFACES)),
        build_number=blas.build_number,
        build_suffix=f"_{blas.name}",
    )
    libraries = [build.package(provider.name) for provider in blas.providers]

    def fill(files: Path) -> Recipe:
        if blas.needed and numpy.is_fixed:
            raise relink.FixedBlasError(f"This NumPy cannot be relinked to {blas.title}.")
        shutil.copytree(numpy.unpacked(), files, dirs_exist_ok=True, symlinks=True)
        if blas.needed:
            relink.relink(files, blas, [path for name in libraries for path in build.files(name).glob("lib/*.so*")])
        return replace(recipe, license_files=_licences(build, numpy.wheel))

    return build.add(recipe, " ".join((numpy.wheel.sha256, *libraries)), fill)


def _compile(build: Build, staged: Sequence[Staged]) -> None:
    if staged:
        build.progress(Event("compile", f"{len(staged)} package{'s' * (len(staged) != 1)}"))
    compile_all([item.files for item in staged])


def compile_all(folders: Sequence[Path]) -> None:
    """Write bytecode that is valid whatever the time stamps say; a file that is not valid Python gets none.

    The bytecode does not name the scratch folder, the parent of all `folders`; Python fills in the real path at import.
    """
    if not folders:
        return
    command = [sys.executable, "-I", "-m", "compileall", "-qq", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(folders[0].parent), "-p", "/"]
    process.stream([*command, *folders], own_session=False)
    unwritten = [folder for folder in folders if any(folder.rglob("*.py")) and not any(folder.rglob("*.pyc"))]
    if unwritten:
        raise errors.ChannelError("Compiling Python files to bytecode failed.", where=str(unwritten[0]))


def _finish(build: Build, staged: Sequence[Staged]) -> None:
    """Pack the staged packages on all processors, and index them while other tracks go on."""
    output = build.scratch / "index" / paths.subdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        packed = pool.map(lambda item: conda_packages.assemble(item.recipe, item.files, output), staged)
        for done, (item, path) in enumerate(zip(staged, packed, strict=True), start=1):
            build.sources[item.source] = path.name
            build.laid_out[path.name] = item.files
            build.progress(Event("pack", item.recipe.name, done, len(staged)))
    if staged:
        with build.indexing:
            conda_packages.write_index(build.scratch / "index")
