"""The embedded engine: py-rattler in a child process, which can be stopped, and may crash as it exits.

The parent's side is `Rattler`; the child answers with `work`.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import re
import tempfile
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mambakernels import errors
from mambakernels.engines import Package, Request, archives, by_name, conda_meta, in_words, match_spec, virtual_packages
from mambakernels.engines.bytecode import compile_packages
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process
from mambakernels.system.credentials import Secrets

_RETRIES = 3
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


class Rattler:
    """Solves and links with py-rattler, which came with pip."""

    name = "rattler"

    def __init__(self) -> None:
        self._worker: process.Worker | None = None

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

    def link(
        self, packages: Sequence[Package], prefix: Path, *, final: Path, cache: Path, progress: Progress = silent
    ) -> tuple[Package, ...]:
        """Link exactly these packages into `prefix` as if it were `final`; bytecode is complete afterwards."""
        records = [{**package.record, **package.identity} for package in packages]
        message = {"do": "link", "records": records, "prefix": str(prefix), "final": str(final), "cache": str(cache)}
        return self._call(message, progress)

    def close(self) -> None:
        """End the child; it would end with this process anyway."""
        if self._worker is not None:
            self._worker.close()

    def _call(self, message: process.Json, progress: Progress) -> tuple[Package, ...]:
        """Let the child do one thing.

        At Ctrl-C, `__main__` raises an exception here: the child is stopped (`process.Worker.ask`), and then the folder
        into which it linked is removed (`environments.staging.staged`).
        """
        if self._worker is None or self._worker.ended:
            self._worker = process.Worker(__name__)
            weakref.finalize(self, self._worker.abandon)  # for callers that do not close the engine
        try:
            # the child may have been started before the user set a variable
            answer = self._worker.ask({**message, "overrides": virtual_packages.overrides()}, progress=progress)
        except (errors.SolveError, errors.InvalidRequestError):
            raise
        except errors.MambakernelsError:
            self._worker.close()  # its threads may still be linking into a folder that is deleted next
            raise
        return by_name(map(Package.from_record, answer["records"]))


# ------------------------------------------------------------------------------------------------- in the child


def work(message: process.Json, progress: Progress) -> process.Json:
    """Solve, create or link, as a message of the parent says."""
    cache = Path(message["cache"])
    virtual_packages.override(message["overrides"])
    if message["do"] == "link":
        records = asyncio.run(_as_recorded(message["records"], progress))
    else:
        records = asyncio.run(_solve(message["request"], cache, progress))
    if message["do"] != "solve":
        prefix, final = Path(message["prefix"]), Path(message["final"])
        with errors.naming(prefix, final):
            specs = message.get("request", {}).get("specs", ())
            _make(records, prefix, final, cache=cache, specs=specs, progress=progress)
    return {"records": [json.loads(record.to_json()) for record in records]}


def _make(
    records: list[Any], prefix: Path, final: Path, *, cache: Path, specs: Sequence[str], progress: Progress
) -> None:
    """Link packages that were solved or recorded; add specs, permissions and bytecode."""
    archives.check_hashes(records, cache)
    asyncio.run(_link(records, prefix, final, cache, progress))
    linked = conda_meta(prefix)
    _note_specs(prefix, linked, specs)
    _make_readable(prefix)
    compile_packages(prefix, linked, final=final, cache=cache, progress=progress)


async def _solve(request: process.Json, cache: Path, progress: Progress) -> list[Any]:
    """Solve; `request` holds the fields of a Request."""
    from rattler import exceptions

    progress(Event("solve", in_words(request["specs"])))
    try:
        with _index_cache(cache, request["channels"]) as index:
            records: list[Any] = await _again_if_broken(lambda: _solution(request, index), index)
    except exceptions.SolverError as error:
        raise errors.SolveError(_explanation(str(error))) from error
    except (exceptions.GatewayError, exceptions.FetchRepoDataError, exceptions.InvalidChannelError) as error:
        raise _about_storage(error, cache.parent) or errors.ChannelError(
            f"A channel cannot be read: {_one_line(error)}.", next_step=errors.OTHER_CHANNEL
        ) from error
    return sorted(records, key=lambda record: str(record.name.normalized))


def _client() -> Any:
    """Return a client that retries, and that finds credentials where rattler keeps them and in `.netrc`."""
    import rattler

    return rattler.Client.default_client(max_retries=_RETRIES)


async def _solution(request: process.Json, index: Path) -> list[Any]:
    import rattler

    found: list[Any] = await rattler.solve(
        sources=[rattler.Channel(url) for url in request["channels"]],
        specs=list(map(match_spec.native, request["specs"])),
        platforms=[rattler.Subdir(request["subdir"]), rattler.Subdir("noarch")],
        gateway=rattler.Gateway(cache_dir=index, client=_client()),
        virtual_packages=_virtual_packages(request["virtual"], request["subdir"]),
        add_pip_as_python_dependency=True,
    )
    return found


async def _again_if_broken(solve: Callable[[], Awaitable[list[Any]]], index: Path) -> list[Any]:
    """Solve, a second time if the index broke off, or if rattler does not understand that it has not changed.

    The client retries everything else itself. A sharded index is asked for again from the beginning where its server
    answers 304 without the validators of the answer before, as Python's own does.
    """
    from rattler import exceptions

    try:
        return await solve()
    except exceptions.GatewayError as error:
        if "304 Not Modified" in str(error):
            _forget_shards(index)
        elif "reading a body" not in str(error):
            raise
    return await solve()


def _forget_shards(index: Path) -> None:
    for kept in index.glob("*.shards-cache-v*"):
        kept.unlink(missing_ok=True)


@contextmanager
def _index_cache(cache: Path, channels: Sequence[str]) -> Iterator[Path]:
    """Yield the folder for indexes: a temporary one if a channel has credentials, which rattler writes into it."""
    if not Secrets.of(channels).words:
        yield cache / "cache"
        return
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
        yield Path(folder)


def _note_specs(prefix: Path, records: Sequence[process.Json], specs: Sequence[str]) -> None:
    """Write the requested specs into `conda-meta`, as conda and mamba expect."""
    for record in records:
        if asked := [spec for spec in specs if match_spec.name_of(spec) == record["name"]]:
            path = prefix / "conda-meta" / f"{record['name']}-{record['version']}-{record['build']}.json"
            path.write_text(json.dumps({**record, "requested_spec": asked[0], "requested_specs": asked}), "utf-8")


def _make_readable(prefix: Path) -> None:
    """Give `conda-meta` the permissions of any new file: rattler lets no other user read it."""
    mask = os.umask(0)
    os.umask(mask)
    for path in (prefix / "conda-meta").glob("*.json"):
        path.chmod(0o666 & ~mask)


def _virtual_packages(given: process.Json, subdir: str) -> list[Any]:
    import rattler

    if not given:
        found = rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env())
        # an override makes it detect macOS on any machine
        return [item for item in found if subdir.startswith("osx") or not str(item).startswith("Osx")]
    # the name of a processor is a build string, as it is not a version
    stated = {name: ("1", value) if name == "__archspec" else (value, "0") for name, value in given.items()}
    return [
        rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build))
        for name, (version, build) in stated.items()
    ]


async def _as_recorded(given: list[process.Json], progress: Progress) -> list[Any]:
    """Return the records; one that has only a URL and a hash is completed from the archive."""
    records = []
    for record in given:
        if "depends" in record:
            records.append(from_json(record))
        else:
            progress(Event("read", record["name"]))
            records.append(from_json(await archives.completed(record, _client())))
    return records


def from_json(record: process.Json) -> Any:
    """Return rattler's object for a record; the library reads one from a file only."""
    import rattler

    known = {key: value for key, value in record.items() if value is not None}
    with tempfile.NamedTemporaryFile("w", prefix="mambakernels-", suffix=".json", encoding="utf-8") as file:
        json.dump(known, file)
        file.flush()
        described = rattler.PackageRecord.from_index_json(
            Path(file.name), record.get("size"), record.get("sha256") or None, record.get("md5")
        )
    url = record["url"]
    return rattler.RepoDataRecord(described, url.rpartition("/")[2], url, url.rsplit("/", 2)[0] + "/")


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
            client=_client(),
            reporter=_Reporter(progress),
        )
    except (exceptions.InstallerError, exceptions.LinkError, exceptions.TransactionError, exceptions.IoError) as error:
        raise _about_storage(error, final) or errors.EngineError(
            f"Linking the packages failed: {_one_line(error)}.",
            where=str(final),
            next_step="No environment was created or changed. "
            "If a package in the cache is damaged, run mambakernels clean, then try again.",
        ) from error


class _Reporter:
    """Turns rattler's callbacks into progress events."""

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
        """Accept the callbacks that report nothing here."""
        if name.startswith("on_"):
            return lambda *_: 0
        raise AttributeError(name)


def _explanation(text: str) -> str:
    """Put one sentence before the solver's tree of reasons."""
    reasons = text.removeprefix("Cannot solve the request because of: ").strip()
    return f"No set of packages satisfies the request:\n{reasons}"


def _about_storage(error: Exception, where: Path) -> errors.StorageError | None:
    """Return the error about a disk that rattler quotes in its message; None if it quotes none."""
    number = _OS_ERROR.search(str(error))
    return errors.storage(int(number[1]), where) if number else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
