"""The contract of the engines on a channel with conda-forge's traits, served over HTTP in each form of its index."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.channel_server import INDEX_FORMS, Fault, Site, serve
from support.engines import ENGINES, engine_of
from support.forge import PACKAGES, PYTHON, SUBDIR

import mambakernels
from mambakernels import engines, errors, kernels
from mambakernels.activation import capture
from mambakernels.engines import Engine, Request
from mambakernels.progress import Event

# Each as it is found: servers with the newer forms have the older ones as well.
FORMS = {form: frozenset(INDEX_FORMS[: number + 1]) for number, form in enumerate(INDEX_FORMS)}

EVERYTHING = (
    *("python", "pip", "greeter", "ipykernel", "needs-linux", "picky", "scripted", "prefixed", "prefixed-bz2"),
    *("linked", "libblas=*=*mkl", "blas", "flavour", "newer", "old-fashioned", "patched", "old-format"),
    *("both-formats", "openmp-llvm"),
)
LINKED = {
    *("_openmp_mutex=4.5=0_llvm", "activated=1.0=0", "blas=2.0=2_mkl", "both-formats=1.0=0", "flavour=1.0=plain_0"),
    *("greeter=1.0=pyhd8ed1ab_0", "ipykernel=1.0=pyhd8ed1ab_0", "libblas=3.9=31_mkl", "linked=1.0=0"),
    *("needs-linux=1.0=0", "newer=1.0=0", "old-fashioned=1.0=0", "old-format=1.0=0", "openmp-llvm=1.0=0"),
    *("patched=1.0=0", "picky=1.0=0", "pip=1.0=pyhd8ed1ab_0", "prefixed-bz2=1.0=0", "prefixed=1.0=0"),
    *("scripted=1.0=0", "tiny=1.0=0"),
}
ESSENTIALS = ("name", "version", "build", "build_number", "subdir", "depends", "constrains", "md5", "sha256", "size")


@dataclass(frozen=True)
class Made:
    """An environment with everything in it, and what was asked of the server for it."""

    engine: Engine
    prefix: Path
    packages: tuple[engines.Package, ...]
    site: Site
    events: list[Event]
    staged: Path

    def record(self, name: str) -> dict[str, Any]:
        package = next(package for package in self.packages if package.name == name)
        file = self.prefix / "conda-meta" / f"{name}-{package.version}-{package.build}.json"
        content: dict[str, Any] = json.loads(file.read_text())
        return content


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(engine_name: str) -> Iterator[Engine]:
    """Each engine, with what remains of its work for the tests before: it keeps the variables it was started with."""
    with closing(engine_of(engine_name)) as program:
        yield program


@pytest.fixture(scope="module", params=["create", "link"])
def way(request: pytest.FixtureRequest) -> str:
    """Return how an environment is made: from specs at once, or solved first and linked from what that gave."""
    return str(request.param)


@pytest.fixture(scope="module")
def made(
    engine_name: str, form: str, way: str, forge: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    place = tmp_path_factory.mktemp("made here")
    staged, final, events = place / "staged", place / "final place", list[Event]()
    cache, tell = place / "root" / "pkgs", events.append
    with serve(forge, forms=FORMS[form]) as site, closing(engine_of(engine_name)) as engine:
        wanted = Request(EVERYTHING, (site.url(),), SUBDIR)
        if way == "create":
            packages = engine.create(wanted, staged, final=final, cache=cache, progress=tell)
        else:
            solved = engine.solve(wanted, cache=cache, progress=tell)
            packages = engine.link(solved, staged, final=final, cache=cache, progress=tell)
        staged.rename(final)
        yield Made(engine, final, packages, site, events, staged)


@pytest.fixture
def formed(site: Site, form: str) -> Site:
    """A server with one form of index as its best."""
    site.forms = FORMS[form]
    return site


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "root" / "pkgs"


@pytest.fixture
def solve(engine: Engine, formed: Site, cache: Path) -> Callable[..., set[str]]:
    """Solve specs on the forge, or on the channels that are named, first one first."""

    def call(*specs: str, channels: tuple[str, ...] = ("conda-forge",)) -> set[str]:
        wanted = Request(specs, tuple(map(formed.url, channels)), SUBDIR)
        return set(map(str, engine.solve(wanted, cache=cache)))

    return call


# ------------------------------------------------------------------------------------- one environment of all traits


def test_the_same_packages_are_linked(made: Made) -> None:
    python = next(str(package) for package in made.packages if package.name == "python")
    assert set(map(str, made.packages)) == LINKED | {python}
    assert engines.installed(made.prefix) == made.packages


def test_the_index_came_in_its_best_form(made: Made, form: str) -> None:
    taken = {item.path.rpartition("/")[2] for item in made.site.log if item.status == 200 and item.method == "GET"}
    assert taken & set(INDEX_FORMS) == {form}


def test_each_archive_was_downloaded_once(made: Made) -> None:
    archives = [item.path for item in made.site.log if item.path.endswith((".conda", ".tar.bz2"))]
    assert len(archives) == len(set(archives)) == len(made.packages)
    assert not made.site.asked("/both-formats-1.0-0.tar.bz2"), "the newer format is preferred"


def test_conda_meta_is_what_the_index_says(made: Made) -> None:
    for package in PACKAGES:
        if str(engines.Package.from_record({**package.record, "url": ""})) not in LINKED | {"python"}:
            continue
        if package.name == "both-formats" and package.archive == ".tar.bz2":
            continue
        record = made.record(package.name)
        record.setdefault("constrains", [])  # the embedded engine leaves an empty list out
        assert {key: record[key] for key in ESSENTIALS} == {key: package.record[key] for key in ESSENTIALS}
        assert record["fn"] == package.file_name
        assert record["url"] == f"{made.site.url()}/{package.subdir}/{package.file_name}"
        assert record["channel"].startswith(made.site.url())


def test_a_record_that_was_corrected_in_the_index_is_the_one_that_counts(made: Made) -> None:
    assert made.record("patched")["depends"] == ["tiny >=1"]


def test_conda_meta_tells_what_was_asked_for(made: Made, way: str) -> None:
    """It is what `install` and `update` of every conda-like tool go by; who links exact packages asked for no specs."""

    def asked(name: str) -> list[str]:
        record = made.record(name)
        found = [*record.get("requested_specs", []), record.get("requested_spec", "")]
        return [item for item in found if item and item != "None"]

    if way == "create":
        assert any("libblas" in item and "mkl" in item for item in asked("libblas"))
        assert asked("greeter")
        assert asked("tiny") == []


def test_the_files_are_the_packages_files(made: Made) -> None:
    found = {
        path.relative_to(made.prefix).as_posix()
        for path in made.prefix.rglob("*")
        if (path.is_symlink() or path.is_file()) and "conda-meta" not in path.parts
    }
    site, tag = f"lib/{PYTHON}/site-packages", PYTHON.replace("python", "cpython-").replace(".", "")
    expected = {
        name.replace("site-packages/", f"{site}/").replace("python-scripts/", "bin/")
        if package.noarch == "python"
        else name
        for package in PACKAGES
        if str(engines.Package.from_record({**package.record, "url": ""})) in LINKED or package.name == "python"
        for name in package.files
    }
    modules = {name for name in expected if name.endswith(".py")}
    bytecode = {f"{name.rpartition('/')[0]}/__pycache__/{Path(name).stem}.{tag}.pyc" for name in modules}
    assert len(bytecode) == 3
    ours = found - {"CACHEDIR.TAG", ".mambarc", "share/post-link-ran"}  # notes of an engine; the last has its own test
    assert ours == expected | bytecode | {"bin/greet"}
    listed = {name for package in made.packages for name in made.record(package.name)["files"]}
    assert expected | {"bin/greet"} <= listed


def test_a_pure_package_runs(made: Made) -> None:
    for script in ("greet", "greeter-script"):
        answer = subprocess.run([made.prefix / "bin" / script], capture_output=True, text=True, check=True)
        assert answer.stdout.strip() in {f"hello from {made.prefix}", "script"}


def test_bytecode_is_used_as_it_is(made: Made) -> None:
    code = "import greeter; print(greeter.__cached__); print(greeter.main.__code__.co_filename)"
    command = [made.prefix / "bin" / "python", "-v", "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    cached, file = answer.stdout.splitlines()
    assert f"{cached} matches {file}" in answer.stderr
    assert Path(file).is_relative_to(made.prefix)


@pytest.mark.parametrize("folder", ["", "share/bz2/"])
def test_the_prefix_is_written_into_files(made: Made, folder: str) -> None:
    script = made.prefix / folder / "bin" / "where-am-i"
    answer = subprocess.run([script], capture_output=True, text=True, check=True)
    assert answer.stdout == f"{made.prefix}/share\n"
    blob = (made.prefix / folder / "share" / "prefixed" / "blob").read_bytes()
    package = next(package for package in PACKAGES if package.name == "prefixed")
    assert len(blob) == package.files["share/prefixed/blob"].size
    strings = [part.decode() for part in blob.removeprefix(b"\x7fELF").split(b"\0") if part]
    assert strings == [f"{made.prefix}/lib", "tail", str(made.prefix)]


def test_no_file_names_where_it_was_staged(made: Made) -> None:
    for path in made.prefix.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert str(made.staged).encode() not in path.read_bytes(), path


def test_softlinks_stay_softlinks(made: Made) -> None:
    library = made.prefix / "lib" / "libforge.so"
    assert library.readlink() == Path("libforge.so.1")
    assert library.read_bytes() == b"a library\n"
    assert (made.prefix / "share" / "linked" / "libraries" / "libforge.so.1").read_bytes() == b"a library\n"


def test_link_scripts_are_run_by_micromamba_alone(made: Made) -> None:
    """A known difference: micromamba 2.8 has no option, setting or variable against it."""
    assert (made.prefix / "bin" / ".scripted-post-link.sh").exists()
    ran = [path.relative_to(made.prefix).as_posix() for path in made.prefix.parent.rglob("post-link-ran")]
    assert ran == ([] if made.engine.name == "rattler" else ["share/post-link-ran"])


def test_activation_is_the_same(made: Made) -> None:
    captured = capture.capture(made.prefix)
    assert captured.set["FORGE_DATA"] == str(made.prefix / "share" / "activated")
    assert captured.set["FORGE_VARIABLE"] == "from a package"
    assert captured.set["FORGE_STACK"] == "a"
    assert captured.path_prepend == (str(made.prefix / "bin"),)


def test_progress_is_told(made: Made) -> None:
    assert {"solve", "download", "link"} <= {event.step for event in made.events}
    linked = {event.detail for event in made.events if event.step == "link"}
    assert {"tiny", "greeter"} <= {name.partition("-")[0] for name in linked}


# ----------------------------------------------------------------------------------------------------- what is chosen


def test_a_build_is_chosen_by_its_string(solve: Callable[..., set[str]]) -> None:
    assert solve("libblas=*=*mkl", "blas") == {"libblas=3.9=31_mkl", "blas=2.0=2_mkl"}
    assert solve("libblas=*=*openblas", "blas") == {"libblas=3.9=31_openblas", "blas=2.0=2_openblas"}


def test_track_features_weigh_down(solve: Callable[..., set[str]]) -> None:
    assert solve("libblas") == {"libblas=3.9=31_openblas"}
    assert solve("flavour") == {"flavour=1.0=plain_0"}
    assert solve("flavour=*=special*") == {"flavour=1.0=special_9"}


def test_constrains_hold_without_installing(solve: Callable[..., set[str]]) -> None:
    assert solve("old-fashioned") == {"old-fashioned=1.0=0"}
    assert solve("old-fashioned", "newer") == {"old-fashioned=1.0=0", "newer=1.0=0"}


def test_virtual_packages_are_this_machines(solve: Callable[..., set[str]]) -> None:
    assert solve("needs-linux", "picky") == {"needs-linux=1.0=0", "picky=1.0=0"}


def test_virtual_packages_can_be_overridden(solve: Callable[..., set[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_OVERRIDE_GLIBC", "99.1")
    assert solve("picky") == {"picky=2.0=0"}


def test_the_first_channel_hides_the_later_ones(solve: Callable[..., set[str]]) -> None:
    """Strict priority, as conda-forge wants it.

    A spec of the request itself (`tiny>=1`) is not asked for here: the embedded engine looks for it in later
    channels too, as pixi does.
    """
    assert solve("old-format", channels=("shadow", "conda-forge")) == {"old-format=1.0=0", "tiny=0.5=0"}
    assert solve("old-format", channels=("conda-forge", "shadow")) == {"old-format=1.0=0", "tiny=1.0=0"}
    with pytest.raises(errors.SolveError, match="tiny"):
        solve("patched", channels=("shadow", "conda-forge"))


def test_python_brings_the_same_along(solve: Callable[..., set[str]]) -> None:
    """conda and micromamba add pip to every python that does not name it."""
    assert {package.partition("=")[0] for package in solve("python")} == {"_openmp_mutex", "pip", "python"}


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("specs", "reasons"),
    [
        (("no-such-package",), ("no-such-package",)),
        (("needs-osx",), ("needs-osx", "__osx")),
        (("needs-win",), ("needs-win", "__win")),
        (("picky=2",), ("picky", "__glibc")),
        (("newer=2", "old-fashioned"), ("newer", "old-fashioned")),
        (("openmp-gnu", "openmp-llvm"), ("_openmp_mutex",)),
    ],
)
def test_what_cannot_be_solved_is_explained(
    solve: Callable[..., set[str]], specs: tuple[str, ...], reasons: tuple[str, ...]
) -> None:
    with pytest.raises(errors.SolveError, match="No set of packages satisfies") as caught:
        solve(*specs)
    for reason in reasons:
        assert reason in caught.value.what


def test_a_channel_that_is_not_there_is_named(solve: Callable[..., set[str]], formed: Site) -> None:
    with pytest.raises(errors.ChannelError) as caught:
        solve("tiny", channels=("nothing-here",))
    assert formed.url("nothing-here") in caught.value.what


def test_a_channel_that_wants_a_login_says_so(solve: Callable[..., set[str]], formed: Site) -> None:
    formed.login = ("somebody", "something")
    with pytest.raises(errors.ChannelError, match=r"401|[Uu]nauthorized"):
        solve("tiny")


@pytest.mark.slow
def test_a_server_that_is_gone_is_told_in_bounded_time(engine: Engine, forge: Path, cache: Path) -> None:
    with serve(forge) as gone:
        address = gone.url()
    started = time.monotonic()
    with pytest.raises(errors.ChannelError) as caught:
        engine.solve(Request(("tiny",), (address,), SUBDIR), cache=cache)
    assert address in caught.value.what
    assert time.monotonic() - started < 300


# ------------------------------------------------------------------------------------------- a server with bad moments


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=500, times=1), id="500"),
        pytest.param(Fault(status=503, retry_after=1, times=1), id="503 with Retry-After"),
        pytest.param(Fault(kind="reset", times=1), id="reset"),
        pytest.param(Fault(kind="truncate", times=1), id="truncated"),
    ],
)
@pytest.mark.parametrize("path", [*(f"noarch/{form}" for form in INDEX_FORMS), "noarch/tiny-1.0-0.conda"])
def test_a_bad_moment_is_survived(engine: Engine, site: Site, fault: Fault, path: str, tmp_path: Path) -> None:
    site.forms = FORMS.get(path.rpartition("/")[2], FORMS["repodata.json"])
    site.faults[path] = Fault(fault.kind, fault.status, fault.retry_after, fault.times)
    place = tmp_path / "env"
    cache = tmp_path / "root" / "pkgs"
    made = engine.create(Request(("tiny",), (site.url(),), SUBDIR), place, final=place, cache=cache)
    assert list(map(str, made)) == ["tiny=1.0=0"]
    assert (place / "share" / "tiny" / "version").read_text() == "1.0"
    assert site.faults[path].times == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=404), id="404"),
        pytest.param(Fault(kind="truncate"), id="truncated"),
        pytest.param(Fault(kind="reset"), id="reset"),
    ],
)
def test_an_archive_that_never_comes_is_an_error_that_names_it(
    engine: Engine, site: Site, fault: Fault, tmp_path: Path, cache: Path
) -> None:
    site.faults["tiny-1.0-0.conda"] = Fault(fault.kind, fault.status)
    place, wanted = tmp_path / "env", Request(("tiny",), (site.url(),), SUBDIR)
    started = time.monotonic()
    with pytest.raises((errors.EngineError, errors.ChannelError), match="tiny"):
        engine.create(wanted, place, final=place, cache=cache)
    assert time.monotonic() - started < 300
    assert not list(cache.rglob("share/tiny/version"))
    site.faults.clear()
    shutil.rmtree(place, ignore_errors=True)
    assert list(map(str, engine.create(wanted, place, final=place, cache=cache))) == ["tiny=1.0=0"]


def test_an_archive_with_another_hash_than_the_index_says_is_refused(
    engine: Engine, forge: Path, tmp_path: Path, cache: Path
) -> None:
    folder = shutil.copytree(forge, tmp_path / "changed")
    archive = folder / "conda-forge" / "noarch" / "tiny-1.0-0.conda"
    content = bytearray(archive.read_bytes())
    content[-1] ^= 1  # in the container's comment length: still the same size
    archive.write_bytes(content)
    with serve(folder) as site, pytest.raises((errors.EngineError, errors.ChannelError), match="tiny"):
        engine.create(Request(("tiny",), (site.url(),), SUBDIR), tmp_path / "x", final=tmp_path / "x", cache=cache)
    assert not (tmp_path / "x" / "share" / "tiny" / "version").exists()


def test_what_is_in_the_cache_is_not_downloaded_again(
    engine: Engine, formed: Site, tmp_path: Path, cache: Path
) -> None:
    wanted = Request(("tiny", "old-format"), (formed.url(),), SUBDIR)
    for place in (tmp_path / "one", tmp_path / "two"):
        engine.create(wanted, place, final=place, cache=cache)
    assert len(formed.asked("/tiny-1.0-0.conda")) == 1
    assert len(formed.asked("/old-format-1.0-0.tar.bz2")) == 1


# ------------------------------------------------------------------------------------------------------- rc files, API

POISON = """
channels: [http://127.0.0.1:9/poison]
default_channels: [http://127.0.0.1:9/poison]
channel_alias: http://127.0.0.1:9
mirrored_channels: {conda-forge: [http://127.0.0.1:9/poison]}
pinned_packages: [tiny 0.1]
create_default_packages: [no-such-package]
proxy_servers: {http: http://127.0.0.1:9}
pkgs_dirs: [POISONED]
envs_dirs: [POISONED]
offline: true
"""


@pytest.fixture
def poisoned_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose rc files, if they were read, would make every request fail or leave a folder `poisoned`."""
    folder = tmp_path / "home"
    text = POISON.replace("POISONED", str(folder / "poisoned"))
    for name in (".condarc", ".mambarc", ".conda/condarc", ".mamba/mambarc", ".config/conda/condarc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("CONDARC", str(folder / ".condarc"))
    monkeypatch.setenv("MAMBARC", str(folder / ".mambarc"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setenv("CONDA_PINNED_PACKAGES", "tiny 0.1")
    monkeypatch.setenv("CONDA_CHANNELS", "http://127.0.0.1:9/poison")
    monkeypatch.setenv("MAMBA_OFFLINE", "true")
    return folder


def test_rc_files_are_not_read(engine_name: str, site: Site, poisoned_home: Path, tmp_path: Path, cache: Path) -> None:
    place, wanted = tmp_path / "env", Request(("old-format",), (site.url(),), SUBDIR)
    with closing(engine_of(engine_name)) as engine:  # started with these variables
        made = engine.create(wanted, place, final=place, cache=cache)
    assert set(map(str, made)) == {"old-format=1.0=0", "tiny=1.0=0"}
    assert not (poisoned_home / "poisoned").exists()


@pytest.fixture
def root_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root and a Jupyter data folder of the test's own."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    return tmp_path / "mm root"


def test_create_from_an_address(engine_name: str, site: Site, root_folder: Path) -> None:
    made = mambakernels.create(
        "forged", ["python", "greeter"], channel=site.url(), engine=engine_name, root=root_folder
    )
    assert made.channels == (site.url(),)
    assert made.engine.startswith(engine_name)
    assert {"python", "greeter", "ipykernel", "activated"} <= {package.name for package in made.packages}
    [spec] = kernels.list()
    document = json.loads((spec.path / "kernel.json").read_text())
    assert document["env"]["FORGE_DATA"] == str(made.prefix / "share" / "activated")
    assert document["env"]["FORGE_VARIABLE"] == "from a package"
    assert Path(document["metadata"]["mambakernels"]["program"]).is_relative_to(made.prefix)


@pytest.mark.parametrize("channel", ["conda-forge", "auto"])
def test_a_mirror_of_conda_forge_is_a_setting(
    engine_name: str, site: Site, root_folder: Path, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    monkeypatch.setenv("MAMBAKERNELS_CONDA_FORGE", site.url() + "/")
    made = mambakernels.create("forged", ["python", "greeter"], channel=channel, engine=engine_name, root=root_folder)
    assert made.channels == (site.url(),)
    assert made.package("greeter") is not None


def test_a_mirror_on_the_command_line(
    site: Site, root_folder: Path, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = ["create", "forged", "python", "greeter", "--engine", "rattler", "--root", root_folder]
    done = cli(*words, "--channel", "conda-forge", MAMBAKERNELS_CONDA_FORGE=site.url())
    assert done.returncode == 0, done.stderr
    [listed] = mambakernels.list(root=root_folder)
    assert listed.channels == (site.url(),)


def test_a_failed_creation_leaves_nothing(engine_name: str, site: Site, root_folder: Path) -> None:
    site.faults["tiny-1.0-0.conda"] = Fault(status=404)
    with pytest.raises(errors.MambakernelsError, match="tiny"):
        mambakernels.create("forged", ["python", "patched"], channel=site.url(), engine=engine_name, root=root_folder)
    assert list((root_folder / "envs").iterdir()) == []
    assert kernels.list() == []
