"""The embedded engine: py-rattler in a child process, which may be stopped and may crash when it leaves.

The parent's side is `Rattler`; the child answers with `work`.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mambakernels import errors, process
from mambakernels.engines import Package, Request, compile_missing
from mambakernels.progress import Event, Progress, silent


class Rattler:
    """Solves and links with py-rattler, which came with pip."""

    name = "rattler"

    @property
    def version(self) -> str:
        """The version of py-rattler."""
        return importlib.metadata.version("py-rattler")

    def solve(self, request: Request, *, cache: Path, progress: Progress = silent) -> tuple[Package, ...]:
        """Return the packages that satisfy the request; SolveError if none do."""
        return self._call({"do": "solve", "request": asdict(request), "cache": str(cache)}, progress)

    def create(
        self, request: Request, prefix: Path, *, final: Path, cache: Path, progress: Progress = silent
    ) -> tuple[Package, ...]:
        """Solve and link into `prefix` as if it were `final`; bytecode is complete afterwards."""
        message = {"do": "create", "request": asdict(request), "prefix": str(prefix), "final": str(final)}
        return self._call({**message, "cache": str(cache)}, progress)

    def _call(self, message: process.Json, progress: Progress) -> tuple[Package, ...]:
        answer = process.Worker(__name__).call(message, progress=progress)
        return tuple(Package(**package) for package in answer["packages"])


# ------------------------------------------------------------------------------------------------- in the child


def work(message: process.Json, progress: Progress) -> process.Json:
    """Do what one message asks for."""
    asked = message["request"]
    request = Request(tuple(asked["specs"]), tuple(asked["channels"]), asked["subdir"])
    cache = Path(message["cache"])
    records = asyncio.run(_solve(request, cache, progress))
    if message["do"] == "create":
        prefix, final = Path(message["prefix"]), Path(message["final"])
        asyncio.run(_link(records, prefix, final, cache, progress))
        _compile(prefix, final, progress)
    return {"packages": [asdict(_described(record)) for record in records]}


async def _solve(request: Request, cache: Path, progress: Progress) -> list[Any]:
    import rattler
    from rattler import exceptions

    progress(Event("solve", " ".join(request.specs)))
    try:
        records: list[Any] = await rattler.solve(
            sources=[rattler.Channel(url) for url in request.channels],
            specs=[rattler.MatchSpec(spec, strict=False) for spec in request.specs],
            platforms=[rattler.Subdir(request.subdir), rattler.Subdir("noarch")],
            gateway=rattler.Gateway(cache_dir=cache / "cache"),
            virtual_packages=rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env()),
        )
    except exceptions.InvalidMatchSpecError as error:
        raise errors.InvalidRequestError(
            f"A match spec cannot be read: {error}.", next_step="Write it like numpy, python=3.11 or libblas=*=*mkl."
        ) from error
    except exceptions.SolverError as error:
        raise errors.SolveError(_explanation(str(error))) from error
    except (exceptions.GatewayError, exceptions.FetchRepoDataError, exceptions.InvalidChannelError) as error:
        raise errors.ChannelError(
            f"A channel cannot be read: {_one_line(error)}.", next_step="Check its address, or name another: --channel."
        ) from error
    return sorted(records, key=lambda record: str(record.name.normalized))


async def _link(records: list[Any], prefix: Path, final: Path, cache: Path, progress: Progress) -> None:
    import rattler
    from rattler import exceptions

    try:
        await rattler.install(
            records,
            target_prefix=prefix,
            alternative_target_prefix=final,
            cache_dir=cache,
            installed_packages=[],
            execute_link_scripts=False,
            reporter=_Reporter(progress),
        )
    except (exceptions.InstallerError, exceptions.LinkError, exceptions.TransactionError, exceptions.IoError) as error:
        raise errors.EngineError(
            f"Linking the packages failed: {_one_line(error)}.",
            where=str(final),
            next_step="Nothing was left behind. If a package is damaged: mambakernels channel clean, then again.",
        ) from error


class _Reporter:
    """Turns rattler's callbacks, which come from its threads, into progress events."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._names: list[str] = []
        self._total = 0
        self._linked = 0

    def on_transaction_start(self, total_operations: int) -> None:
        self._total = total_operations

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        del operation
        self._names.append(package_name)
        return len(self._names) - 1

    def on_download_start(self, cache_entry: int) -> int:
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        self._progress(Event("download", self._names[download_idx], progress, total))

    def on_link_start(self, operation: int, package_name: str) -> int:
        del operation
        self._linked += 1
        self._progress(Event("link", package_name, self._linked, self._total))
        return self._linked

    def __getattr__(self, name: str) -> Any:
        """Answer the callbacks nothing is said about."""
        if name.startswith("on_"):
            return lambda *_: 0
        raise AttributeError(name)


def _compile(prefix: Path, final: Path, progress: Progress) -> None:
    """Compile what came without bytecode: the noarch packages of other channels."""
    files = [
        name
        for path in (prefix / "conda-meta").glob("*.json")
        for name in _files_without_bytecode(json.loads(path.read_text(encoding="utf-8")))
    ]
    if files:
        progress(Event("compile", f"{len(files)} modules"))
        compile_missing(prefix, files, final=final)


def _files_without_bytecode(record: dict[str, Any]) -> list[str]:
    names = record.get("files", [])
    sources = [name for name in names if name.endswith(".py") and "site-packages" in name]
    return [] if not sources or any(name.endswith(".pyc") for name in names) else sources


def _described(record: Any) -> Package:
    return Package(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=str(record.subdir),
        url=record.url,
        sha256=record.sha256.hex() if record.sha256 else "",
    )


def _explanation(text: str) -> str:
    """Put the solver's tree of reasons under one sentence."""
    reasons = text.removeprefix("Cannot solve the request because of: ").strip()
    return f"No set of packages satisfies the request:\n{reasons}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
