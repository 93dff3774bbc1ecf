"""Archives of packages, read in the embedded engine's child: their hashes and their own index."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mambakernels import errors
from mambakernels.system import files
from mambakernels.system.process import Json

_INDEX = "info/index.json"


def check_hashes(records: Sequence[Any], cache: Path) -> None:
    """Compare archives in local folders with their hashes, which rattler does for downloads only.

    EngineError if one differs. An archive in the cache was compared when it got there.
    """
    local = [record for record in records if record.url.startswith("file:") and not _is_unpacked(record, cache)]
    with ThreadPoolExecutor() as pool:
        expected = [("sha256", record.sha256) if record.sha256 else ("md5", record.md5) for record in local]
        hashes = pool.map(lambda record, kind: files.digest(_path(record.url), kind[0]), local, expected)
        for record, (kind, wanted), found in zip(local, expected, hashes, strict=True):
            _compare(record.url, kind, (wanted or b"").hex(), found)


async def completed(record: Json, client: Any) -> Json:
    """Return a record completed from its archive: from `info/index.json`, with the SHA-256.

    EngineError if the archive has another MD5 than the record. With a SHA-256 in the record, only a part of the archive
    is downloaded, as rattler compares the hash when it links.
    """
    from rattler import package_streaming

    url = record["url"]
    stated = {key: value for key, value in record.items() if value}
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
        path = _path(url) if url.startswith("file:") else Path(folder) / url.rpartition("/")[2]
        try:
            if record.get("sha256") and not path.exists():
                with suppress(Exception):  # it is downloaded as a whole next
                    archive = await package_streaming.PackageArchive.from_url(client, url)
                    return _with_index(stated, _index(await archive.read_file(_INDEX)))
            if not url.startswith("file:"):
                await package_streaming.download_to_path(client, url, path)
            index = await _index_of(path, Path(folder) / "unpacked")
        except Exception as error:  # rattler raises no specific class here
            raise errors.EngineError(f"A package cannot be read: {' '.join(str(error).split())}.", where=url) from error
        _compare(url, "md5", record.get("md5") or "", files.digest(path, "md5"))
        return _with_index({"sha256": files.digest(path), **stated}, index)


def _with_index(stated: Json, index: Json) -> Json:
    """Return a record with what its archive says; a file may have been renamed, so what it is called counts there."""
    return {**index, **stated, **{key: index[key] for key in ("name", "version", "build") if key in index}}


async def _index_of(path: Path, unpacked: Path) -> Json:
    """Return an archive's own index; rattler unpacks what it cannot read in place, such as empty fields of Zip64."""
    from rattler import package_streaming

    try:
        archive = await package_streaming.PackageArchive.from_path(path)
        return _index(await archive.read_file(_INDEX))
    except Exception:  # noqa: BLE001 (rattler raises no specific class here)
        await asyncio.to_thread(package_streaming.extract, path, unpacked)  # it panics in a thread that runs a loop
        return _index((unpacked / _INDEX).read_bytes())


def _index(content: bytes | None) -> Json:
    if content is None:
        raise ValueError(f"it has no {_INDEX}")
    found: Json = json.loads(content)
    return found


def _compare(url: str, kind: str, expected: str, found: str) -> None:
    if expected and expected != found:
        raise errors.EngineError(
            f"{url.rpartition('/')[2]} is not the file that was expected: expected {kind} {expected}, found {found}.",
            where=url,
            next_step="The archive was not used. It is damaged or was replaced: download it again, or update the hash.",
        )


def _is_unpacked(record: Any, cache: Path) -> bool:
    """Whether the cache has exactly this archive: its hash is in the lock file, after a number of eight bytes."""
    lock = cache / f"{record.name.normalized}-{record.version}-{record.build}.lock"
    try:
        return record.sha256 is not None and lock.read_bytes()[8:] == record.sha256
    except OSError:
        return False


def _path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))
