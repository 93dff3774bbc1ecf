"""The micromamba engine: the executable found, called for one request at a time, and its output read."""

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
from mambakernels.bootstrap import find as find_ours
from mambakernels.bootstrap.version import printed_version
from mambakernels.engines import Package, Request, by_name, explicit, in_words
from mambakernels.engines.bytecode import compile_packages
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process
from mambakernels.system.credentials import public

# The lines of its output that report progress.
_LINKING = re.compile(r"\s*Linking\s+(\S+)")
_DOWNLOADED = re.compile(r"info\s+libmamba Download finished, tarball available at '.*/([^/]+)'")
# Its messages when the disk is full, among many others.
_NOT_WRITTEN = re.compile(r"No space left on device|Disk quota exceeded|Download error \(23\)|Failed writing")
# A failure with less free space than this counts as a full disk: by then, micromamba has already deleted the files
# that it could not unpack.
_ROOM: Mapping[type[errors.MambakernelsError], int] = {
    errors.SolveError: 1 << 20,
    errors.ChannelError: 1 << 20,
    errors.EngineError: 64 << 20,
    errors.InvalidRequestError: 0,
}
_CACHE = "CONDA_PKGS_DIRS"
# The user's settings that would change its behaviour, or that conflict with our arguments.
_IGNORED_SETTINGS = ("CONDA_", "MAMBA_", "CONDARC", "MAMBARC", "_CE_")


@dataclass(frozen=True)
class Executable:
    """A micromamba on this machine, and how it was found."""

    path: Path
    where: str


def find(root: Root) -> Executable | None:
    """Return the micromamba to use: that of `MAMBA_EXE`, the root's own, or the first on `PATH`; None without any."""
    if named := os.environ.get("MAMBA_EXE"):
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise errors.EngineError(
                "This is not an executable micromamba.", where=f"{named} (MAMBA_EXE)", next_step="Correct or unset it."
            )
        return Executable(Path(named).absolute(), "MAMBA_EXE")
    if ours := find_ours(root):
        return Executable(ours, "ours")
    on_path = process.which("micromamba")
    return Executable(on_path, "PATH") if on_path else None


class Micromamba:
    """Solves and links by calling a micromamba executable."""

    name = "micromamba"

    def __init__(self, executable: Path) -> None:
        self.executable = executable

    @functools.cached_property
    def version(self) -> str:
        """The version that `micromamba --version` prints; EngineError if it prints none."""
        try:
            return printed_version(self.executable)
        except ValueError as answer:
            raise errors.EngineError(
                f"This is not a micromamba: it answers --version with {answer}.",
                where=str(self.executable),
                next_step="Correct or unset MAMBA_EXE, or put a micromamba first on PATH.",
            ) from answer

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
        """Link exactly these packages into `prefix` as if it were `final`; their records, where known, are kept."""
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
        """Do nothing: no process is kept between calls."""

    def _run(self, words: Sequence[str], variables: Mapping[str, str], links: _Links, progress: Progress) -> None:
        report = functools.partial(_report, progress=progress)
        completed = process.stream([self.executable, *words], env=variables, on_line=report)
        if completed.returncode != 0:
            said = [line for line in completed.lines if not line.startswith("info ")]
            raise _failure(links.original("\n".join(said)), Path(variables[_CACHE]))

    def _json(self, words: Sequence[str], wanted: Sequence[str], variables: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the records of the packages it would link."""
        completed = process.read_output([self.executable, *words, *wanted], env=variables)
        try:
            answer: dict[str, Any] = json.loads(completed.stdout)
        except json.JSONDecodeError:
            answer = {"success": False}
        if completed.returncode != 0 or not answer.get("success"):
            # only without --json does it explain
            plain = [word for word in words if word != "--json"]
            said = process.stream([self.executable, *plain, *wanted], env=variables).text
            raise _failure(said, Path(variables[_CACHE]))
        return list(answer.get("actions", {}).get("LINK", []))


def _arguments(root: Path, prefix: Path, subdir: str) -> list[str]:
    """Return the arguments all calls share."""
    return ["--no-rc", "--override-channels", "--yes", "-r", str(root), "-p", str(prefix), "--platform", subdir]


def _linking(root: Path, prefix: Path, subdir: str, final: Path) -> list[str]:
    """Return the arguments for linking: `--no-pyc` as we compile, `-v` as only that reports downloads."""
    return ["create", "-v", *_arguments(root, prefix, subdir), "--no-pyc", "--relocate-prefix", str(final)]


def _wanted(request: Request, links: _Links) -> list[str]:
    """Return specs and channels; channels come last, as older versions want them."""
    # a channel's address in a spec is compared with that of the channel without its credentials
    words = [links.shown_url(public(spec) if "::" in spec else spec) for spec in request.specs]
    if any("::" in spec for spec in words):  # with strict priority, it has no package of a channel after another's
        words += ["--channel-priority", "flexible"]
    for channel in request.channels:
        words += ["-c", links.shown_url(channel)]
    return words


def _environment(cache: Path, virtual: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables without those of conda and mamba, and with our package cache."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_IGNORED_SETTINGS)}
    overrides = {key: value for key, value in os.environ.items() if key.startswith("CONDA_OVERRIDE_")}
    overrides |= {f"CONDA_OVERRIDE_{name.strip('_').upper()}": version for name, version in virtual.items()}
    ours = {"MAMBA_ROOT_PREFIX": str(cache.parent), _CACHE: str(cache), "MAMBA_CHANNEL_PRIORITY": "strict"}
    if (Path.home() / ".mamba" / "auth" / "authentication.json").exists():
        # with a login from there, 2.8 fails to get the sharded index, and writes the login into its cache
        ours["MAMBA_USE_SHARDED_REPODATA"] = "false"
    return {**kept, **overrides, **ours}


@contextmanager
def _links_folder() -> Iterator[Path]:
    """Yield a folder with the same path in every call, as micromamba caches packages by their channel's address.

    If another user owns that path, it is a temporary folder.
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
    """Links to channels in local folders, for micromamba alone.

    micromamba 2.8 refuses a local channel with a space or a letter that is not ASCII in its path, however it is
    written ("Bad path"). It gets the address of a link to such a channel, in a private folder.
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
                    with suppress(FileExistsError):  # made by an earlier call, with the same target
                        link.symlink_to(path)
                    shown[url] = link.as_uri()
            yield cls(shown)

    def shown_url(self, url: str) -> str:
        """Return the address of a channel, or of a package in one, to give to micromamba."""
        for address, link in self.shown.items():
            if url == address or url.startswith((f"{address}/", f"{address}::")):
                return link + url[len(address) :]
        return url

    def original(self, text: str) -> str:
        """Put the channels' true addresses back into micromamba's output."""
        for url, link in self.shown.items():
            text = text.replace(link, url).replace(urlsplit(link).path, urlsplit(url).path)
        return text


def _settled(
    prefix: Path, final: Path, links: _Links, packages: Sequence[Package] = (), *, cache: Path, progress: Progress
) -> tuple[Package, ...]:
    """Complete a linked prefix and return its packages: bytecode, and the true paths and addresses in `conda-meta`.

    We compile, as micromamba does so on one core only. It gets only the addresses of `packages` and reads their
    archives; where the records in `packages`, from the index, differ, they replace what it wrote.
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


def _report(line: str, progress: Progress) -> None:
    """Report one of micromamba's lines as a progress event, if it is about progress."""
    if match := _LINKING.match(line):
        progress(Event("link", match[1]))
    elif match := _DOWNLOADED.match(line):
        progress(Event("download", match[1]))


def _failure(said: str, cache: Path) -> errors.MambakernelsError:
    """Return the error for micromamba's output; a full disk is recognised by the free space, as it seldom says so."""
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
    """Return the error for micromamba's output, with its explanation."""
    lines = [line for line in said.splitlines() if line.strip()]
    if "Could not solve" in said:
        tree = [line for line in lines if re.match(r"\s+(The following|[├└│]|\w)", line) and "Resolving" not in line]
        return errors.SolveError("No set of packages satisfies the request:\n" + "\n".join(dict.fromkeys(tree)))
    if "not loaded" in said or "Download error" in said:
        named = [line.strip() for line in lines if re.search(r"\[(https?|file):", line) and "warning" not in line]
        reason = next(iter(named), lines[-1])
        return errors.ChannelError(f"A channel cannot be read: {reason}.", next_step=errors.OTHER_CHANNEL)
    if unread := re.search(r"Error parsing MatchSpec (.+?)\.?$", said, re.MULTILINE):
        return errors.InvalidRequestError(
            f"{unread[1]} is not a valid match spec.",
            next_step="Write it like numpy, python=3.11 or 'libblas=*=*mkl'.",
        )
    last = " ".join(line.strip() for line in lines[-3:]) or "it printed nothing"
    return errors.EngineError(f"micromamba failed: {last}")
