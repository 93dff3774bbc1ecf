"""The stand-in: a kernel in place of one that cannot start; every cell answers with the reason and the remedy.

`start.sh` and `start.py`, which are next to a `kernel.json`, become it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from traitlets import Instance, Unicode

from mambakernels.environments.environment import Environment, Location, read_environment
from mambakernels.errors import KernelError
from mambakernels.kernels import command_lines, specs
from mambakernels.kernels.specs import KernelSpec
from mambakernels.paths import Root
from mambakernels.system import quoting
from mambakernels.system.process import TimeoutExpired, read_output

_PLACEHOLDER = "{connection_file}"
_LAST_LINES = 20
_PROBE_SECONDS = 10
_RESTART = "Then restart the kernel."
# Front ends write these into a notebook's metadata, for nbconvert and editors; Python's are those of ipykernel.
_LANGUAGE_INFO: Mapping[str, Mapping[str, Any]] = {
    "python": {
        "mimetype": "text/x-python",
        "file_extension": ".py",
        "codemirror_mode": {"name": "ipython", "version": 3},
        "pygments_lexer": "ipython3",
        "nbconvert_exporter": "python",
    },
    "r": {"mimetype": "text/x-r-source", "file_extension": ".r", "codemirror_mode": "r", "pygments_lexer": "r"},
    "julia": {"mimetype": "application/julia", "file_extension": ".jl"},
}
_PLAIN_TEXT = {"mimetype": "text/plain", "file_extension": ".txt"}
_NO_DEBUGGER = {
    "isStarted": False,
    "hashMethod": "",
    "hashSeed": 0,
    "tmpFilePrefix": "",
    "tmpFileSuffix": "",
    "breakpoints": [],
    "stoppedThreads": [],
    "richRendering": False,
    "exceptionPaths": [],
    "copyToGlobals": False,
}

Json = dict[str, Any]


def main() -> None:
    """Run the stand-in. Its arguments: the kernelspec's folder, a traceback, the command that failed.

    The traceback is that of the environment's own Python, empty where the program could not be run.
    """
    folder, traceback, *command = sys.argv[1:]
    spec = specs.read_kernelspec(Path(folder))
    if spec is None:
        again = quoting.joined(command_lines.to_remove_folder(Path(folder)), "mambakernels register NAME")
        sys.exit(f"mambakernels: {Path(folder) / 'kernel.json'} is damaged. To write it again: {again}")
    error = explain(spec, traceback)
    sys.stderr.write(f"{error}\n")  # for the server's log
    try:
        Path.cwd()
    except FileNotFoundError:  # the notebook's folder is gone, and IPython does not start without one
        os.chdir(folder)
    _Application.launch_instance(
        [],
        connection_file=connection_file(spec.argv, command),
        profile_dir=None,
        language=spec.language,
        error=error,
        trace=traceback,
    )


def connection_file(template: Sequence[str], command: Sequence[str]) -> str:
    """Return the connection file of a command that was made from `argv`: it follows the same word in both.

    KernelError if there is none.
    """
    for (before, word), (previous, given) in (
        (wanted, found) for wanted in pairwise(template) if _PLACEHOLDER in wanted[1] for found in pairwise(command)
    ):
        start, _, end = word.partition(_PLACEHOLDER)
        if previous == before and given.startswith(start) and given.endswith(end):
            return given[len(start) : len(given) - len(end)]
    raise KernelError("The command of the kernel names no connection file.", where=quoting.join(command))


def explain(spec: KernelSpec, traceback: str) -> KernelError:
    """Return the reason why a kernel could not start; `traceback` is that of the environment's Python, if that ran."""
    if specs.is_gone(spec.prefix):
        return _moved(spec)
    return _broken_module(spec, traceback) if traceback else _broken_program(spec)


def _moved(spec: KernelSpec) -> KernelError:
    again = command_lines.to_register(spec, "NEW_PATH")
    remove = (
        command_lines.to_unregister(spec)
        if spec.copied
        else f"mambakernels prune{command_lines.root_option(Root(spec.root))}"
    )
    return KernelError(
        f"The environment {spec.environment!r} is no longer at {spec.prefix}: it was moved or removed.",
        where=str(spec.path),
        next_step=f"If it was moved: {again}\nIf it was removed, this removes its kernel: {remove}",
    )


def _broken_program(spec: KernelSpec) -> KernelError:
    return KernelError(
        f"The program of the environment {spec.environment!r} cannot be started: {_why_not(spec.program)}.",
        where=str(spec.program),
        next_step=_repair(spec, _environment(spec)),
    )


def _why_not(program: Path) -> str:
    if not os.path.exists(program):  # noqa: PTH110 (as above)
        return "it no longer exists"
    if not os.access(program, os.X_OK):
        return "it is not executable"
    if not program.stat().st_size:
        return "the file is empty"
    try:
        read_output([program, "--version"], timeout=_PROBE_SECONDS)
    except OSError as error:
        return error.strerror or str(error)
    except TimeoutExpired:
        return "it does not end"
    return "it could not be started a moment ago"


def _broken_module(spec: KernelSpec, traceback: str) -> KernelError:
    environment = _environment(spec)
    missing = environment is not None and not environment.package("ipykernel")
    install = f"mambakernels install {_named(spec)} ipykernel{command_lines.root_option(Root(spec.root))}"
    return KernelError(
        f"The kernel of the environment {spec.environment!r} cannot be started: {traceback.strip().splitlines()[-1]}",
        where=str(spec.prefix),
        next_step=install if missing else _repair(spec, environment),
    )


def _repair(spec: KernelSpec, environment: Environment | None) -> str:
    if environment is None:
        return f"Install it again with the program that made the environment {spec.environment!r}."
    return f"mambakernels verify {_named(spec)} --repair{command_lines.root_option(Root(spec.root))}"


def _environment(spec: KernelSpec) -> Environment | None:
    """Return the environment if mambakernels made it."""
    return read_environment(Location(spec.environment, spec.prefix, Root(spec.root)))


def _named(spec: KernelSpec) -> str:
    return quoting.quote(command_lines.environment_argument(spec.prefix, Root(spec.root)))


class _StandIn(Kernel):
    """A kernel that answers every cell with the error of its application."""

    implementation = "mambakernels-standin"
    implementation_version = version("mambakernels")
    parent: _Application

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)  # type: ignore[no-untyped-call]
        self.banner = str(self.parent.error)
        known = _LANGUAGE_INFO.get(self.parent.language.lower(), _PLAIN_TEXT)
        self.language_info = {"name": self.parent.language, "version": "", **known}
        # Widgets open comms: front ends would wait for an answer.
        self.shell_handlers |= {"comm_open": self._comm_open, "comm_msg": _drop, "comm_close": _drop}

    @property
    def kernel_info(self) -> Json:
        """The kernel's description, without a debugger."""
        return {**super().kernel_info, "supported_features": []}

    def pre_handler_hook(self) -> None:
        """Ignore interrupts: a cell takes no time, but an interrupted one would never get its answer."""

    post_handler_hook = pre_handler_hook

    async def do_execute(self, code: str, silent: bool, *args: Any, **options: Any) -> Json:  # noqa: ARG002, FBT001
        """Fail with the reason, and show it if the user sees this cell."""
        content = _content(self.parent.error, self.parent.trace)
        if not silent:
            self._publish("error", content)
        return {"status": "error", "execution_count": self.execution_count, **content}

    async def do_debug_request(self, msg: Json) -> Json:
        """Answer a debugger that there is nothing to debug."""
        command, number = msg.get("command", ""), msg.get("seq", 0)
        asked = command == "debugInfo"
        answer = {"body": _NO_DEBUGGER} if asked else {"message": self.parent.error.what}
        return {"type": "response", "request_seq": number, "command": command, "success": asked, **answer}

    def _comm_open(self, stream: object, ident: object, parent: Json) -> None:  # noqa: ARG002
        """Close a comm as soon as a front end opens it, as the protocol requires where no one answers."""
        self._publish("comm_close", {"comm_id": parent["content"]["comm_id"], "data": {}})

    def _publish(self, kind: str, content: Json) -> None:
        self.send_response(self.iopub_socket, kind, content)  # type: ignore[no-untyped-call]


def _drop(stream: object, ident: object, parent: Json) -> None:
    """Leave a message to a closed comm unanswered."""


class _Application(IPKernelApp):
    """The stand-in's process, without the user's IPython profile, which may be the very thing that is broken."""

    kernel_class = _StandIn
    language = Unicode()
    error = Instance(KernelError)
    trace = Unicode()

    def init_profile_dir(self) -> None:
        """Need no profile."""

    def init_config_files(self) -> None:
        """Copy no files into a profile."""

    def load_config_file(self, *args: Any, **options: Any) -> None:
        """Read no settings."""


def _content(error: KernelError, trace: str) -> Json:
    """Return an error as the protocol's message; front ends show the traceback only, so everything is in there."""
    name = type(error).__name__
    lines = [f"{name}: {error.what}", f"({error.where})", "", *str(error.next_step).splitlines(), _RESTART]
    if trace:
        lines += ["", "The error in its own Python:", *trace.strip().splitlines()[-_LAST_LINES:]]
    return {"ename": name, "evalue": error.what, "traceback": lines}
