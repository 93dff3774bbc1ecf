"""Archives of packages, in the embedded engine's child: their hashes, and what they say of themselves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mambakernels import errors
from mambakernels.system import files
from mambakernels.system.process import Json

_INDEX = "info/index.json"


def check(records: Sequence[Any], cache: Path) -> None:
    """Compare archives in folders with their hashes; rattler does so with what it downloads only.

    EngineError if one differs. What is in the cache was compared when it was put there.
    """
    local = [record for record in records if record.url.startswith("file:") and not _is_unpacked(record, cache)]
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(lambda record: files.digest(_path(record.url)), local)
        for record, found in zip(local, hashes, strict=True):
            _compare(record.url, "sha256", (record.sha256 or b"").hex(), found)


def stated(record: Json) -> Json:
    """Return what a record says, without what it leaves empty."""
    return {key: value for key, value in record.items() if value}


async def read(record: Json, client: Any) -> Json:
    """Return what an archive says of itself, with its SHA-256; EngineError if it has another MD5 than was stated.

    Where the SHA-256 was stated, what is linked is compared with it, and only a part is downloaded here.
    """
    from rattler import package_streaming

    url = record["url"]
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
        path = _path(url) if url.startswith("file:") else Path(folder) / url.rpartition("/")[2]
        try:
            if record.get("sha256") and not path.exists():
                archive = await package_streaming.PackageArchive.from_url(client, url)
                return _index(await archive.read_file(_INDEX))
            if not url.startswith("file:"):
                await package_streaming.download_to_path(client, url, path)
            archive = await package_streaming.PackageArchive.from_path(path)
            index = _index(await archive.read_file(_INDEX))
        except Exception as error:  # the library has no class of its own for this
            raise errors.EngineError(f"A package cannot be read: {' '.join(str(error).split())}.", where=url) from error
        _compare(url, "md5", record.get("md5") or "", files.digest(path, "md5"))
        return {**index, "sha256": files.digest(path)}


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
            next_step="Nothing of it was used. It is damaged, or was replaced: get it, or its hash, anew.",
        )


def _is_unpacked(record: Any, cache: Path) -> bool:
    """Whether the cache says that it has this very archive: in its lock file, after a number of eight bytes."""
    lock = cache / f"{record.name.normalized}-{record.version}-{record.build}.lock"
    try:
        return record.sha256 is not None and lock.read_bytes()[8:] == record.sha256
    except OSError:
        return False


def _path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))
