"""Conda packages and channels by plain Python, as conda-forge lays them out: for tests that need its traits."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import zstandard

PLACEHOLDER = ("/opt/forge" + "_placehold" * 25)[:255]  # as long as conda-build's
_MTIME = 1_577_836_800  # archives carry no clock
_TIMESTAMP = _MTIME * 1000

Json = dict[str, Any]
Archive = Literal[".conda", ".tar.bz2"]


@dataclass(frozen=True)
class File:
    """One file of a package; `mode` names how the placeholder prefix is to be replaced in it, if it holds one."""

    content: bytes
    executable: bool = False
    mode: Literal["text", "binary"] | None = None

    @property
    def size(self) -> int:
        return len(self.content)

    def facts(self) -> Json:
        placeholder = {"prefix_placeholder": PLACEHOLDER, "file_mode": self.mode} if self.mode else {}
        return {"path_type": "hardlink", **placeholder}

    def add_to(self, archive: tarfile.TarFile, name: str) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = self.size, 0o755 if self.executable else 0o644, _MTIME
        archive.addfile(member, io.BytesIO(self.content))


@dataclass(frozen=True)
class Link:
    """A softlink inside a package."""

    target: str
    content = b""  # what is hashed if it leads nowhere in the package
    size = 0

    def facts(self) -> Json:
        return {"path_type": "softlink"}

    def add_to(self, archive: tarfile.TarFile, name: str) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.mode, member.mtime = tarfile.SYMTYPE, self.target, 0o777, _MTIME
        archive.addfile(member)


@dataclass(frozen=True)
class Package:
    """A package: what its archive holds, and what the index says (`patch` is what was hot-fixed there alone)."""

    name: str
    version: str = "1.0"
    build: str = "0"
    subdir: str = "noarch"
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    noarch: Literal["python", "generic"] | None = None
    track_features: str = ""
    files: Mapping[str, File | Link] = field(default_factory=dict)
    entry_points: tuple[str, ...] = ()
    archive: Archive = ".conda"
    patch: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def file_name(self) -> str:
        return self.stem + self.archive

    @property
    def own_record(self) -> Json:
        """What the archive says of itself, in `info/index.json`."""
        record: Json = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": int(next(part for part in reversed(self.build.split("_")) if part.isdigit())),
            "subdir": self.subdir,
            "depends": list(self.depends),
            "constrains": list(self.constrains),
            "license": "BSD-3-Clause",
            "timestamp": _TIMESTAMP,
        }
        record |= {"noarch": self.noarch} if self.noarch else {}
        return record | ({"track_features": self.track_features} if self.track_features else {})

    @property
    def record(self) -> Json:
        """What the index says of it."""
        hashes = {"md5": hashlib.md5(self.bytes).hexdigest(), "sha256": hashlib.sha256(self.bytes).hexdigest()}
        return {**self.own_record, **hashes, "size": len(self.bytes), **self.patch}

    @cached_property
    def bytes(self) -> bytes:
        """The archive, always the same for the same package."""
        content, info = dict(self.files), self._info()
        if self.archive == ".tar.bz2":
            return _tar({**info, **content}, "w:bz2")
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as container:
            for name, data in (
                ("metadata.json", b'{"conda_pkg_format_version": 2}'),
                (f"pkg-{self.stem}.tar.zst", compressed(_tar(content, "w:"))),
                (f"info-{self.stem}.tar.zst", compressed(_tar(info, "w:"))),
            ):
                container.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)
        return target.getvalue()

    def _info(self) -> dict[str, File | Link]:
        paths = [
            {
                "_path": name,
                "sha256": hashlib.sha256(item.content).hexdigest(),
                "size_in_bytes": item.size,
                **item.facts(),
            }
            for name, item in self.files.items()
        ]
        documents: dict[str, Any] = {
            "index.json": self.own_record,
            "paths.json": {"paths": paths, "paths_version": 1},
            "about.json": {"summary": f"{self.name}, of the tests' channel"},
        }
        if self.noarch == "python":
            documents["link.json"] = {
                "noarch": {"type": "python", "entry_points": list(self.entry_points)},
                "package_metadata_version": 1,
            }
        info: dict[str, File | Link] = {f"info/{name}": File(_json(value)) for name, value in documents.items()}
        return {**info, "info/files": File("".join(f"{name}\n" for name in self.files).encode())}


def write_channel(packages: Iterable[Package], folder: Path) -> None:
    """Write a channel of these packages with each form of index; `noarch` is there even if it is empty."""
    by_subdir: dict[str, list[Package]] = {"noarch": []}
    for package in packages:
        by_subdir.setdefault(package.subdir, []).append(package)
    for subdir, members in by_subdir.items():
        place = folder / subdir
        place.mkdir(parents=True)
        for package in members:
            (place / package.file_name).write_bytes(package.bytes)
        repodata = _json({"info": {"subdir": subdir}, **_listed(members), "removed": [], "repodata_version": 1})
        (place / "repodata.json").write_bytes(repodata)
        (place / "repodata.json.zst").write_bytes(compressed(repodata))
        _write_shards(members, place)


def _listed(packages: Iterable[Package]) -> dict[str, dict[str, Json]]:
    found: dict[str, dict[str, Json]] = {"packages": {}, "packages.conda": {}}
    for package in packages:
        found["packages" if package.archive == ".tar.bz2" else "packages.conda"][package.file_name] = package.record
    return found


def _write_shards(packages: list[Package], place: Path) -> None:
    """Write the sharded index: one file per name, called by its hash, and the table of them."""
    shards: dict[str, bytes] = {}
    (place / "shards").mkdir()
    for name in sorted({package.name for package in packages}):
        listed = _listed(package for package in packages if package.name == name)
        hashed = {kind: _with_raw_hashes(found) for kind, found in listed.items()}
        data = compressed(msgpack({**hashed, "removed": []}))
        digest = hashlib.sha256(data)
        shards[name] = digest.digest()
        (place / "shards" / f"{digest.hexdigest()}.msgpack.zst").write_bytes(data)
    info = {"subdir": place.name, "base_url": "./", "shards_base_url": "./shards/"}
    index = {"version": 1, "info": info, "shards": shards}
    (place / "repodata_shards.msgpack.zst").write_bytes(compressed(msgpack(index)))


def _with_raw_hashes(records: Mapping[str, Json]) -> dict[str, Json]:
    """Return records with their hashes as bytes, as shards have them."""
    raw = {file: {kind: bytes.fromhex(record[kind]) for kind in ("md5", "sha256")} for file, record in records.items()}
    return {file: {**record, **raw[file]} for file, record in records.items()}


def compressed(data: bytes) -> bytes:
    """Return one Zstandard frame."""
    return zstandard.ZstdCompressor().compress(data)


def msgpack(value: Any) -> bytes:
    """Encode JSON-like values and bytes as MessagePack, in its longest forms, which any reader takes."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, Mapping):
        pairs = (msgpack(key) + msgpack(item) for key, item in value.items())
        return b"\xdf" + struct.pack(">I", len(value)) + b"".join(pairs)
    return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(msgpack, value))


def _tar(members: Mapping[str, File | Link], mode: Literal["w:", "w:bz2"]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for name, item in members.items():
            item.add_to(archive, name)
    return target.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
