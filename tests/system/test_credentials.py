"""Private channels: the engines log in with what they are given, and no credential is ever written or shown."""

from __future__ import annotations

import base64
import json
import subprocess
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from support.channel_server import Fault, Site

import mambakernels
from mambakernels import errors
from mambakernels.engines import Engine
from mambakernels.environments import Environment
from mambakernels.progress import Event
from mambakernels.system import credentials

USER = "somebody"
PASSWORD = "s3cret%20p%40ss"  # as it stands in an address
TOKEN = "to-k3n-0123456789"
SPECS = ("python", "greeter", "patched")
MARKS = {
    text.encode()
    for text in (
        *(PASSWORD, unquote(PASSWORD), TOKEN),
        base64.b64encode(f"{USER}:{unquote(PASSWORD)}".encode()).decode(),
        base64.b64encode(unquote(PASSWORD).encode()).decode(),
    )
}


@dataclass(frozen=True)
class Place:
    """Where a test works: everything that may be written to is below one folder, but for what the test hides there."""

    root: Path
    jupyter: Path
    home: Path
    events: list[Event]
    patch: pytest.MonkeyPatch

    def create(self, engine: Engine, channel: str | tuple[str, ...], *specs: str) -> Environment:
        name = "micromamba" if engine.name == "micromamba" else "rattler"
        return mambakernels.create(
            "private", specs or SPECS, channel=channel, engine=name, root=self.root, progress=self.events.append
        )

    def leaks(self) -> list[str]:
        """Return the files that hold a credential in their name or content, and the events that do.

        What the engines keep of packages and indexes, for themselves, is `cached_leaks`.
        """
        files = [path for folder in (self.root, self.jupyter) for path in folder.rglob("*")]
        return self._leaks_in(path for path in files if not path.is_relative_to(self.root / "pkgs")) + [
            str(event) for event in self.events if _leaks(str(event).encode())
        ]

    def cached_leaks(self) -> list[str]:
        """Return the files of the package cache, and of the user's own, that hold a credential."""
        return self._leaks_in(
            path for folder in (self.root / "pkgs", self.home / ".cache") for path in folder.rglob("*")
        )

    @staticmethod
    def _leaks_in(found: Iterable[Path]) -> list[str]:
        files = list(found)
        named = [str(path) for path in files if _leaks(str(path).encode())]
        held = [str(path) for path in files if path.is_file() and not path.is_symlink() and _leaks(path.read_bytes())]
        return named + held


def _leaks(content: bytes) -> bool:
    return any(mark in content for mark in MARKS)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path / "root", tmp_path / "jupyter", tmp_path / "home", [], monkeypatch)
    made.home.mkdir()
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(made.jupyter))
    for name in ("NETRC", "RATTLER_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture(params=["password", "token"])
def private(request: pytest.FixtureRequest, site: Site) -> str:
    """Return the address of a channel that wants a login, with the login in it."""
    if request.param == "password":
        site.login = (USER, unquote(PASSWORD))
        return site.url(login=f"{USER}:{PASSWORD}")
    site.token = TOKEN
    return site.url(token=TOKEN)


def test_an_address_with_credentials_works_and_is_kept_nowhere(
    any_engine: Engine, site: Site, private: str, place: Place
) -> None:
    """Not in the package cache either, which may be shared between users and is copied to other machines."""
    made = place.create(any_engine, private)
    assert made.package("greeter") is not None
    assert place.leaks() == []
    assert place.cached_leaks() == []
    assert not _leaks(repr(made).encode())
    assert not _leaks(repr(mambakernels.list(root=place.root)).encode())
    assert not _leaks(repr(mambakernels.kernels.list()).encode())
    assert made.channels == (site.url(),), "the manifest still says where packages came from"
    assert_addresses_are_plain(made, site)
    site.log.clear()
    assert place.create(any_engine, private) == made, "the same request again is nothing to do"
    assert site.asked(".conda") == []


def assert_addresses_are_plain(made: Environment, site: Site) -> None:
    """What is written can be used again, with whatever credentials the reader has: no login, and no stars for one."""
    address = f"{site.url()}/noarch/tiny-1.0-0.conda"
    tiny = made.package("tiny")
    assert tiny is not None
    assert tiny.url == address
    record = json.loads((made.prefix / "conda-meta" / "tiny-1.0-0.json").read_text())
    assert record["url"] == address
    assert record["channel"].startswith(site.url())


def test_an_environment_file_with_credentials_is_kept_nowhere(
    any_engine: Engine, private: str, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(f"name: private\nchannels: ['{private}', nodefaults]\ndependencies: [{', '.join(SPECS)}]\n")
    name = "micromamba" if any_engine.name == "micromamba" else "rattler"
    made = mambakernels.create("", file=file, engine=name, root=place.root, progress=place.events.append)
    assert made.name == "private"
    assert place.leaks() == []


@pytest.mark.parametrize("channel", ["conda-forge", "auto"])
def test_a_mirror_with_credentials_is_kept_nowhere(
    any_engine: Engine, private: str, place: Place, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    monkeypatch.setenv("MAMBAKERNELS_CONDA_FORGE", private)
    made = place.create(any_engine, channel)
    assert made.package("greeter") is not None
    assert place.leaks() == []
    assert not _leaks(json.dumps(mambakernels.info(root=place.root), default=str).encode())


@pytest.mark.parametrize("private", ["password", pytest.param("token", marks=pytest.mark.exhaustive)], indirect=True)
def test_an_executed_notebook_shows_none(private: str, place: Place, tmp_path: Path) -> None:
    mambakernels.create("private", SPECS, channel=private, engine="rattler", root=place.root)
    [kernel] = mambakernels.kernels.list()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os; print(os.environ['FORGE_DATA'])")])
    nbformat.write(notebook, tmp_path / "asks.ipynb")
    output = tmp_path / "out"
    [done] = mambakernels.run(tmp_path / "asks.ipynb", kernels=kernel.name, output=output, progress=place.events.append)
    assert done.status == "ok", done
    written = [path for path in output.rglob("*") if path.is_file()]
    assert any(str(place.root / "envs" / "private") in path.read_text() for path in written)
    assert not any(_leaks(path.read_bytes()) for path in written)
    assert place.leaks() == []


@pytest.mark.slow
def test_the_command_line_shows_none(
    private: str, place: Place, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    address = credentials.public(private)
    for words, status, shown in (
        (["create", "private", *SPECS, "--channel", private, "--engine", "rattler"], 0, "private"),
        (["create", "other", "no-such-package", "--channel", private, "--engine", "rattler"], 1, "no-such-package"),
        (["create", "third", "tiny", "--channel", f"{private}-not", "--engine", "rattler"], 1, f"{address}-not"),
        (["list", "--json"], 0, f'"{address}"'),
        (["info"], 0, address),
    ):
        done = cli(*words, "--root", place.root, MAMBAKERNELS_CONDA_FORGE=private)
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        assert shown in said
        assert not _leaks(said.encode())
    assert place.leaks() == []


# ------------------------------------------------------------------------------------------------ where it goes wrong


def _unsolvable(_: Site) -> tuple[str, ...]:
    return ("no-such-package",)


def _no_archive(site: Site) -> tuple[str, ...]:
    site.faults["tiny-1.0-0.conda"] = Fault(status=404)
    return ("tiny",)


def _cut_archive(site: Site) -> tuple[str, ...]:
    site.faults["tiny-1.0-0.conda"] = Fault(kind="truncate")
    return ("tiny",)


def _refused(site: Site) -> tuple[str, ...]:
    site.login, site.token = (site.login and ("x", "y")), (site.token and "another-token")
    return ("tiny",)


def _no_index(site: Site) -> tuple[str, ...]:
    site.forms = frozenset()
    return ("tiny",)


def _broken_index(site: Site) -> tuple[str, ...]:
    site.forms = frozenset({"repodata.json"})
    site.faults["repodata.json"] = Fault(kind="truncate")
    return ("tiny",)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [_unsolvable, _no_archive, _cut_archive, _refused, _no_index, _broken_index])
def test_no_error_shows_a_credential(
    any_engine: Engine, site: Site, private: str, place: Place, trouble: Callable[[Site], tuple[str, ...]]
) -> None:
    specs = trouble(site)
    with pytest.raises(errors.MambakernelsError) as caught:
        place.create(any_engine, private, *specs)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not _leaks(shown.encode())
    assert place.leaks() == []
    if trouble in {_no_archive, _cut_archive}:
        assert "tiny" in str(caught.value)
    if trouble in {_refused, _no_index}:
        assert f"127.0.0.1:{site.port}" in str(caught.value), "the error names the channel"


def test_a_login_that_is_missing_is_an_error_that_says_401(any_engine: Engine, site: Site, place: Place) -> None:
    site.login = (USER, unquote(PASSWORD))
    with pytest.raises(errors.ChannelError, match=r"401|[Uu]nauthorized"):
        place.create(any_engine, site.url())


# --------------------------------------------------------------------------------------------- from the usual places


def _netrc(place: Place, _: Site) -> None:
    (place.home / ".netrc").write_text(f"machine 127.0.0.1\nlogin {USER}\npassword {TOKEN}\n")


def _netrc_variable(place: Place, _: Site) -> None:
    file = place.home / "elsewhere"
    file.write_text(f"machine 127.0.0.1 login {USER} password {TOKEN}\n")
    place.patch.setenv("NETRC", str(file))


def _rattler_file(place: Place, _: Site) -> None:
    file = place.home / "auth.json"
    file.write_text(json.dumps({"127.0.0.1": {"BasicHTTP": {"username": USER, "password": TOKEN}}}))
    place.patch.setenv("RATTLER_AUTH_FILE", str(file))


def _rattler_home(place: Place, _: Site) -> None:
    (place.home / ".rattler").mkdir()
    stored = {"127.0.0.1": {"BasicHTTP": {"username": USER, "password": TOKEN}}}
    (place.home / ".rattler" / "credentials.json").write_text(json.dumps(stored))


def _mamba_home(place: Place, site: Site) -> None:
    folder = place.home / ".mamba" / "auth"
    folder.mkdir(parents=True)
    password = base64.b64encode(TOKEN.encode()).decode()
    stored = {f"127.0.0.1:{site.port}": {"type": "BasicHTTPAuthentication", "user": USER, "password": password}}
    (folder / "authentication.json").write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("store", "readers"),
    [
        (_netrc, {"rattler", "micromamba"}),
        (_netrc_variable, {"rattler", "micromamba"}),
        (_rattler_file, {"rattler"}),
        (_rattler_home, {"rattler"}),
        (_mamba_home, {"micromamba"}),
    ],
)
def test_credentials_in_the_usual_places_are_used_and_kept_nowhere(
    any_engine: Engine, site: Site, place: Place, store: Callable[[Place, Site], None], readers: set[str]
) -> None:
    """Each engine has a store of its own, written by its `auth login`; both read `.netrc`."""
    site.login = (USER, TOKEN)
    store(place, site)
    site.free = (
        "/shards/"  # as behind a content delivery network; micromamba then builds addresses with the login in it
    )
    if any_engine.name not in readers:
        with pytest.raises(errors.ChannelError, match=r"401|[Uu]nauthorized"):
            place.create(any_engine, site.url())
    else:
        made = place.create(any_engine, site.url())
        assert made.channels == (site.url(),)
        assert_addresses_are_plain(made, site)
    assert place.leaks() + place.cached_leaks() == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pw@host/ch", "https://host/ch"),
        ("https://us%40er:p%2Fw@host:8443/a/ch/", "https://host:8443/a/ch/"),
        ("https://user:p@w@host/ch", "https://host/ch"),
        ("https://host/t/tk-123/ch/linux-64/a-1-0.conda", "https://host/ch/linux-64/a-1-0.conda"),
        ("https://host/api/t/tk-123/ch", "https://host/api/ch"),
        (
            '{"url": "https://u:p@host/t/tk/ch", "path": "/tmp/t/x/y"}',
            '{"url": "https://host/ch", "path": "/tmp/t/x/y"}',
        ),
        ("file:///tmp/t/some/ch", "file:///tmp/t/some/ch"),
        ("write to somebody@example.org", "write to somebody@example.org"),
    ],
)
def test_an_address_is_shown_without_its_credentials(text: str, shown: str) -> None:
    assert credentials.public(text) == shown


def test_a_password_is_hidden_wherever_it_stands_and_however_it_is_written() -> None:
    secrets = credentials.Secrets.of(
        ["https://user:p%40ss-word@host/ch", "https://host/t/tk-123/ch", "file:///t/some/ch"]
    )
    assert secrets.hide("got p@ss-word, p%40ss-word and tk-123") == "got *****, ***** and *****"
    assert secrets.hide("file:///t/some/ch") == "file:///t/some/ch"
    assert credentials.restored("https://host/ch/noarch/a.conda", ["https://u:p@host/ch"]) == (
        "https://u:p@host/ch/noarch/a.conda"
    )
    assert credentials.restored("https://other/ch/noarch/a.conda", ["https://u:p@host/ch"]).startswith("https://other/")
