"""A small HTTP server of channels over loopback: what it offers, whom it lets in, and when it fails are options."""

from __future__ import annotations

import base64
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

IndexForm = Literal["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"]
INDEX_FORMS: tuple[IndexForm, ...] = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")


@dataclass
class Fault:
    """What goes wrong with a path, `times` times: a status, a body cut short or not going on, a connection reset."""

    kind: Literal["status", "truncate", "stall", "reset"] = "status"
    status: int = 500
    retry_after: int | None = None
    times: int = 1_000_000


@dataclass(frozen=True)
class Asked:
    """One request and how it was answered."""

    method: str
    path: str
    headers: dict[str, str]
    status: int


@dataclass
class Site:
    """A running server: its folder, its options, which may change while it runs, and a log of what it was asked."""

    folder: Path
    forms: frozenset[str] = frozenset(INDEX_FORMS)
    login: tuple[str, str] | None = None
    token: str | None = None
    free: str = "none of it is free"  # paths with this in them need no login
    faults: dict[str, Fault] = field(default_factory=dict)
    log: list[Asked] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, channel: str = "conda-forge", *, login: str = "", token: str = "") -> str:
        """Return a channel's address, with credentials in it if they are given."""
        at = f"{login}@" if login else ""
        return f"http://{at}127.0.0.1:{self.port}{f'/t/{token}' if token else ''}/{channel}"

    def asked(self, ending: str = "") -> list[Asked]:
        """Return the requests whose path ends so."""
        return [item for item in self.log if item.path.endswith(ending)]

    def fault(self, path: str) -> Fault | None:
        """Return the fault of a path, one time less of it left."""
        found = next((fault for ending, fault in self.faults.items() if path.endswith(ending)), None)
        if found is None or found.times <= 0:
            return None
        found.times -= 1
        return found


@contextmanager
def serve(folder: Path, **options: Any) -> Iterator[Site]:
    """Serve a folder of channels until the context ends."""
    site = Site(folder, **options)

    class Handler(_Handler):
        pass

    Handler.site = site
    with _Server(("127.0.0.1", 0), Handler) as server:
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            site.over.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that left early."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: Any) -> None:
        """Keep the log in the site alone."""

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        fault = self.site.fault(path)
        if fault is not None and fault.kind not in {"truncate", "stall"}:
            self._fail(fault)
            return
        inside = self._let_in(path)
        if inside is None:
            self._send(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": 'Basic realm="forge"'})
            return
        file = self._file(inside)
        if file is None:
            self._send(HTTPStatus.NOT_FOUND)
            return
        content = file.read_bytes()
        tag = f'"{file.stat().st_mtime_ns:x}-{len(content):x}"'
        if self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
        else:
            self._send(HTTPStatus.OK, content, headers={"ETag": tag}, body=body, cut=fault is not None)
            if fault is not None and fault.kind == "stall":
                self.wfile.flush()
                self.site.over.wait()

    def _let_in(self, path: str) -> str | None:
        """Return the path without its token, or None if the request may not pass."""
        site = self.site
        if site.login is not None and site.free not in path:
            wanted = base64.b64encode(":".join(site.login).encode()).decode()
            if self.headers.get("Authorization") != f"Basic {wanted}":
                return None
        if site.token is None:
            return path
        start = f"/t/{site.token}/"
        return "/" + path.removeprefix(start) if path.startswith(start) else None

    def _file(self, path: str) -> Path | None:
        name = path.rpartition("/")[2]
        hidden = name in INDEX_FORMS and name not in self.site.forms
        if "/shards/" in path and "repodata_shards.msgpack.zst" not in self.site.forms:
            hidden = True
        file = self.site.folder / path.lstrip("/")
        return file if not hidden and ".." not in path and file.is_file() else None

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "reset":
            self._log(0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        else:
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            self._send(fault.status, headers=headers)

    def _send(
        self,
        status: int,
        content: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        body: bool = True,
        cut: bool = False,
    ) -> None:
        self._log(int(status))
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    def _log(self, status: int) -> None:
        self.site.log.append(Asked(self.command, self.path, dict(self.headers), status))
