"""The micromamba engine: finds a micromamba, gives it one request, reads its answer."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mambakernels import errors
from mambakernels.engines import Package, Request, by_name, explicit, in_words
from mambakernels.engines.bytecode import compile_packages
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process

# What of its words is progress.
_LINKING = re.compile(r"\s*Linking\s+(\S+)")
_DOWNLOADED = re.compile(r"info\s+libmamba Download finished, tarball available at '.*/([^/]+)'")
# What it says where the disk is full, beside much else.
_NOT_WRITTEN = re.compile(r"No space left on device|Disk quota exceeded|Download error \(23\)|Failed writing")
# With less free space than this, a failure is its fault. What it unpacked in vain is deleted by then.
_ROOM: Mapping[type[errors.MambakernelsError], int] = {
    errors.SolveError: 1 << 20,
    errors.ChannelError: 1 << 20,
    errors.EngineError: 64 << 20,
    errors.InvalidRequestError: 0,
}
_STARTS_WITHIN = 30.0  # seconds
_VERSION = re.compile(r"(?:micromamba: )?(\d+\.\d+\.\d+\S*)")
_SHOWN = 80  # characters of an answer
_CACHE = "CONDA_PKGS_DIRS"
# Settings of the user's that would change what it does, or that it refuses beside what we say.
_UNHEEDED = ("CONDA_", "MAMBA_", "CONDARC", "MAMBARC", "_CE_")


@dataclass(frozen=True)
class Found:
    """A micromamba on this machine, and where it was named."""

    path: Path
    where: str


def find(given: Path | None = None, *, root: Root | None = None) -> Found | None:
    """Return the micromamba to use: the one given, `MAMBA_EXE`'s, the root's own, or the first on `PATH`; or None."""
    for path, where in ((given, "as given"), (os.environ.get("MAMBA_EXE"), "MAMBA_EXE")):
        if not path:
            continue
        if not os.access(path, os.X_OK) or Path(path).is_dir():
            raise errors.EngineError(
                "This is not an executable micromamba.", where=f"{path} ({where})", next_step="Correct or unset it."
            )
        return Found(Path(path).absolute(), where)
    from mambakernels.bootstrap import find as find_ours

    if root is not None and (ours := find_ours(root)):
        return Found(ours, "ours")
    on_path = process.which("micromamba")
    return Found(on_path, "PATH") if on_path else None


class Micromamba:
    """Solves and links by calling a micromamba executable."""

    name = "micromamba"

    def __init__(self, executable: Path) -> None:
        self.executable = executable

    @functools.cached_property
    def version(self) -> str:
        """What `micromamba --version` says; EngineError if that is no version of one."""
        try:
            answer = process.capture([self.executable, "--version"], timeout=_STARTS_WITHIN)
        except process.TimeoutExpired as error:
            raise self._is_none(f"nothing within {_STARTS_WITHIN:.0f} s") from error
        except OSError as error:
            raise self._is_none(error.strerror or str(error)) from error
        said = (answer.stdout.strip() or answer.stderr.strip()).decode("utf-8", "replace")
        first = next(iter(said.splitlines()), "nothing")
        version = _VERSION.fullmatch(first.strip())
        if answer.returncode != 0 or version is None:
            status = f", and status {answer.returncode}" if answer.returncode != 0 else ""
            raise self._is_none(f"{first[:_SHOWN]}{status}")
        return version[1]

    def _is_none(self, answer: str) -> errors.EngineError:
        return errors.EngineError(
            f"This is not a micromamba: it answers --version with {answer.rstrip('.')}.",
            where=str(self.executable),
            next_step="Correct or unset MAMBA_EXE, or have a micromamba come first on PATH.",
        )

    def solve(self, request: Request, *, cache: Path, progress: Progress = silent) -> tuple[Package, ...]:
        """Return the packages that satisfy the request, by a dry run; SolveError if none do."""
        progress(Event("solve", in_words(request.specs)))
        prefix = cache.parent / "envs" / ".solve"
        with _Links.to(request.channels) as links:
            words = ["create", "--dry-run", "--json", *_arguments(cache.parent, prefix, request.subdir)]
            answer = self._json(words, _wanted(request, links), _environment(cache, request.virtual))
            found: list[dict[str, Any]] = json.loads(links.original(json.dumps(answer)))
        return by_name(map(Package.from_record, found))

    def create(
        self, request: Request, prefix: Path, *, final: Path, cache: Path, progress: Progress = silent
    ) -> tuple[Package, ...]:
        """Solve and link into `prefix` as if it were `final`; bytecode is complete afterwards."""
        progress(Event("solve", in_words(request.specs)))
        with _Links.to(request.channels) as links:
            words = [*_linking(cache.parent, prefix, request.subdir, final), *_wanted(request, links)]
            with errors.naming(prefix, final):
                self._run(words, _environment(cache, request.virtual), links, progress)
                return _settled(prefix, final, links, cache=cache, progress=progress)

    def link(
        self, packages: Sequence[Package], prefix: Path, *, final: Path, cache: Path, progress: Progress = silent
    ) -> tuple[Package, ...]:
        """Link exactly these packages into `prefix` as if it were `final`; the index's word counts, where known."""
        subdir = next((package.subdir for package in packages if package.subdir != "noarch"), "noarch")
        channels = dict.fromkeys(package.url.rsplit("/", 2)[0] for package in packages)
        with _Links.to(channels) as links, tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
            listing = Path(folder) / "explicit.txt"
            shown = [replace(package, url=links.shown_url(package.url)) for package in packages]
            listing.write_text(explicit.text(shown, subdir), encoding="utf-8")
            words = [*_linking(cache.parent, prefix, subdir, final), "--file", str(listing)]
            with errors.naming(prefix, final):
                self._run(words, _environment(cache, {}), links, progress)
                return _settled(prefix, final, links, packages, cache=cache, progress=progress)

    def close(self) -> None:
        """Nothing goes on between calls."""

    def _run(self, words: Sequence[str], variables: Mapping[str, str], links: _Links, progress: Progress) -> None:
        completed = process.stream([self.executable, *words], env=variables, on_line=_Lines(progress))
        if completed.returncode != 0:
            said = [line for line in completed.lines if not line.startswith("info ")]
            raise _failure(links.original("\n".join(said)), Path(variables[_CACHE]))

    def _json(self, words: Sequence[str], wanted: Sequence[str], variables: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the records of what it would link."""
        completed = process.capture([self.executable, *words, *wanted], env=variables)
        try:
            answer: dict[str, Any] = json.loads(completed.stdout)
        except json.JSONDecodeError:
            answer = {"success": False}
        if completed.returncode != 0 or not answer.get("success"):
            # the explanation is only in what it says without --json
            plain = [word for word in words if word != "--json"]
            said = process.stream([self.executable, *plain, *wanted], env=variables).text
            raise _failure(said, Path(variables[_CACHE]))
        return list(answer.get("actions", {}).get("LINK", []))


def _arguments(root: Path, prefix: Path, subdir: str) -> list[str]:
    """Return the arguments all calls share."""
    return ["--no-rc", "--override-channels", "--yes", "-r", str(root), "-p", str(prefix), "--platform", subdir]


def _linking(root: Path, prefix: Path, subdir: str, final: Path) -> list[str]:
    """Return the words to link with: bytecode is for us to make, and only `-v` tells of downloads."""
    return ["create", "-v", *_arguments(root, prefix, subdir), "--no-pyc", "--relocate-prefix", str(final)]


def _wanted(request: Request, links: _Links) -> list[str]:
    """Return specs and channels; channels come last, as older versions want them."""
    words = list(request.specs)
    for channel in request.channels:
        words += ["-c", links.shown_url(channel)]
    return words


def _environment(cache: Path, virtual: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what an active conda or mamba would change, and with our package cache."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_UNHEEDED)}
    overrides = {key: value for key, value in os.environ.items() if key.startswith("CONDA_OVERRIDE_")}
    overrides |= {f"CONDA_OVERRIDE_{name.strip('_').upper()}": version for name, version in virtual.items()}
    ours = {"MAMBA_ROOT_PREFIX": str(cache.parent), _CACHE: str(cache), "MAMBA_CHANNEL_PRIORITY": "strict"}
    if (Path.home() / ".mamba" / "auth" / "authentication.json").exists():
        # with a login from there, 2.8 asks for the sharded index in vain, and writes the login into its cache
        ours["MAMBA_USE_SHARDED_REPODATA"] = "false"
    return {**kept, **overrides, **ours}


@contextmanager
def _links_folder() -> Iterator[Path]:
    """Yield a folder that is always the same one: micromamba keeps packages by the address that they came from.

    Where somebody else has put something there, it is a new one.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"mambakernels-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if stat.S_ISDIR(state.st_mode) and (os.name == "nt" or (state.st_uid, state.st_mode & 0o077) == (user, 0)):
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="mambakernels-") as fresh:
            yield Path(fresh)


@dataclass(frozen=True)
class _Links:
    """Channels shown to micromamba under another address, and the way back.

    micromamba 2.8 refuses a local channel with a space or a letter that is not ASCII in its path, however it is
    written ("Bad path"). Such a one is shown to it through a link in a private folder.
    """

    shown: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def to(cls, channels: Sequence[str] | Mapping[str, Any]) -> Iterator[_Links]:
        with _links_folder() as folder:
            shown: dict[str, str] = {}
            for url in channels:
                path = unquote(urlsplit(url).path)
                if url.startswith("file:") and not re.fullmatch(r"[\w./+-]*", path, re.ASCII):
                    link = folder / hashlib.sha256(url.encode()).hexdigest()[:16]
                    with suppress(FileExistsError):  # made by an earlier call: its name says where it leads
                        link.symlink_to(path)
                    shown[url] = link.as_uri()
            yield cls(shown)

    def shown_url(self, url: str) -> str:
        """Return the address that micromamba is given for a channel, or for a package of one."""
        for own, link in self.shown.items():
            if url == own or url.startswith(f"{own}/"):
                return link + url[len(own) :]
        return url

    def original(self, text: str) -> str:
        """Put the channels' own names back into micromamba's words."""
        for url, link in self.shown.items():
            text = text.replace(link, url).replace(urlsplit(link).path, urlsplit(url).path)
        return text


def _settled(
    prefix: Path, final: Path, links: _Links, packages: Sequence[Package] = (), *, cache: Path, progress: Progress
) -> tuple[Package, ...]:
    """Complete what was linked, and return it: bytecode, and in `conda-meta` the true places of prefix and channels.

    micromamba would start a Python of its own to compile on one core, however little there is. Of `packages` it was
    given the addresses alone, and looked into the archives; the index may say otherwise, and its word counts.
    """
    known = {package.spec: package.record for package in packages if "depends" in package.record}
    records: list[dict[str, Any]] = []
    for path in (prefix / "conda-meta").iterdir():
        text = path.read_text(encoding="utf-8")
        settled = links.original(text).replace(str(prefix), str(final))
        if path.suffix == ".json":
            found = json.loads(settled)
            corrected = {**found, **known.get(Package.from_record(found).spec, {})}
            settled = settled if corrected == found else json.dumps(corrected, indent=4)
            records.append(corrected)
        if settled != text:
            path.write_text(settled, encoding="utf-8")
    compile_packages(prefix, records, final=final, cache=cache, progress=progress)
    return by_name(map(Package.from_record, records))


class _Lines:
    """Turns micromamba's lines into progress events."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, line: str) -> None:
        if match := _LINKING.match(line):
            self._progress(Event("link", match[1]))
        elif match := _DOWNLOADED.match(line):
            self._progress(Event("download", match[1]))


def _failure(said: str, cache: Path) -> errors.MambakernelsError:
    """Turn what micromamba printed into our error; it says little of a full disk, and has made room before it ends."""
    explained = _explain(said)
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free >= _ROOM[type(explained)] and not _NOT_WRITTEN.search(said):
        return explained
    why = f"micromamba cannot write its files: {free >> 20} MB are free"
    full = errors.from_os_error(OSError(errno.ENOSPC, why, str(cache.parent)))
    full.what = f"{full.what} {explained.what}"
    return full


def _explain(said: str) -> errors.EngineError | errors.ChannelError | errors.InvalidRequestError:
    """Turn what micromamba printed into our error, with its explanation."""
    lines = [line for line in said.splitlines() if line.strip()]
    if "Could not solve" in said:
        tree = [line for line in lines if re.match(r"\s+(The following|[├└│]|\w)", line) and "Resolving" not in line]
        return errors.SolveError("No set of packages satisfies the request:\n" + "\n".join(dict.fromkeys(tree)))
    if "not loaded" in said or "Download error" in said:
        named = [line.strip() for line in lines if re.search(r"\[(https?|file):", line) and "warning" not in line]
        reason = next(iter(named), lines[-1])
        return errors.ChannelError(
            f"A channel cannot be read: {reason}.", next_step="Check its address, or name another: --channel."
        )
    if unread := re.search(r"Error parsing MatchSpec (.+?)\.?$", said, re.MULTILINE):
        return errors.InvalidRequestError(
            f"A match spec cannot be read: {unread[1]}.",
            next_step="Write it like numpy, python=3.11 or libblas=*=*mkl.",
        )
    last = " ".join(line.strip() for line in lines[-3:]) or "it said nothing"
    return errors.EngineError(f"micromamba failed: {last}")
