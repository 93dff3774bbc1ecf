"""Forks kernels: a process that has imported ipykernel once, and of which each copy becomes a kernel.

    PROGRAM fork.py

It is run by an environment's own Python (3.9 or later, on Linux) in place of `start.py -m ipykernel_launcher`, with the
same options and variables. Standard error is the file that keeps what the imports print. Requests and answers are lines
of JSON on standard input and output. First it answers `{"ready": NAMES}`, the top-level names that it has imported, or
`{"unsound": REASON}` and ends. A request has a `number` and gives what differs from kernel to kernel: `argv` and
`orig_argv` of `sys`, the working directory `cwd`, the `pwd` that a shell would have set, the variable `mark` that
names its run, the file `log` for standard output and error, and the process `parent` that the kernel must not outlive.
The answers to it are
`{"number": N, "pid": P}` from the kernel and, when that has ended, `{"number": N, "status": S}`, S as `subprocess`
counts it. When the input ends, the kernels that still run are killed. So is what a kernel leaves behind in its group.
"""  # noqa: INP001 (no part of a package where it runs)

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterator
from typing import Any

_FIRST = ("runpy", "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell")
# What ipykernel imports after that, until it has run its first cell, in versions 6 and 7; not each version has all.
_LATER = (
    "ipykernel.debugger", "IPython.core.completerlib", "IPython.core.debugger", "IPython.core.debugger_backport",
    "IPython.core.logger", "IPython.core.oinspect", "IPython.extensions.storemagic", "IPython.utils.wildcard",
    "faulthandler", "pdb", "sqlite3", "tornado.platform.asyncio",
)  # fmt: skip
# Libraries with a pool of threads, which a fork would lose: BLAS, OpenMP, TBB, CUDA.
_POOLS = ("blas", "mkl_", "libblis", "libflame", "liblapack", "libnvpl", "gomp", "iomp", "libomp", "libtbb", "libcuda")
_SITE = ("sitecustomize", "usercustomize")
_LINE = 1 << 16
_ENVIRON_START = 47  # of the fields of /proc/PID/stat after the name


def main() -> None:
    """Import, say whether that was sound, then fork a kernel for each request until the input ends."""
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):
        del sys.path[0]  # this script's folder; ipykernel_launcher, too, imports without the working directory
    answers = os.dup(1)
    os.dup2(2, 1)  # what an import prints must not come between the answers
    printed, reason = _import()
    reason = reason or _unsound(answers)
    if reason:
        _answer(answers, {"unsound": reason})
        return
    _answer(answers, {"ready": sorted({name.partition(".")[0] for name in sys.modules})})
    gc.collect()
    gc.freeze()  # a collection in a kernel would otherwise copy every page that holds an object
    kernels: dict[int, tuple[int, int]] = {}
    for request in _requests(answers, kernels):
        pid = os.fork()
        if pid == 0:
            _become_kernel(request, [answers, *kernels], printed)
            return
        kernels[os.pidfd_open(pid)] = (pid, request["number"])
    for pid, _ in kernels.values():
        _kill_group(pid)


def _import() -> tuple[bytes, str]:
    """Import what a kernel needs; return what was printed that a kernel's log would have, and any failure."""
    name = ""
    try:
        for name in _FIRST:
            importlib.import_module(name)
        sys.stdout.flush()
        sys.stderr.flush()
        printed = os.pread(2, _LINE, 0)
        for name in _LATER:  # a kernel has taken hold of its output by then
            if importlib.util.find_spec(name):
                importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 (an ordinary start shows it in full)
        return b"", f"importing {name} raised {error!r}"
    return printed, ""


def _unsound(answers: int) -> str:
    """Return why this process must not be forked; an empty text if it may."""
    if not hasattr(os, "pidfd_open"):
        return "its Python has no pidfd"
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 (pathlib is slow to import)
    if threads > 1:
        return f"it runs {threads} threads"
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123 (as above)
        mapped = {os.path.basename(line.rstrip()).lower() for line in maps}  # noqa: PTH119 (as above)
    pools = sorted(name for name in mapped if any(word in name for word in _POOLS))
    if pools:
        return f"it has loaded {pools[0]}"
    if _is_traced():
        return "it is being traced"
    own = [name for name in _SITE if name in sys.modules and not _is_shipped(sys.modules[name])]
    if own:  # what it does at each start may depend on the time, the folder or the process
        return f"its Python runs a {own[0]}"
    return _opened(answers)


def _is_traced() -> bool:
    monitoring = getattr(sys, "monitoring", None)
    tools = [monitoring.get_tool(number) for number in range(6)] if monitoring else []
    return bool(sys.gettrace() or sys.getprofile() or any(tools))


def _is_shipped(module: Any) -> bool:
    """Whether a module comes with Python itself, as Debian's and Ubuntu's sitecustomize."""
    folder = os.path.dirname(getattr(module, "__file__", None) or "")  # noqa: PTH120 (as above)
    return folder == sysconfig.get_path("stdlib")


def _opened(answers: int) -> str:
    """Return what an import has opened: a kernel would share it with all others."""
    for handle in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 (as above)
        try:
            target = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 (as above)
        except OSError:  # the listing's own, closed meanwhile
            continue
        if handle not in {0, 1, 2, answers} and not target.startswith("/dev/"):
            return f"it has opened {target}"
    return ""


def _requests(answers: int, kernels: dict[int, tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """Yield each request; meanwhile answer which kernels have ended. `kernels`: pid and number by pidfd."""
    held = b""
    while True:
        poll = select.poll()
        for handle in (0, *kernels):
            poll.register(handle, select.POLLIN)
        ready = {handle for handle, _ in poll.poll()}
        for handle in ready - {0}:
            os.close(handle)
            _reap(answers, *kernels.pop(handle))
        if 0 in ready:
            read = os.read(0, _LINE)
            if not read:
                return
            *lines, held = (held + read).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _reap(answers: int, pid: int, number: int) -> None:
    """Kill what a kernel that has ended leaves behind, and answer how it ended."""
    _kill_group(pid)  # now: until it is waited for, nothing else gets its number
    _, status = os.waitpid(pid, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    _answer(answers, {"number": number, "status": code})


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # it leads no group yet if it has just been forked
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _answer(answers: int, message: dict[str, object]) -> None:
    try:
        os.write(answers, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:  # the reader is gone: so is the writer of standard input, and that ends this process
        return


def _become_kernel(request: dict[str, Any], handles: list[int], printed: bytes) -> None:
    """Take on what an ordinary start would have given this process, then be an ipykernel until that ends."""
    os.setsid()
    _set_where_others_look(*request["mark"])
    parent = os.pidfd_open(request["parent"])
    _replace_standard_streams(request["log"], printed)
    os.chdir(request["cwd"])
    if "PWD" in os.environ and request["pwd"]:
        os.environ["PWD"] = request["pwd"]
    launcher = importlib.util.find_spec("ipykernel_launcher")
    sys.argv = [launcher.origin if launcher and launcher.origin else "ipykernel_launcher", *request["argv"]]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = request["orig_argv"]
    _answer(handles[0], {"number": request["number"], "pid": os.getpid()})
    for handle in handles:
        os.close(handle)
    _serve(parent)


def _set_where_others_look(name: str, value: str) -> None:
    """Set a variable also in `/proc/PID/environ`, which shows the memory that the program started with.

    What this kernel forks inherits that. The variable must have had a value of the same length.
    """
    with open("/proc/self/environ", "rb") as shown, open("/proc/self/stat", "rb") as status:  # noqa: PTH123 (as above)
        at = shown.read().index(f"{name}=".encode())
        start = int(status.read().rpartition(b")")[2].split()[_ENVIRON_START])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:  # noqa: PTH123 (as above)
        memory.seek(start + at)
        memory.write(f"{name}={value}".encode())
    os.environ[name] = value


def _replace_standard_streams(log: str, printed: bytes) -> None:
    """Read nothing, and write to the log, which begins with what the imports have printed."""
    nothing, closed = os.pipe()
    os.close(closed)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(written, printed)
    for handle, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(handle, target)
    os.close(nothing)
    os.close(written)


def _serve(parent: int) -> None:
    import zmq
    from ipykernel.kernelapp import IPKernelApp

    app: Any = IPKernelApp.instance()
    init_iopub = app.init_iopub

    def init_iopub_without_limit(context: Any) -> None:
        # By default, what is sent while 1,000 messages wait to be read is lost.
        context.setsockopt(zmq.SNDHWM, 0)
        init_iopub(context)
        context.sockopts.pop(zmq.SNDHWM, None)

    def init_poller() -> None:
        # Takes the place of ipykernel's own, which expects the kernel to be a child of Jupyter.
        app.poller = threading.Thread(target=_outlive, args=(parent,), daemon=True)

    app.init_iopub, app.init_poller = init_iopub_without_limit, init_poller
    app.initialize()
    app.start()


def _outlive(parent: int) -> None:
    """End this kernel and its children once the process that asked for it is gone."""
    select.select([parent], [], [])
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
