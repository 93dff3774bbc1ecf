"""micromamba arrives verified or not at all: in every form, from servers that misbehave, for many at once."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zstandard
from support import misbehaving_server as bad
from support.engines import needs_micromamba
from support.misbehaving_server import Server

from mambakernels import errors, paths
from mambakernels.bootstrap import check, download, find, install, remove, sources, unpacking
from mambakernels.bootstrap.sources import MIRROR_VARIABLE, SUBDIRS, Source
from mambakernels.paths import Root
from mambakernels.progress import Event

Cli = Callable[..., subprocess.CompletedProcess[str]]
HERE = paths.machine_subdir()
ELSEWHERE = next(name for name in SUBDIRS if name not in {HERE, paths.subdir()})


def fake(version: str = "9.8.7", *, padding: int = 0) -> bytes:
    """A named fake of micromamba: a shell script that answers --version. It stands for what only a network has."""
    return f"#!/bin/sh\necho {version}\nexit 0\n{'#' * padding}\n".encode()


FAKE = fake()
HASH = hashlib.sha256(FAKE).hexdigest()


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content) if content else None)
    return buffer.getvalue()


def as_bz2(archive: bytes) -> bytes:
    return bz2.compress(archive)


def as_conda(archive: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as outer:
        outer.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        outer.writestr("info-micromamba-9.8.7-0.tar.zst", zstandard.compress(tar(member("info/index.json", b"{}"))))
        outer.writestr("pkg-micromamba-9.8.7-0.tar.zst", zstandard.compress(archive))
    return buffer.getvalue()


PACKINGS = {"tar.bz2": as_bz2, "conda": as_conda}


def packed(content: bytes, subdir: str, ending: str) -> bytes:
    """micromamba as conda-forge packs it."""
    name = "Library/bin/micromamba.exe" if subdir.startswith("win-") else "bin/micromamba"
    return PACKINGS[ending](tar(member("info/licenses/LICENSE", b"BSD"), member(name, content, mode=0o755)))


@pytest.fixture
def server() -> Iterator[Server]:
    with bad.serving() as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds as tests can wait for them."""
    for name, value in {"_READ": 0.5, "_BACKOFF": 0.01, "_LONGEST_WAIT": 1}.items():
        monkeypatch.setattr(download, name, value)


@pytest.fixture
def public(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The public sources, served from here."""
    rows = (
        Source(
            "release asset",
            server.url + "/release/{version}/micromamba-{subdir}",
            server.url + "/release/latest/micromamba-{subdir}",
        ),
        Source("official API", server.url + "/api/{subdir}/{number}", server.url + "/api/{subdir}/latest"),
        Source("conda-forge", server.url + "/forge/{subdir}/micromamba-{number}-{build}.tar.bz2"),
    )
    monkeypatch.setattr(sources, "SOURCES", rows)
    monkeypatch.setattr(sources, "HASHES", {sources.PINNED: dict.fromkeys(SUBDIRS, HASH)})
    return server


def nothing_is_there(root: Root) -> None:
    """Neither the executable, nor its record, nor anything else."""
    assert not [path for path in (root.path / "bin").rglob("*") if path.is_file()]


def asset(version: str = sources.PINNED, subdir: str = HERE) -> str:
    return f"/release/{version}/micromamba-{subdir}"


# --- what it comes in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subdir", SUBDIRS)
@pytest.mark.parametrize("ending", ["", ".exe", ".tar.bz2", ".conda"])
@pytest.mark.parametrize("how", ["file", "folder", "file URL", "URL", "mirror", "template"])
def test_every_subdir_in_every_form_from_everywhere(  # noqa: PLR0917 (fixtures and three tables)
    server: Server, empty_root: Root, tmp_path: Path, subdir: str, ending: str, how: str
) -> None:
    content = FAKE if ending in {"", ".exe"} else packed(FAKE, subdir, ending.removeprefix("."))
    name = f"micromamba-{subdir}{ending}"
    (tmp_path / "a b").mkdir()
    path = tmp_path / "a b" / name
    path.write_bytes(content)
    url = server.at(f"/some/{name}", bad.whole(content))
    server.at(f"/some/{name}.sha256", bad.whole(HASH.encode()))
    if how in {"mirror", "template", "URL"}:
        path.unlink()
    source = {
        "file": str(path),
        "folder": str(path.parent),
        "file URL": path.as_uri(),
        "URL": url,
        "mirror": server.url + "/some/",
        "template": server.url + "/some/micromamba-{subdir}" + ending,
    }[how]
    version = "9.8.7" if how == "mirror" else None
    made = install(empty_root, source=source, subdir=subdir, version=version)
    assert (made.sha256, made.subdir) == (HASH, subdir)
    assert made.verified == ("recorded" if how in {"file", "folder", "file URL"} else "published")
    assert made.path.read_bytes() == FAKE
    assert made.path.name == ("micromamba.exe" if subdir.startswith("win-") else "micromamba")
    assert made.path == find(empty_root, subdir=subdir)
    assert os.access(made.path, os.X_OK)
    assert check(empty_root, subdir=subdir) == made
    assert {item.name for item in made.path.parent.iterdir() if item.is_file()} == {
        made.path.name,
        made.path.name + ".json",
    }


HOSTILE = {
    "symlink": member("bin/micromamba", type=tarfile.SYMTYPE, linkname="/bin/sh"),
    "hard link": member("bin/micromamba", type=tarfile.LNKTYPE, linkname="info/x"),
    "device": member("bin/micromamba", type=tarfile.CHRTYPE),
    "upwards": member("../bin/micromamba", FAKE),
    "inside upwards": member("bin/../bin/micromamba", FAKE),
    "absolute": member("/bin/micromamba", FAKE),
    "backslashes": member("..\\bin\\micromamba.exe", FAKE),
    "missing": member("bin/mamba", FAKE),
}


@pytest.mark.parametrize("ending", PACKINGS)
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_member_is_refused(empty_root: Root, tmp_path: Path, what: str, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(PACKINGS[ending](tar(member("info/x", FAKE), HOSTILE[what])))
    with pytest.raises(errors.DownloadError, match=r"refused|contains none of"):
        install(empty_root, source=path, sha256=HASH)
    nothing_is_there(empty_root)


@pytest.mark.parametrize("ending", PACKINGS)
def test_an_oversized_member_is_refused(
    empty_root: Root, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "LARGEST", 100_000)
    path = tmp_path / f"a.{ending}"
    path.write_bytes(packed(fake(padding=200_000), HERE, ending))
    assert path.stat().st_size < 5_000
    with pytest.raises(errors.DownloadError, match="larger than 100000 bytes"):
        install(empty_root, source=path)
    path.write_bytes(fake(padding=200_000))
    with pytest.raises(errors.DownloadError, match="larger than 100000 bytes"):
        install(empty_root, source=path)
    nothing_is_there(empty_root)


@pytest.mark.parametrize("ending", PACKINGS)
@pytest.mark.parametrize("keep", [10, 100, -20])
def test_a_damaged_archive_is_said_so(empty_root: Root, tmp_path: Path, ending: str, keep: int) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(packed(os.urandom(50_000), ELSEWHERE, ending)[:keep])
    with pytest.raises(errors.DownloadError, match=r"damaged|contains none"):
        install(empty_root, source=path, subdir=ELSEWHERE)
    nothing_is_there(empty_root)


@pytest.mark.parametrize("ending", PACKINGS)
def test_an_archive_with_a_flipped_byte_is_said_so(empty_root: Root, tmp_path: Path, ending: str) -> None:
    content = bytearray(packed(os.urandom(3_000_000), ELSEWHERE, ending))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    with pytest.raises((errors.DownloadError, errors.HashMismatchError), match=r"damaged|SHA-256"):
        install(empty_root, source=path, subdir=ELSEWHERE, sha256=HASH)
    nothing_is_there(empty_root)


def test_a_zip_that_is_no_package_is_said_so(empty_root: Root, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.conda", "w") as archive:
        archive.writestr("bin/micromamba", FAKE)
    with pytest.raises(errors.DownloadError, match=r"not a \.conda package"):
        install(empty_root, source=tmp_path / "a.conda")


# --- where it comes from ---------------------------------------------------------------------------------------------


def test_the_pinned_one_comes_from_the_first_source_and_stays(public: Server, empty_root: Root) -> None:
    public.at(asset(), bad.whole(FAKE))
    events: list[Event] = []
    made = install(empty_root, progress=events.append)
    assert (made.version, made.verified, made.subdir) == (sources.PINNED, "known", HERE)
    assert made.path == empty_root.path / "bin" / "micromamba"
    assert {event.step for event in events} == {"download"}
    assert events[-1].done == len(FAKE)
    assert install(empty_root) == made
    assert install(empty_root, version=sources.PINNED) == made
    assert install(empty_root, version="2.9.0", sha256=HASH.upper()) == made
    assert [path for path, _ in public.seen] == [asset()]


def test_the_next_source_is_asked_when_one_fails(public: Server, empty_root: Root) -> None:
    number, _, build = sources.PINNED.partition("-")
    public.at(asset(), bad.status(404))
    public.at(f"/api/{HERE}/{number}", bad.whole(packed(FAKE, HERE, "tar.bz2")))
    assert install(empty_root).source.endswith(f"/api/{HERE}/{number}")
    remove(empty_root)
    public.at(f"/api/{HERE}/{number}", bad.status(410))
    public.at(f"/forge/{HERE}/micromamba-{number}-{build}.tar.bz2", bad.whole(packed(FAKE, HERE, "tar.bz2")))
    assert "/forge/" in install(empty_root).source


def test_when_nothing_answers_every_source_is_named_with_its_answer_and_the_ways_out(
    public: Server, empty_root: Root
) -> None:
    public.at(asset(), bad.status(404))
    public.at(f"/api/{HERE}/{sources.PINNED.partition('-')[0]}", bad.status(403))
    with pytest.raises(errors.DownloadError) as caught:
        install(empty_root)
    for part in ("release asset", "status 404", "official API", "status 403", "conda-forge", asset()):
        assert part in caught.value.what
    for way in (MIRROR_VARIABLE, "bootstrap --from", "--engine rattler"):
        assert way in str(caught.value.next_step)
    nothing_is_there(empty_root)


def test_a_machine_that_is_cut_off_knows_soon(empty_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The public names do not resolve: what a machine without a name server sees, with the real table of sources."""
    import socket

    def unknown(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for version in (None, "2.8.1", "latest"):
        started = time.monotonic()
        with pytest.raises(
            errors.DownloadError, match=r"the server's name cannot be resolved: \S*github\.com"
        ) as caught:
            install(empty_root, version=version, subdir=ELSEWHERE)
        assert time.monotonic() - started < 60
        assert "github.com" in caught.value.what


def test_patience_bounds_all_sources_together(
    public: Server, empty_root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (asset(), f"/api/{HERE}/{sources.PINNED.partition('-')[0]}"):
        public.at(path, bad.mute())
    given: dict[str, float] = {}
    within = download.within

    def noted(patience: float, get: Callable[[], object]) -> object:
        [address] = get.args  # type: ignore[attr-defined]
        given[urlsplit(address).netloc] = patience
        return within(patience, get)

    monkeypatch.setattr(download, "within", noted)
    with pytest.raises(errors.DownloadError, match=r"no answer within|nothing came"):
        install(empty_root, patience=1)
    assert 0 < sum(given.values()) <= 1


def test_a_wrong_hash_is_fatal_names_both_and_asks_no_other_source(public: Server, empty_root: Root) -> None:
    public.at(asset(), bad.whole(fake("6.6.6")))
    with pytest.raises(errors.HashMismatchError) as caught:
        install(empty_root)
    assert HASH in str(caught.value)
    assert hashlib.sha256(fake("6.6.6")).hexdigest() in str(caught.value)
    assert MIRROR_VARIABLE in str(caught.value)
    assert len(public.seen) == 1
    nothing_is_there(empty_root)
    number = sources.PINNED.partition("-")[0]
    public.at(asset(), bad.status(404))
    public.at(f"/api/{HERE}/{number}", bad.whole(packed(fake("6.6.6"), HERE, "tar.bz2")))
    with pytest.raises(errors.HashMismatchError, match=HASH):
        install(empty_root)
    nothing_is_there(empty_root)


@pytest.mark.parametrize("version", ["2.8.1", "2.8.1-0", "latest"])
def test_another_version_is_checked_against_its_published_hash(public: Server, empty_root: Root, version: str) -> None:
    content = fake("2.8.1")
    full = "latest" if version == "latest" else "2.8.1-0"
    public.at(asset(full), bad.whole(content))
    sums = asset(full) + ".sha256"
    with pytest.raises(errors.DownloadError, match="none is published"):
        install(empty_root, version=version)
    public.at(sums, bad.whole(b"0" * 64))
    with pytest.raises(errors.HashMismatchError, match="0" * 64):
        install(empty_root, version=version)
    nothing_is_there(empty_root)
    public.at(sums, bad.whole(hashlib.sha256(content).hexdigest().encode() + b"\n"))
    made = install(empty_root, version=version)
    assert made.verified == "published"
    assert made.version == ("2.8.1" if version == "latest" else "2.8.1-0")
    fetched = public.count(asset(full))
    assert install(empty_root, version=version) == made
    assert public.count(asset(full)) == fetched
    assert install(empty_root) == made  # without a version, what is there will do


def test_the_published_hash_next_to_an_archive_is_that_of_the_executable(server: Server, empty_root: Root) -> None:
    archive = packed(FAKE, HERE, "tar.bz2")
    url = server.at("/micromamba-x.tar.bz2", bad.whole(archive))
    for published in (HASH, hashlib.sha256(archive).hexdigest() + "  micromamba-x.tar.bz2"):
        server.at("/micromamba-x.tar.bz2.sha256", bad.whole(published.encode()))
        assert install(empty_root, source=url).verified == "published"
        remove(empty_root)


def test_an_address_without_a_hash_is_checked_against_the_known_ones(public: Server, empty_root: Root) -> None:
    url = public.at("/my/micromamba-own", bad.whole(fake("5.5.5")))
    with pytest.raises(errors.HashMismatchError, match=HASH):
        install(empty_root, source=url)
    nothing_is_there(empty_root)
    given = hashlib.sha256(fake("5.5.5")).hexdigest()
    assert install(empty_root, source=url, sha256=given).verified == "given"
    public.at("/my/micromamba-own", bad.whole(FAKE))
    made = install(empty_root, source=url)
    assert (made.verified, made.version) == ("known", sources.PINNED)


def test_a_subdir_without_a_known_hash_needs_one(
    public: Server, empty_root: Root, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sources, "HASHES", {sources.PINNED: {}})
    public.at(asset(subdir="linux-ppc64le"), bad.whole(FAKE))
    with pytest.raises(errors.DownloadError, match="no SHA-256 is known"):
        install(empty_root, subdir="linux-ppc64le")
    public.at(asset(subdir="linux-ppc64le") + ".sha256", bad.whole(HASH.encode()))
    assert install(empty_root, subdir="linux-ppc64le").verified == "published"
    (tmp_path / "micromamba").write_bytes(FAKE)
    assert install(empty_root, subdir="linux-ppc64le", source=tmp_path / "micromamba").verified == "recorded"


def test_only_ppc64le_has_no_known_hash() -> None:
    assert [subdir for subdir in SUBDIRS if not sources.release(None, subdir).known] == ["linux-ppc64le"]
    assert all(len(set(row.values())) == len(row) for row in sources.HASHES.values())


def test_the_mirror_of_the_variable_takes_the_place_of_the_sources(
    public: Server, empty_root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, public.url + "/mirror")
    public.at(f"/mirror/{sources.PINNED}/micromamba-{HERE}", bad.whole(FAKE))
    public.at(asset(), bad.whole(FAKE))
    assert "/mirror/" in install(empty_root).source
    assert public.count(asset()) == 0


def test_a_mirror_that_does_not_answer_is_asked_once(empty_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    with bad.serving() as gone:
        monkeypatch.setenv(MIRROR_VARIABLE, gone.url)
    with pytest.raises(errors.DownloadError, match="refused") as caught:
        install(empty_root)
    assert caught.value.what.count("\n- ") == 1
    assert "other names" not in caught.value.what


def test_a_mirror_that_has_nothing_is_one_line(server: Server, empty_root: Root) -> None:
    with pytest.raises(errors.DownloadError, match=r"7 other names there\): status 404") as caught:
        install(empty_root, source=server.url + "/nothing")
    assert caught.value.what.count("\n- ") == 1


def test_a_mirror_with_a_conda_channels_layout_will_do(public: Server, empty_root: Root) -> None:
    number, _, build = sources.PINNED.partition("-")
    path = f"/channel/{HERE}/micromamba-{number}-{build}"
    public.at(path + ".tar.bz2", bad.whole(packed(FAKE, HERE, "tar.bz2")))
    assert install(empty_root, source=public.url + "/channel").verified == "known"
    remove(empty_root)
    public.at(path + ".conda", bad.whole(packed(FAKE, HERE, "conda")))
    assert install(empty_root, source=public.url + "/channel").source.endswith(".conda")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"version": "two"}, "not a version of micromamba"),
        ({"subdir": "linux-32"}, "no micromamba for linux-32"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"source": "ftp://somewhere/micromamba"}, "cannot be used"),
        ({"source": "https://[somewhere/micromamba"}, "cannot be used"),
        ({"source": "https://somewhere/{colour}"}, "only these fields"),
    ],
)
def test_what_makes_no_sense_is_refused(empty_root: Root, options: dict[str, str], what: str) -> None:
    with pytest.raises(errors.InvalidRequestError, match=what):
        install(empty_root, **options)  # type: ignore[arg-type]


def test_a_file_or_folder_that_does_not_hold_it_is_named(empty_root: Root, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFoundError, match="no such file or folder"):
        install(empty_root, source=tmp_path / "nothing")
    with pytest.raises(errors.NotFoundError, match=f"contains no micromamba for {HERE}"):
        install(empty_root, source=tmp_path)


# --- what is there ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"#!/bin/sh\nexit 3\n", "status 3"),
        (b"#!/bin/sh\necho hello\n", "answers --version with hello"),
        (b"\x7fELF nonsense", "does not run here"),
        (b"#!/no/such/shell\n", "does not run here"),
    ],
)
def test_one_that_does_not_run_is_fatal(empty_root: Root, tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "micromamba").write_bytes(content)
    with pytest.raises(errors.EngineError, match=what):
        install(empty_root, source=tmp_path / "micromamba")
    nothing_is_there(empty_root)


def test_one_that_says_another_version_than_asked_for_is_refused(empty_root: Root, tmp_path: Path) -> None:
    (tmp_path / "micromamba").write_bytes(FAKE)
    with pytest.raises(errors.EngineError, match=r"9\.8\.7, but 1\.2\.3 was requested"):
        install(empty_root, source=tmp_path / "micromamba", version="1.2.3")
    nothing_is_there(empty_root)


def test_one_that_was_changed_is_noticed_and_repaired(public: Server, empty_root: Root) -> None:
    public.at(asset(), bad.whole(FAKE))
    made = install(empty_root)
    made.path.write_bytes(fake("6.6.6"))
    with pytest.raises(errors.HashMismatchError, match=HASH):
        check(empty_root)
    assert install(empty_root) == made
    assert check(empty_root) == made
    made.path.with_name("micromamba.json").write_text("{")
    with pytest.raises(errors.EngineError, match="Nothing is recorded"):
        check(empty_root)
    assert install(empty_root) == made


def test_a_failed_replacement_leaves_the_old_one(public: Server, empty_root: Root) -> None:
    public.at(asset(), bad.whole(FAKE))
    made = install(empty_root)
    public.at(asset("2.8.1-0") + ".sha256", bad.whole(b"0" * 64))
    public.at(asset("2.8.1-0"), bad.whole(fake("2.8.1")))
    with pytest.raises(errors.HashMismatchError):
        install(empty_root, version="2.8.1")
    assert check(empty_root) == made


def test_remove_takes_everything_of_it(public: Server, empty_root: Root) -> None:
    assert not remove(empty_root)
    with pytest.raises(errors.NotFoundError):
        check(empty_root)
    public.at(asset(), bad.truncated(FAKE, 3))
    with pytest.raises(errors.DownloadError):
        install(empty_root)
    assert not remove(empty_root)
    assert list((empty_root.path / "bin").iterdir()) == []
    public.at(asset(), bad.whole(FAKE))
    install(empty_root)
    assert remove(empty_root)
    assert find(empty_root) is None
    assert list((empty_root.path / "bin").iterdir()) == []


def test_one_that_we_did_not_put_there_is_found_and_stays(empty_root: Root) -> None:
    own = empty_root.path / "bin" / "micromamba"
    own.parent.mkdir(parents=True)
    own.write_bytes(FAKE)
    assert find(empty_root) == own
    assert not remove(empty_root)
    assert own.exists()


def test_one_is_carried_to_a_machine_without_a_network(public: Server, empty_root: Root, tmp_path: Path) -> None:
    public.at(asset(subdir=ELSEWHERE), bad.whole(FAKE))
    stick = tmp_path / "stick"
    made = install(empty_root, subdir=ELSEWHERE, output=stick)
    assert made.path.parent == stick
    assert (stick / f"{made.path.name}.sha256").read_text().strip() == HASH
    there = install(Root(tmp_path / "there"), source=stick, subdir=ELSEWHERE)
    assert (there.sha256, there.verified) == (HASH, "published")
    made.path.write_bytes(fake("6.6.6"))
    with pytest.raises(errors.HashMismatchError):
        install(Root(tmp_path / "there too"), source=stick, subdir=ELSEWHERE)


# --- many at once, and ends in between -------------------------------------------------------------------------------


def start(server: Server, root: Root, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mambakernels", "bootstrap", "--version", "9.8.7", "--root", root.path, *words],
        env={**os.environ, MIRROR_VARIABLE: server.url + "/m/micromamba-{subdir}-{version}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_several_processes_download_once(server: Server, empty_root: Root) -> None:
    content = fake(padding=200_000)
    path = f"/m/micromamba-{HERE}-9.8.7-0"
    server.at(path, bad.dripping(content, 0.02, size=20_000))
    server.at(path + ".sha256", bad.whole(hashlib.sha256(content).hexdigest().encode()))
    children = [start(server, empty_root, "--json") for _ in range(4)]
    answers = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0] * 4, answers
    assert len({json.loads(out)["sha256"] for out, _ in answers}) == 1
    assert server.count(path) == 1


@pytest.mark.parametrize(("number", "code"), [(9, -9), (signal.SIGINT, 130)])
def test_an_end_in_mid_download_leaves_nothing_and_the_next_call_works(
    server: Server, empty_root: Root, number: int, code: int
) -> None:
    content = fake(padding=200_000)
    path = f"/m/micromamba-{HERE}-9.8.7-0"
    server.at(path, bad.stalled(content, 100_000))
    server.at(path + ".sha256", bad.whole(hashlib.sha256(content).hexdigest().encode()))
    child = start(server, empty_root)
    partial = empty_root.path / "bin" / ".micromamba.new" / "download"
    while not (partial.exists() and partial.stat().st_size):
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    os.kill(child.pid, number)
    _, said = child.communicate(timeout=120)
    assert child.returncode == code
    assert "Traceback" not in said
    if number == signal.SIGKILL:
        assert [path.name for path in (empty_root.path / "bin").iterdir()] == [".micromamba.new"]
    else:
        nothing_is_there(empty_root)
    assert find(empty_root) is None
    server.at(path, bad.whole(content))
    again = start(server, empty_root)
    assert again.communicate(timeout=60)[0].startswith("micromamba 9.8.7-0")
    assert {item.name for item in (empty_root.path / "bin").iterdir()} == {"micromamba", "micromamba.json"}


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_line_fetches_checks_and_removes(cli: Cli, empty_root: Root, tmp_path: Path) -> None:
    here = ("--root", empty_root.path)
    (tmp_path / "micromamba").write_bytes(FAKE)
    absent = cli("bootstrap", "--check", *here)
    assert (absent.returncode, "mambakernels bootstrap" in absent.stderr) == (1, True)
    made = cli("bootstrap", "--from", tmp_path / "micromamba", *here)
    assert made.returncode == 0, made.stderr
    assert "micromamba 9.8.7" in made.stdout
    assert "not verified" in made.stdout
    facts = json.loads(cli("bootstrap", "--check", "--json", *here).stdout)
    assert facts["sha256"] == HASH
    assert Path(facts["path"]).read_bytes() == FAKE
    assert cli("bootstrap", "--json", *here).returncode == 0  # it is there: nobody is asked
    wrong = cli("bootstrap", "--from", tmp_path / "micromamba", "--sha256", "0" * 64, *here)
    assert wrong.returncode == 1
    assert HASH in wrong.stderr
    assert "0" * 64 in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert "Removed" in cli("bootstrap", "--remove", *here).stdout
    assert "not installed a micromamba" in cli("bootstrap", "--remove", *here).stdout
    assert cli("bootstrap", "--check", "--remove", *here).returncode == 2


def test_a_failure_on_the_command_line_says_what_to_do(cli: Cli, empty_root: Root) -> None:
    with bad.serving() as gone:
        mirror = gone.url
    answer = cli("bootstrap", "--root", empty_root.path, **{MIRROR_VARIABLE: mirror})
    assert answer.returncode == 1
    for part in ("refused", mirror, MIRROR_VARIABLE, "--from", "--engine rattler"):
        assert part in answer.stderr


@needs_micromamba
@pytest.mark.parametrize("ending", ["", *PACKINGS])
def test_the_real_one(server: Server, empty_root: Root, ending: str) -> None:
    content = Path(os.environ["MAMBA_EXE"]).read_bytes()
    url = server.at("/one", bad.whole(packed(content, HERE, ending) if ending else content))
    made = install(empty_root, source=url, sha256=hashlib.sha256(content).hexdigest())
    assert made.path.read_bytes() == content
    assert check(empty_root) == made
    assert made.version[0].isdigit()


# --- which machine it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "machine", "bits", "translated", "expected"),
    [
        ("linux", "x86_64", 64, False, "linux-64"),
        ("linux", "aarch64", 64, False, "linux-aarch64"),
        ("linux", "ppc64le", 64, False, "linux-ppc64le"),
        ("linux", "x86_64", 32, False, "linux-32"),
        ("linux", "aarch64", 32, False, "linux-armv7l"),
        ("linux", "riscv64", 64, False, "linux-riscv64"),
        ("darwin", "x86_64", 64, False, "osx-64"),
        ("darwin", "arm64", 64, False, "osx-arm64"),
        ("darwin", "x86_64", 64, True, "osx-arm64"),
        ("win32", "AMD64", 64, False, "win-64"),
        ("win32", "AMD64", 32, False, "win-64"),
        ("win32", "ARM64", 64, False, "win-arm64"),
        ("win32", "ARM64", 32, False, "win-arm64"),
        ("win32", "x86", 32, False, "win-32"),
    ],
)
def test_platforms_are_recognised(system: str, machine: str, bits: int, translated: bool, expected: str) -> None:  # noqa: FBT001
    assert paths.name_subdir(system, machine, bits=bits, translated=translated) == expected
