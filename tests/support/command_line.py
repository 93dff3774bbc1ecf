"""The command line as a user runs it, in processes of their own that start at once: forks of one that imported it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Done = subprocess.CompletedProcess[str]
Call = Callable[..., Done]

SECONDS = 500
_SERVER = Path(__file__).with_name("command_server.py")
_AT_START = ("PYTHON", "LANG", "LC_")  # beginnings of the names of variables that Python reads when it starts


@contextmanager
def command_line() -> Iterator[Call]:
    """Yield a function that runs the command line with words, and variables in addition to this process's."""
    if sys.platform != "linux":
        yield in_a_new_python
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = dict(os.environ)
    words = [sys.executable, str(_SERVER), str(theirs.fileno())]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()]):
        theirs.close()

        def call(*words: str | Path, **variables: str) -> Done:
            if _at_start({**os.environ, **variables}) != _at_start(before):
                return in_a_new_python(*words, **variables)
            return _in_a_fork(ours, [*map(str, words)], {**os.environ, **variables})

        with ours:
            yield call


def in_a_new_python(*words: str | Path, **variables: str) -> Done:
    """Run the command line in a Python that starts for it."""
    return subprocess.run(
        [sys.executable, "-m", "mambakernels", *map(str, words)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def _at_start(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what Python reads when it starts, without the path, which a fork takes over."""
    return {name: value for name, value in variables.items() if name.startswith(_AT_START) and name != "PYTHONPATH"}


def _in_a_fork(server: socket.socket, words: list[str], variables: dict[str, str]) -> Done:
    request = json.dumps({"words": words, "variables": variables, "folder": str(Path.cwd())}).encode()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        reading, writing = socket.socketpair()
        with reading:
            with writing:
                socket.send_fds(server, [request], [0, out.fileno(), err.fileno(), writing.fileno()])
            status = _status(reading, words)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, status, out.read(), err.read())


def _status(answer: socket.socket, words: list[str]) -> int:
    """Return the exit status of a fork; end it if it takes too long."""
    answer.settimeout(SECONDS)
    said = b""
    try:
        while more := answer.recv(99):
            said += more
    except TimeoutError:
        os.kill(int(said.split()[0]), signal.SIGKILL)
        raise subprocess.TimeoutExpired(words, SECONDS) from None
    return int(said.split()[1])
