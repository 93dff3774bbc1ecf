"""The micromamba engine: finds a micromamba, gives it one request, reads its JSON answer."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mambakernels import errors, process
from mambakernels.engines import Package, Request, installed
from mambakernels.progress import Event, Progress, silent


@dataclass(frozen=True)
class Found:
    """A micromamba on this machine, and where it was named."""

    path: Path
    where: str


def find(given: Path | None = None) -> Found | None:
    """Return the micromamba to use: the one given, `MAMBA_EXE`'s, or the first on `PATH`; None if there is none."""
    for path, where in ((given, "as given"), (os.environ.get("MAMBA_EXE"), "MAMBA_EXE")):
        if not path:
            continue
        if not os.access(path, os.X_OK) or Path(path).is_dir():
            raise errors.EngineError(
                "This is not an executable micromamba.", where=f"{path} ({where})", next_step="Correct or unset it."
            )
        return Found(Path(path).absolute(), where)
    on_path = process.which("micromamba")
    return Found(on_path, "PATH") if on_path else None


class Micromamba:
    """Solves and links by calling a micromamba executable."""

    name = "micromamba"

    def __init__(self, executable: Path) -> None:
        self.executable = executable

    @functools.cached_property
    def version(self) -> str:
        """What `micromamba --version` says."""
        return process.stream([self.executable, "--version"]).text.strip()

    def solve(self, request: Request, *, cache: Path, progress: Progress = silent) -> tuple[Package, ...]:
        """Return the packages that satisfy the request, by a dry run; SolveError if none do."""
        progress(Event("solve", " ".join(request.specs)))
        prefix = cache.parent / "envs" / ".solve"
        with _readable(request) as (readable, original):
            answer = self._json(["create", "--dry-run", *_arguments(readable, cache.parent, prefix)], cache)
        linked: list[dict[str, Any]] = json.loads(original(json.dumps(answer.get("actions", {}).get("LINK", []))))
        return tuple(sorted(map(Package.from_record, linked), key=lambda package: package.name))

    def create(
        self, request: Request, prefix: Path, *, final: Path, cache: Path, progress: Progress = silent
    ) -> tuple[Package, ...]:
        """Solve and link into `prefix` as if it were `final`; micromamba compiles the bytecode itself."""
        progress(Event("solve", " ".join(request.specs)))
        with _readable(request) as (readable, original):
            words = ["create", "--relocate-prefix", str(final), *_arguments(readable, cache.parent, prefix)]
            completed = process.stream([self.executable, *words], env=_environment(cache), on_line=_Lines(progress))
            if completed.returncode != 0:
                raise _explain(original(completed.text))
        for record in (prefix / "conda-meta").iterdir():
            text = record.read_text(encoding="utf-8")
            record.write_text(original(text).replace(str(prefix), str(final)), encoding="utf-8")
        return installed(prefix)

    def _json(self, words: Sequence[str], cache: Path) -> dict[str, Any]:
        variables = _environment(cache)
        completed = process.capture([self.executable, *words[:1], "--json", *words[1:]], env=variables)
        try:
            answer: dict[str, Any] = json.loads(completed.stdout)
        except json.JSONDecodeError:
            answer = {"success": False}
        if completed.returncode != 0 or not answer.get("success"):
            # the explanation is only in what it says without --json
            plain = process.stream([self.executable, *words], env=variables)
            raise _explain(plain.text)
        return answer


def _arguments(request: Request, root: Path, prefix: Path) -> list[str]:
    """Return the arguments both calls share; channels come last, as older versions want them."""
    words = ["--no-rc", "--override-channels", "--yes", "-r", str(root), "-p", str(prefix)]
    words += ["--platform", request.subdir, *request.specs]
    for channel in request.channels:
        words += ["-c", channel]
    return words


def _environment(cache: Path) -> dict[str, str]:
    """Return the environment without what an active conda or mamba would change, and with our package cache."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CONDA_", "MAMBA_", "_CE_"))}
    overrides = {key: value for key, value in os.environ.items() if key.startswith("CONDA_OVERRIDE_")}
    return {**kept, **overrides, "MAMBA_ROOT_PREFIX": str(cache.parent), "CONDA_PKGS_DIRS": str(cache)}


@contextmanager
def _readable(request: Request) -> Iterator[tuple[Request, Callable[[str], str]]]:
    """Yield the request with channels micromamba can read, and what puts their own names back into its words.

    micromamba 2.8 refuses a local channel with a space or a letter that is not ASCII in its path, however it is
    written ("Bad path"). Such a one is shown to it through a link in a private folder.
    """
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
        shown: dict[str, str] = {}
        for number, url in enumerate(request.channels):
            path = unquote(urlsplit(url).path)
            if url.startswith("file:") and not re.fullmatch(r"[\w./+-]*", path, re.ASCII):
                link = Path(folder) / str(number)
                link.symlink_to(path)
                shown[url] = link.as_uri()

        def original(text: str) -> str:
            for url, link in shown.items():
                text = text.replace(link, url).replace(urlsplit(link).path, urlsplit(url).path)
            return text

        channels = tuple(shown.get(url, url) for url in request.channels)
        yield dataclasses.replace(request, channels=channels), original


class _Lines:
    """Turns micromamba's lines into progress events."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, line: str) -> None:
        if match := re.match(r"(Linking|Downloading|Extracting)\s+(\S+)", line.strip()):
            self._progress(Event({"Linking": "link"}.get(match[1], "download"), match[2]))


def _explain(said: str) -> errors.EngineError | errors.ChannelError:
    """Turn what micromamba printed into our error, with its explanation."""
    lines = [line for line in said.splitlines() if line.strip()]
    if "Could not solve" in said:
        tree = [line for line in lines if re.match(r"\s+(The following|[├└│]|\w)", line) and "Resolving" not in line]
        return errors.SolveError("No set of packages satisfies the request:\n" + "\n".join(dict.fromkeys(tree)))
    if "not loaded" in said or "Download error" in said:
        reason = next((line.strip() for line in lines if "Download error" in line), lines[-1])
        return errors.ChannelError(
            f"A channel cannot be read: {reason}.", next_step="Check its address, or name another: --channel."
        )
    last = " ".join(line.strip() for line in lines[-3:]) or "it said nothing"
    return errors.EngineError(f"micromamba failed: {last}")
