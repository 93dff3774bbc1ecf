"""A process that has imported the command line, and forks at each request into one that runs it.

A fork has the words, the variables, the folder and the streams of its request, and ends as `python -m mambakernels`
does. What is imported here only defines things.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import sys
import tempfile
from contextlib import suppress

import filelock  # noqa: F401
import rattler  # noqa: F401
import yaml  # noqa: F401

import mambakernels.cli
import mambakernels.doctor
import mambakernels.environments
import mambakernels.kernels
import mambakernels.runs.execute  # noqa: F401

LONGEST = 1 << 17  # bytes of a request


def next_request(control: socket.socket) -> tuple[bytes, list[int]]:
    """Return a request and the handles that came with it, each in a process of its own; exit at the end of input."""
    while True:
        request, handles, _flags, _address = socket.recv_fds(control, LONGEST, 4)
        if not request:
            sys.exit()
        with suppress(ChildProcessError):  # there is none
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            control.close()
            return request, handles
        for handle in handles:
            os.close(handle)


def watched(answer: int) -> None:
    """Return in a child, whose number and exit status go to `answer`."""
    command = os.fork()
    if command:
        os.write(answer, b"%d " % command)
        os.write(answer, b"%d" % os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))
        os._exit(0)
    os.close(answer)


def become(request: bytes, streams: list[int]) -> None:
    """Take the words, the variables, the folder and the streams of a request."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    asked = json.loads(request)
    os.environ.clear()
    os.environ.update(asked["variables"])
    os.chdir(asked["folder"])
    here = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = ["", *(entry for entry in here if entry not in sys.path)]  # as with -m
    sys.argv = ["-m", *asked["words"]]
    tempfile.tempdir = None


if __name__ == "__main__":
    request, (*streams, answer) = next_request(socket.socket(fileno=int(sys.argv[1])))
    watched(answer)
    become(request, streams)
    runpy.run_module("mambakernels", run_name="__main__", alter_sys=True)
