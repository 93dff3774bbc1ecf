"""Servers and archives that are not quite right, as there are in public: both engines use them every time."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engines import ENGINES, engine_of

from mambakernels import paths
from mambakernels.engines import Engine, Request, explicit
from mambakernels.system import files

ARCHIVE = Path(__file__).parents[1] / "data" / "zip64-zeroed-0.1.0-hb0f4dca_0.conda"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Python's own server: it answers 304 to `If-Modified-Since`, and without any validator."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def plain(tmp_path: Path, forge: Path) -> Iterator[str]:
    """The address of a server of the forge, and of an archive whose Zip64 fields are empty."""
    (tmp_path / "www" / "odd" / "linux-64").mkdir(parents=True)
    shutil.copy(ARCHIVE, tmp_path / "www" / "odd" / "linux-64")
    (tmp_path / "www" / "conda-forge").symlink_to(forge / "conda-forge")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ENGINES)
def test_a_sharded_index_works_every_time(plain: str, tmp_path: Path, name: str) -> None:
    for _ in range(3):
        engine = engine_of(name)  # a new process, which has only what is on disk
        found = engine.solve(Request(("tiny",), (f"{plain}/conda-forge",), paths.subdir()), cache=tmp_path / "r" / "p")
        assert [str(package) for package in found] == ["tiny=1.0=0"]
        engine.close()


@pytest.mark.parametrize("mark", ["", "#md5", "#sha256:"])
@pytest.mark.parametrize("local", [True, False])
def test_an_archive_with_empty_zip64_fields_is_linked(
    plain: str, any_engine: Engine, tmp_path: Path, *, mark: str, local: bool
) -> None:
    hashes = {"": "", "#md5": "#" + files.digest(ARCHIVE, "md5"), "#sha256:": "#sha256:" + files.digest(ARCHIVE)}
    base = (tmp_path / "www").as_uri() if local else plain
    package = explicit.parse(f"{base}/odd/linux-64/{ARCHIVE.name}{hashes[mark]}", "here")
    options = {"final": tmp_path / "final", "cache": tmp_path / "root" / "pkgs"}
    [linked] = any_engine.link([package], tmp_path / "prefix", **options)
    assert (linked.version, linked.build) == ("0.1.0", "hb0f4dca_0")
    assert (tmp_path / "prefix" / "bin" / "dummy-x").exists()
    any_engine.close()
