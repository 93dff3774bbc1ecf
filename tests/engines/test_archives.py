"""An archive in a folder that is not the one that its index, or a list of addresses, speaks of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.conda_packages import File, Package, write_channel

from mambakernels import errors, paths
from mambakernels.engines import Package as Known
from mambakernels.engines import Request, rattler

_PACKAGE = Package("tiny", subdir=paths.subdir(), files={"share/tiny": File(b"tiny")})


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The archive of a package in a channel, changed after the index was written; still of the same size."""
    write_channel([_PACKAGE], tmp_path / "channel")
    archive = tmp_path / "channel" / paths.subdir() / _PACKAGE.file_name
    content = bytearray(archive.read_bytes())
    content[10] ^= 1  # the time of its first member: it can be read as before
    archive.write_bytes(content)
    return archive


def _by_index(tmp_path: Path, _archive: Path) -> None:
    place = tmp_path / "env"
    request = Request(("tiny",), ((tmp_path / "channel").as_uri(),), paths.subdir())
    rattler.Rattler().create(request, place, final=place, cache=tmp_path / "pkgs")


def _by_list(tmp_path: Path, archive: Path) -> None:
    place = tmp_path / "env"
    record = {"md5": hashlib.md5(_PACKAGE.bytes, usedforsecurity=False).hexdigest()}
    known = Known("tiny", "1.0", "0", paths.subdir(), archive.as_uri(), "", record)
    rattler.Rattler().link([known], place, final=place, cache=tmp_path / "pkgs")


@pytest.mark.parametrize(("make", "kind"), [(_by_index, "sha256"), (_by_list, "md5")])
def test_a_wrong_hash_says_which_was_expected_and_which_was_found(
    tmp_path: Path, archive: Path, make: Callable[[Path, Path], None], kind: str
) -> None:
    with pytest.raises(errors.EngineError) as caught:
        make(tmp_path, archive)
    expected = hashlib.new(kind, _PACKAGE.bytes).hexdigest()
    found = hashlib.new(kind, archive.read_bytes()).hexdigest()
    assert caught.value.what.endswith(f"expected {kind} {expected}, found {found}.")
    assert archive.name in caught.value.what
    assert not (tmp_path / "env" / "share" / "tiny").exists()
