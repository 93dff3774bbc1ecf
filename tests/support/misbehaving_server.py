"""A real HTTP server on the loopback address that misbehaves on purpose, as servers and networks do."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; it hands itself to the answer that its path has next."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        answers = self.server.answers.get(self.path.partition("?")[0], [])
        answer = answers.pop(0) if len(answers) > 1 else answers[0] if answers else status(404)
        try:
            answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client had enough, which is what many of the tests are about

    def begin(self, code: int, length: int | None, **headers: str) -> None:
        """Send the head of an answer."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is None:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Listens on a port of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.leaving = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def at(self, path: str, *answers: Answer) -> str:
        """Set what a path answers, one after another, and return its address."""
        self.answers[path] = list(answers)
        return self.url + path

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(seen == path for seen, _ in self.seen)

    def handle_error(self, *_arguments: Any) -> None:
        """Say nothing about clients that are killed."""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    """Run a server until the block ends; with a certificate (and its key, in one file) it speaks https."""
    with Server(certificate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.leaving.set()
            server.shutdown()
            thread.join(10)


def whole(content: bytes, *, kind: str = "application/octet-stream", **headers: str) -> Answer:
    """Behave."""
    return status(200, body=content, Content_Type=kind, **headers)


def gzipped(content: bytes) -> Answer:
    """Compress the body though nobody asked for that."""
    import gzip

    return whole(gzip.compress(content), Content_Encoding="gzip")


def chunked(content: bytes, *, breaks_off: bool = False) -> Answer:
    """Send a body in chunks, its length unknown beforehand, and perhaps not to its end."""

    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for start in range(0, len(content), 10_000):
            part = content[start : start + 10_000]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if not breaks_off:
            request.wfile.write(b"0\r\n\r\n")
        request.close_connection = True

    return answer


def truncated(content: bytes, after: int) -> Answer:
    """Promise everything, send a part, and close in good order."""

    def answer(request: Request) -> None:
        request.begin(200, len(content))
        request.wfile.write(content[:after])
        request.close_connection = True

    return answer


def reset(content: bytes, after: int) -> Answer:
    """Send a part, then reset the connection."""

    def answer(request: Request) -> None:
        request.begin(200, len(content))
        request.wfile.write(content[:after])
        request.wfile.flush()
        time.sleep(0.05)  # a reset overtakes what the client has not read yet
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(request.connection.detach())  # else it is shut down in good order first
        request.close_connection = True

    return answer


def dripping(content: bytes, every: float, *, size: int = 1) -> Answer:
    """Send a few bytes at a time, so that no single read is ever late."""

    def answer(request: Request) -> None:
        request.begin(200, len(content))
        for start in range(0, len(content), size):
            request.wfile.write(content[start : start + size])
            request.wfile.flush()
            if request.server.leaving.wait(every):
                return

    return answer


def stalled(content: bytes, after: int) -> Answer:
    """Send a part, then nothing more, and keep the connection open."""

    def answer(request: Request) -> None:
        request.begin(200, len(content))
        request.wfile.write(content[:after])
        request.wfile.flush()
        request.server.leaving.wait(60)

    return answer


def mute() -> Answer:
    """Take the request and say nothing."""

    def answer(request: Request) -> None:
        request.server.leaving.wait(60)
        request.close_connection = True

    return answer


def dripping_head(every: float) -> Answer:
    """Send the head of an answer a byte at a time."""

    def answer(request: Request) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 1\r\n" * 100:
            request.wfile.write(bytes([byte]))
            if request.server.leaving.wait(every):
                return

    return answer


def status(code: int, *, body: bytes = b"", **headers: str) -> Answer:
    """Answer with a status, and perhaps a body."""

    def answer(request: Request) -> None:
        request.begin(code, len(body), **headers)
        request.wfile.write(body)

    return answer


def redirect(target: str, code: int = 307) -> Answer:
    """Send elsewhere."""
    return status(code, Location=target)


def retry_at(seconds: float) -> str:
    """Return a date so many seconds from now, as Retry-After may have it."""
    return formatdate(time.time() + seconds, usegmt=True)
