"""Code that runs in other processes: a fresh Python with other variables, or other kernels, in turns.

A numeric library reads its thread count and chooses its code path once, when it loads. So a lesson that compares thread
counts, code paths or BLAS libraries needs other processes than its own kernel.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from mambakernels.numeric.threads import THREAD_VARIABLES, thread_variables

if TYPE_CHECKING:
    from jupyter_client.blocking.client import BlockingKernelClient
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import KernelManager

_START_SECONDS = 60
_POLL_SECONDS = 0.2
_REST_SECONDS = 2.0
_STILL_SECONDS = 0.03  # longer than a tick of the CPU clock in /proc
_LAST_LINES = 25
_MARK = "\x1fresult\x1f"
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# NumPy's scalars and arrays become numbers and lists.
_AS_JSON = "__import__('json').dumps(result, default=lambda value: value.tolist())"
_RUNNER = f"""\
import linecache, sys, traceback
code = sys.stdin.read()
linecache.cache["<elsewhere>"] = (len(code), None, code.splitlines(True), "<elsewhere>")
space = {{"__name__": "__main__"}}
try:
    exec(compile(code, "<elsewhere>", "exec", dont_inherit=True), space)
except Exception:
    traceback.print_exc()
    sys.exit(1)
if "result" not in space:
    sys.exit("The code gives no `result`: end it with a line such as `result = ...`.")
sys.stdout.write({_MARK!r} + eval({_AS_JSON!r}, space))
"""


class ElsewhereError(RuntimeError):
    """Code failed in another process; the message names the process and includes its traceback."""


def elsewhere(code: str, *, variables: Mapping[str, str] = {}, threads: int | None = None, seconds: float = 60) -> Any:
    """Run code in a fresh process of this kernel's Python and return the value of its variable `result`.

    `variables` are set before any library loads; `threads` is how many its libraries use (None: as in this kernel). The
    value travels as JSON, NumPy's numbers and arrays as numbers and lists. Raises ElsewhereError, with the last lines
    of the process, if it fails or takes longer than `seconds`.
    """
    settings = ", ".join(f"{name}={value}" for name, value in variables.items())
    where = f"The code, run elsewhere with {settings}," if settings else "The code, run elsewhere,"
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _RUNNER],
            input=code,
            env={**os.environ, **thread_variables(threads), **variables},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ElsewhereError(f"{where} took longer than {seconds:g} seconds.") from error
    if ended.returncode:
        raise ElsewhereError(f"{where} ended with {_ending(ended.returncode)}.\n{_last_lines(ended.stderr)}")
    return json.loads(ended.stdout.rpartition(_MARK)[2])


def blas_kernels() -> dict[str, str]:
    """Return the BLAS of every kernel that mambakernels made and whose program is there, by the kernel's name."""
    specs = _spec_manager().get_all_specs()
    marks = {name: (spec["spec"].get("metadata") or {}).get("mambakernels") or {} for name, spec in specs.items()}
    return {
        name: str(mark["blas"])
        for name, mark in sorted(marks.items())
        if mark.get("blas") and os.access(str(mark.get("program", "")), os.X_OK)
    }


def on_kernels(
    code: str, kernels: Sequence[str], *, rounds: int = 1, threads: int | None = None, seconds: float = 60
) -> dict[str, list[Any]]:
    """Run code on each of these kernels, in turns, `rounds` times, and return the values of `result`, by kernel.

    Each kernel starts once, for all rounds, and is always shut down at the end. While one works, the others are idle.
    `threads` is how many their libraries use (None: as each kernel is registered). `seconds` limits one run of the code
    on one kernel. Values travel as JSON, NumPy's numbers and arrays as numbers and lists.

    Raises
    ------
    ValueError
        A kernel does not exist; the message lists the kernels that mambakernels made.
    ElsewhereError
        A kernel does not start, or the code fails on it.
    """
    names = list(dict.fromkeys(kernels))
    _refuse_unknown(names)
    with ExitStack() as stack:
        started = {name: stack.enter_context(_started(name, threads)) for name in names}
        turns = [(name, started[name].run(code, seconds)) for _ in range(rounds) for name in names]
    return {name: [value for kernel, value in turns if kernel == name] for name in names}


class _RunningKernel:
    """A started kernel that runs code."""

    def __init__(self, name: str, manager: KernelManager, log: Path) -> None:
        self._name = name
        self._manager = manager
        self._log = log
        self._client: BlockingKernelClient = manager.client()
        # Nothing here shows the kernel's outputs, so their channel stays closed.
        self._client.start_channels(iopub=False, stdin=False, hb=False, control=False)
        self._greeting: str | None = self._client.kernel_info()

    def run(self, code: str, seconds: float) -> Any:
        """Run code and return its `result`; before and after, wait until no thread works here or in the kernel."""
        _wait_for_rest(os.getpid())
        self._wait_for_start()
        asked = self._client.execute(
            code, store_history=False, allow_stdin=False, user_expressions={"result": _AS_JSON}
        )
        reply = self._reply(asked, seconds)
        _wait_for_rest(getattr(self._manager.provisioner, "pid", None))
        if reply["status"] != "ok":
            raise ElsewhereError(f"The code failed on kernel {self._name}.\n{_traceback(reply)}")
        found = reply["user_expressions"]["result"]
        if found["status"] != "ok":
            raise ElsewhereError(f"The code gives no `result` on kernel {self._name}: {found['evalue']}")
        return json.loads(literal_eval(found["data"]["text/plain"]))

    def close(self) -> None:
        """Close the connection to the kernel."""
        self._client.stop_channels()

    def _wait_for_start(self) -> None:
        if self._greeting is not None:
            self._reply(self._greeting, _START_SECONDS)
            self._greeting = None

    def _reply(self, asked: str, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                message = self._client.get_shell_msg(timeout=_POLL_SECONDS)
            except Empty:
                self._refuse_dead()
                continue
            if message["parent_header"].get("msg_id") == asked:
                content: dict[str, Any] = message["content"]
                return content
        raise ElsewhereError(f"Kernel {self._name} did not answer within {seconds:g} seconds.")

    def _refuse_dead(self) -> None:
        if not self._manager.is_alive():
            said = _last_lines(self._log.read_text(encoding="utf-8", errors="replace"))
            raise ElsewhereError(f"Kernel {self._name} ended unexpectedly.\n{said}")


@contextmanager
def _started(name: str, threads: int | None) -> Iterator[_RunningKernel]:
    """Start a kernel, yield it without waiting until it is ready, and end it on the way out."""
    from tempfile import TemporaryDirectory

    from jupyter_client.manager import KernelManager

    with TemporaryDirectory() as scratch, ExitStack() as stack:
        manager = KernelManager(kernel_name=name, kernel_spec_manager=_spec_manager())
        spec = manager.kernel_spec
        assert spec is not None, "it has a name"
        spec.env = {**spec.env, **thread_variables(threads)}  # these win over inherited variables
        if os.name == "posix" and any(word.startswith("ipykernel") for word in spec.argv):
            # Sockets in a folder: kernels that start at the same moment cannot race for a port.
            manager.transport, manager.ip = "ipc", str(Path(scratch) / "s")
            manager.connection_file = str(Path(scratch) / "kernel.json")
        log = Path(scratch) / "stderr"
        with log.open("wb") as stderr:
            stack.callback(manager.shutdown_kernel, now=True)
            manager.start_kernel(env=_inherited_variables(), stdout=subprocess.DEVNULL, stderr=stderr)
        kernel = _RunningKernel(name, manager, log)
        stack.callback(kernel.close)
        yield kernel


def _inherited_variables() -> dict[str, str]:
    """Return this process' variables without those that its kernelspec set, and without any thread count."""
    variables = dict(os.environ)
    folder = _kernelspec_folder()
    spec = json.loads((folder / "kernel.json").read_bytes()).get("env", {}) if folder else {}
    for name in {*spec, *THREAD_VARIABLES}:
        head, templated, _ = str(spec.get(name, "")).partition(f"${{{name}}}")
        kept = variables.pop(name, "")
        if templated and kept.startswith(head):
            variables[name] = kept[len(head) :]
    return variables


def _kernelspec_folder() -> Path | None:
    """Return the folder of this kernel's kernelspec if mambakernels wrote it: Python was started with its start.py."""
    words = [Path(word) for word in sys.orig_argv if Path(word).name == "start.py"]
    return next((word.parent for word in words if (word.parent / "kernel.json").is_file()), None)


def _spec_manager() -> KernelSpecManager:
    """Return Jupyter's kernelspecs, the folder of this kernel's first: the server may look in other folders."""
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    folder = _kernelspec_folder()
    if folder is not None:
        manager.kernel_dirs = list(dict.fromkeys([str(folder.parent), *manager.kernel_dirs]))
    return manager


def _refuse_unknown(names: Sequence[str]) -> None:
    there = _spec_manager().get_all_specs()
    missing = [name for name in names if name.lower() not in there]
    if missing:
        ours = ", ".join(blas_kernels()) or "none"
        raise ValueError(f"There is no kernel {missing[0]}. Kernels that mambakernels made: {ours}.")


def _wait_for_rest(pid: int | None) -> None:
    """Wait until a process uses no processor time: OpenMP's threads keep spinning for a while after their work.

    It gives up after two seconds. Where processor time cannot be read, it waits as long as OpenMP's threads spin.
    """
    end = time.monotonic() + _REST_SECONDS
    before = _processor_time(pid)
    while before is not None and time.monotonic() < end:
        time.sleep(_STILL_SECONDS)
        now = _processor_time(pid)
        if now == before:
            return
        before = now
    if before is None:
        time.sleep(0.25)


def _processor_time(pid: int | None) -> int | None:
    """Return the clock ticks that all threads of a process have used; None where that cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12])


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    illegal = " (this processor cannot run that code path)" if -code == signal.SIGILL else ""
    return f"{signal.Signals(-code).name}{illegal}"


def _traceback(reply: Mapping[str, Any]) -> str:
    lines = _ANSI.sub("", "\n".join(reply.get("traceback") or []))
    return lines or f"{reply.get('ename')}: {reply.get('evalue')}"


def _last_lines(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-_LAST_LINES:])
