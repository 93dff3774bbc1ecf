"""Code that runs in another process than this kernel: a fresh Python with other variables, or other kernels, in turns.

A numeric library reads its thread count and chooses its code path once, when it loads. So a kernel that wants to see
another thread count, another code path or another BLAS needs another process.
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
# NumPy's scalars and arrays as what JSON knows.
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
    sys.exit("The code gives no `result`: its last line should be `result = ...`.")
sys.stdout.write({_MARK!r} + eval({_AS_JSON!r}, space))
"""


class ElsewhereError(RuntimeError):
    """Code that ran in another process failed there; the message says which process, and has its traceback."""


def elsewhere(code: str, *, variables: Mapping[str, str] = {}, threads: int = 0, seconds: float = 60) -> Any:
    """Run code in a fresh process of this kernel's Python and return the value of its variable `result`.

    `variables` are set there, before any library loads; `threads` are what its libraries use (0: as here). The value
    travels as JSON, NumPy's numbers and arrays as numbers and lists. ElsewhereError with what the process wrote if it
    fails or takes longer than `seconds`.
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
    """Return the BLAS of every kernel that mambakernels made and that is in working order, by the kernels' names."""
    marks = {name: (spec["spec"].get("metadata") or {}).get("mambakernels") or {} for name, spec in _all_specs()}
    return {name: str(mark["blas"]) for name, mark in sorted(marks.items()) if mark.get("blas") and _is_there(mark)}


def on_kernels(
    code: str, kernels: Sequence[str], *, rounds: int = 1, threads: int = 0, seconds: float = 60
) -> dict[str, list[Any]]:
    """Run code on each of these kernels, in turns, `rounds` times, and return their `result`s, by kernel.

    Each kernel is started once, for all rounds, and shut down whatever happens. While one works, the others are idle.
    `threads` are what their libraries use; 0: what each kernelspec says, or the library likes. `seconds` are for one
    run of the code on one kernel. Values travel as JSON, NumPy's numbers and arrays as numbers and lists.

    Raises
    ------
    ValueError
        There is no kernel of a name; the message lists those that mambakernels made.
    ElsewhereError
        A kernel does not start, or the code fails on it.
    """
    names = list(dict.fromkeys(kernels))
    _refuse_unknown(names)
    with ExitStack() as stack:
        started = {name: stack.enter_context(_started(name, threads)) for name in names}
        turns = [(name, *started[name].turn(code, seconds)) for _ in range(rounds) for name in names]
    return {name: [value for whose, value in turns if whose == name] for name in names}


class _Kernel:
    """A kernel that was started, to be given code."""

    def __init__(self, name: str, manager: KernelManager, log: Path) -> None:
        self._name = name
        self._manager = manager
        self._log = log
        self._client: BlockingKernelClient = manager.client()
        # Its outputs are nobody's here, so they are not listened to.
        self._client.start_channels(iopub=False, stdin=False, hb=False, control=False)
        self._greeting: str | None = self._client.kernel_info()

    def turn(self, code: str, seconds: float) -> tuple[Any]:
        """Run code and return its `result`, once all of this process' and the kernel's threads rest again."""
        _rest(os.getpid())
        self._wait_for_start()
        asked = self._client.execute(
            code, store_history=False, allow_stdin=False, user_expressions={"result": _AS_JSON}
        )
        reply = self._reply(asked, seconds)
        _rest(_pid(self._manager))
        if reply["status"] != "ok":
            raise ElsewhereError(f"The code failed on kernel {self._name}.\n{_traceback(reply)}")
        found = reply["user_expressions"]["result"]
        if found["status"] != "ok":
            raise ElsewhereError(f"The code gives no `result` on kernel {self._name}: {found['evalue']}")
        return (json.loads(literal_eval(found["data"]["text/plain"])),)

    def close(self) -> None:
        """End the kernel and everything that was set up for it."""
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
def _started(name: str, threads: int) -> Iterator[_Kernel]:
    """Start a kernel, which may still be on its way when it is yielded; on the way out, end it."""
    from tempfile import TemporaryDirectory

    from jupyter_client.manager import KernelManager

    with TemporaryDirectory() as scratch, ExitStack() as stack:
        manager = KernelManager(kernel_name=name, kernel_spec_manager=_spec_manager())
        spec = manager.kernel_spec
        assert spec is not None, "it has a name"
        spec.env = {**spec.env, **thread_variables(threads)}  # it wins over what the kernel inherits
        if os.name == "posix" and any(word.startswith("ipykernel") for word in spec.argv):
            # No port to race for with other kernels that start now.
            manager.transport, manager.ip = "ipc", str(Path(scratch) / "s")
            manager.connection_file = str(Path(scratch) / "kernel.json")
        log = Path(scratch) / "stderr"
        with log.open("wb") as stderr:
            stack.callback(manager.shutdown_kernel, now=True)
            manager.start_kernel(env=_without_own(), stdout=subprocess.DEVNULL, stderr=stderr)
        kernel = _Kernel(name, manager, log)
        stack.callback(kernel.close)
        yield kernel


def _without_own() -> dict[str, str]:
    """Return this process' variables without those that its own kernelspec set, and without any thread count."""
    variables = dict(os.environ)
    own = _own_folder()
    spec = json.loads((own / "kernel.json").read_bytes()).get("env", {}) if own else {}
    for name in {*spec, *THREAD_VARIABLES}:
        head, templated, _ = str(spec.get(name, "")).partition(f"${{{name}}}")
        kept = variables.pop(name, "")
        if templated and kept.startswith(head):
            variables[name] = kept[len(head) :]
    return variables


def _own_folder() -> Path | None:
    """Return the folder of this kernel's own kernelspec, if mambakernels wrote it: its start.py was what Python ran."""
    words = [Path(word) for word in sys.orig_argv if Path(word).name == "start.py"]
    return next((word.parent for word in words if (word.parent / "kernel.json").is_file()), None)


def _spec_manager() -> KernelSpecManager:
    """Return Jupyter's list of kernelspecs, the folder of this kernel's own first: the server may have another list."""
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    own = _own_folder()
    if own is not None:
        manager.kernel_dirs = list(dict.fromkeys([str(own.parent), *manager.kernel_dirs]))
    return manager


def _all_specs() -> list[tuple[str, dict[str, Any]]]:
    return list(_spec_manager().get_all_specs().items())


def _is_there(mark: Mapping[str, Any]) -> bool:
    return os.access(str(mark.get("program", "")), os.X_OK)


def _refuse_unknown(names: Sequence[str]) -> None:
    there = {name for name, _ in _all_specs()}
    missing = [name for name in names if name.lower() not in there]
    if missing:
        ours = ", ".join(blas_kernels()) or "none"
        raise ValueError(f"There is no kernel {missing[0]}. Kernels that mambakernels made: {ours}.")


def _rest(pid: int | None) -> None:
    """Wait until a process uses no more processor time: threads of OpenMP go on spinning for a while after their work.

    It gives up after two seconds; where processor time cannot be read, it waits as long as OpenMP's threads spin.
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
    """Return the clock ticks that a process has used, in all its threads; None where that cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12])


def _pid(manager: KernelManager) -> int | None:
    found: int | None = getattr(manager.provisioner, "pid", None)
    return found


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
