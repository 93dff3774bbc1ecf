"""Downloads by the tools that a machine is set up for: wheels by pip, Debian's packages by apt-get."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mambakernels import errors
from mambakernels.progress import Event, Progress
from mambakernels.system import process

_UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|ProxyError|(Connect|Read)Timeout|Connection(Reset|Aborted)"
    r"|Temporary failure"
)
_REFUSED = re.compile(r"[^\n]*(SSLError|confirming the ssl certificate|40[137] (Client )?Error)[^\n]*")
# pip's words on an unreadable index, which are in its log only; it then claims that the package does not exist.
_NOT_READ = re.compile(r"Could not fetch URL (?P<page>\S+): (?P<why>.+?)(?: - skipping)?$", re.MULTILINE)
_DISTRUSTED = re.compile(r"The repository located at (?P<page>\S+) is (?P<why>not a trusted or secure host)")
_ABSENT = re.compile(r"4(04|10) Client Error|neither a file nor a directory")
_CORE = re.compile(
    r"\[(?:Errno -?\d+|SSL: \w+)\] (?:certificate verify failed: )?(?P<error>[^()'\"]+)"
    r"|Caused by \w+\('(?P<cause>[^']+)|(?P<status>\d{3} \w+ Error: .*?) for url"
)
_NOTHING = re.compile(r"No matching distribution found for (?P<what>[^\n]+)")
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_NAME = re.compile(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)")  # in a list such as `libc6 (>= 2.29), this | that`
_FILE = re.compile(r"(?:Downloading|Using cached) (\S+)")
_ANOTHER_SOURCE = (
    "Check the name and version; if they are right, name another channel (--channel) or package index (PIP_INDEX_URL)."
)


def wheels(requirements: Sequence[str], folder: Path, *, options: Sequence[str] = (), progress: Progress) -> list[Path]:
    """Download wheels and their dependencies with pip, its configuration and its cache."""
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as place:
        log = Path(place) / "pip.log"
        command = process.module_command(
            "pip", "--disable-pip-version-check", "--log", str(log), "download", "--no-input"
        )
        command += ["--only-binary", ":all:", "--progress-bar", "raw", "--dest", str(folder), *options, *requirements]
        completed = process.stream(command, on_line=_PipLines(progress), own_session=False)
        if completed.returncode != 0:
            logged = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            raise _explain(completed.text, requirements, log=logged)
    return sorted(folder.glob("*.whl"))


def debian_package(name: str, folder: Path, *, progress: Progress) -> Path:
    """Download a Debian package with apt-get, without root, unpack it into `folder`, and return that."""
    progress(Event("download", name))
    shutil.rmtree(folder, ignore_errors=True)  # another BLAS may have tried before
    archives = folder / "archives"
    archives.mkdir(parents=True)
    fetched = process.stream(["apt-get", "download", "-qq", name], cwd=archives, own_session=False)
    found = sorted(archives.glob("*.deb"))
    if fetched.returncode != 0 or not found:
        raise errors.ChannelError(
            f"apt-get could not download {name}: {fetched.lines[-1] if fetched.lines else 'no reason given'}",
            next_step="If its package lists are old or missing: apt-get update",
        )
    unpacked = folder / "files"
    extracted = process.stream(["dpkg-deb", "-x", found[0], unpacked], own_session=False)
    if extracted.returncode != 0:
        raise errors.ChannelError(f"dpkg-deb could not unpack it: {extracted.text}", where=found[0].name)
    return folder


def debian_version(folder: Path) -> str:
    """Return the upstream version of the package that `debian_package` left in `folder`, such as `0.9.0`."""
    upstream = _debian_field(folder, "Version").rpartition(":")[2].partition("-")[0]
    return re.sub(r"[^0-9A-Za-z.]", ".", upstream)


def debian_dependencies(folder: Path) -> frozenset[str]:
    """Return the names of all packages that the one in `folder` depends on, alternatives included."""
    return frozenset(_NAME.findall(_debian_field(folder, "Depends")))


def _debian_field(folder: Path, name: str) -> str:
    archive = next((folder / "archives").glob("*.deb"))
    return process.stream(["dpkg-deb", "-f", archive, name], own_session=False).text.strip()


class _PipLines:
    """Turns pip's output into progress events: the file, and how much of it has arrived."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._file = ""

    def __call__(self, line: str) -> None:
        if match := _FILE.search(line):
            self._file = match[1].rpartition("/")[2]
            self._progress(Event("download", self._file))
        elif match := _PROGRESS.match(line):
            self._progress(Event("download", self._file, int(match[1]), int(match[2])))


def _explain(said: str, requirements: Sequence[str], *, log: str = "") -> errors.ChannelError:
    """Return pip's failure as an error, from its output and its more detailed log."""
    if "No module named pip" in said:
        return errors.ChannelError(
            "pip, which downloads the wheels, is not installed in this Python.",
            where=sys.executable,
            next_step=f"Add it: {sys.executable} -m ensurepip",
        )
    if match := _NOTHING.search(said):
        return _unread_index(f"{log}\n{said}") or errors.ChannelError(
            f"No wheel for this Python and machine matches {match['what'].strip()}.", next_step=_ANOTHER_SOURCE
        )
    if _UNREACHABLE.search(said):
        return _unreachable("No Python package index can be reached.")
    if match := _REFUSED.search(said):
        return _refusing(match[0].strip())
    lines = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-3:]
    return errors.ChannelError(f"pip could not download {', '.join(requirements)}: {' '.join(lines)}")


def _unread_index(logged: str) -> errors.ChannelError | None:
    """Return the error that kept pip from reading an index; None if there was no such error."""
    found = (match for pattern in (_NOT_READ, _DISTRUSTED) for match in pattern.finditer(logged))
    failed = next((match for match in found if not _ABSENT.search(match["why"])), None)
    if failed is None:
        return None
    index, core = re.sub(r"[^/]+/$", "", failed["page"]), _CORE.search(failed["why"])
    why = next(filter(None, core.groups()), "").strip() if core else failed["why"]
    if failed.re is _DISTRUSTED or _REFUSED.search(failed["why"]):
        return _refusing(why, where=index)
    return _unreachable(f"The Python package index cannot be reached: {why}.", where=index)


def _unreachable(what: str, *, where: str | None = None) -> errors.ChannelError:
    return errors.ChannelError(
        what,
        where=where,
        next_step="Check the network, or name your mirror with PIP_INDEX_URL or `pip config set global.index-url`.",
    )


def _refusing(why: str, *, where: str | None = None) -> errors.ChannelError:
    return errors.ChannelError(
        f"The package index refused the request: {why.rstrip('.')}.",
        where=where,
        next_step="Check the address in PIP_INDEX_URL, and the credentials and certificates that pip is configured "
        "with: pip config list",
    )
