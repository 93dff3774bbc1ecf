"""Child processes: commands whose output streams, and workers that answer in lines of JSON.

All of mambakernels but the code inside kernels (`kernels.launch`, `lessons.functions`) starts its children here.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from mambakernels import errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import quoting

_LINES_KEPT = 400
_GRACE_SECONDS = 3.0
# Python ignores these signals, and a program that takes over would inherit that: `yes | head` would never end.
_IGNORED_BY_PYTHON = {getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)}

# A random.py in the current folder would take the place of Python's own.
_NOT_FROM_CURRENT_FOLDER = "import sys; sys.path[:] = [path for path in sys.path if path]; "
_SERVE = (
    _NOT_FROM_CURRENT_FOLDER + "from importlib import import_module; from mambakernels.system import process; "
    "process.serve(import_module(sys.argv[1]).work)"
)
_RUN = _NOT_FROM_CURRENT_FOLDER + "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"

Json = dict[str, Any]
_TEXT: Json = {"text": True, "encoding": "utf-8", "errors": "replace"}
TimeoutExpired = subprocess.TimeoutExpired  # for callers of read_output()


class Stopped(SystemExit):
    """The thread's group was stopped. As a SystemExit, it passes through what catches errors."""


class Group:
    """The work of several threads, so that another one can stop it: the main thread, which alone gets Ctrl-C."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[subprocess.Popen[Any], bool] = {}
        self._calls: list[Callable[[], object]] = []
        self._stopped = False

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Add the children and the coroutines that this thread starts in the meantime to the group."""
        token = _GROUP.set(self)
        try:
            yield
        finally:
            _GROUP.reset(token)

    def stop(self) -> None:
        """Stop all of it; from now on, starting or awaiting something raises Stopped in the threads that joined."""
        with self._lock:
            self._stopped = True
            running, calls = dict(self._running), list(self._calls)
        for call in calls:
            call()
        for child, own_session in running.items():
            _terminate(child, own_session=own_session)
        for child, own_session in running.items():
            _await_end(child, own_session=own_session)

    def begin(self, child: subprocess.Popen[Any], *, own_session: bool) -> None:
        """Add a child that was just started; stop it if the group was stopped already."""
        with self._lock:
            self._running[child] = own_session
            stopped = self._stopped
        if stopped:
            _stop(child, own_session=own_session)

    def end(self, child: subprocess.Popen[Any]) -> None:
        """Remove a child that has ended; Stopped if the group was stopped."""
        with self._lock:
            self._running.pop(child, None)
        self.check()

    def check(self) -> None:
        """Raise Stopped if the group was stopped."""
        with self._lock:
            stopped = self._stopped
        if stopped:
            raise Stopped

    @contextmanager
    def calling(self, call: Callable[[], object]) -> Iterator[None]:
        """Call a function, in whatever thread, if the group is stopped before the block ends."""
        with self._lock:
            self._calls.append(call)
            stopped = self._stopped
        try:
            if stopped:
                call()
            yield
        finally:
            with self._lock:
                self._calls.remove(call)


_GROUP: ContextVar[Group | None] = ContextVar("group", default=None)


def check_stopped() -> None:
    """Raise Stopped if this thread has joined a group, and that was stopped; to be called while waiting."""
    if (group := _GROUP.get()) is not None:
        group.check()


@contextmanager
def on_stop(call: Callable[[], object]) -> Iterator[None]:
    """Call a function, in whatever thread, if this thread's group is stopped before the block ends."""
    group = _GROUP.get()
    with nullcontext() if group is None else group.calling(call):
        yield


@contextmanager
def _noted(child: subprocess.Popen[Any], *, own_session: bool) -> Iterator[None]:
    """Add a child to this thread's group, if it has one, while it runs."""
    group = _GROUP.get()
    if group is None:
        yield
        return
    group.begin(child, own_session=own_session)
    try:
        yield
    finally:
        group.end(child)


@dataclass(frozen=True)
class Completed:
    """A command that ended: its exit status and the last lines of what it printed."""

    argv: tuple[str, ...]
    returncode: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The last lines as one text."""
        return "\n".join(self.lines)


def stream(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    on_line: Callable[[str], None] | None = None,
    own_session: bool = True,
) -> Completed:
    """Run a command to its end; call `on_line` with each line of its stdout and stderr as it comes.

    An exception, Ctrl-C included, first stops the command and whatever that started.
    """
    words = [os.fspath(word) for word in argv]
    kept: deque[str] = deque(maxlen=_LINES_KEPT)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "bufsize": 1, **_TEXT}
    with _running(words, own_session=own_session, env=env, cwd=cwd, **streams) as child:
        assert child.stdout is not None
        for line in child.stdout:
            kept.append(line.rstrip("\n"))
            if on_line:
                on_line(kept[-1])
        returncode = child.wait()
    return Completed(tuple(words), returncode, tuple(kept))


def read_output(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a short command and return its status, stdout and stderr as bytes; TimeoutExpired if late."""
    words = [os.fspath(word) for word in argv]
    with _running(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        out, err = child.communicate(timeout=timeout)
    return subprocess.CompletedProcess(words, child.returncode, out, err)


class Worker:
    """A child Python that answers with a module's `work`: one line of JSON in, progress events and a result out.

    It starts at once, so that its imports go on while the caller does something else. It ends when this process does,
    even if that is killed: its standard input then closes. Its exit status after a result does not matter.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._child = _start(
            [sys.executable, "-c", _SERVE, module],
            own_session=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **_TEXT,
        )
        self._group = _GROUP.get()
        if self._group is not None:
            self._group.begin(self._child, own_session=True)
        self._stderr: deque[str] = deque(maxlen=_LINES_KEPT)
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()

    def call(self, request: Json, *, progress: Progress = silent) -> Json:
        """Send the only request, return its result, and end the worker."""
        try:
            return self.ask(request, progress=progress)
        finally:
            self.close()

    def ask(self, request: Json, *, progress: Progress = silent) -> Json:
        """Send a request and return its result; an error of this package is raised here as it was there.

        The worker stays for the next request, unless it dies or the caller is interrupted.
        """
        try:
            answer = self._exchange(request, progress)
        except BaseException:
            self.close()
            raise
        if "error" in answer:
            raise _revive(answer["error"])
        result: Json = answer["result"]
        return result

    @property
    def ended(self) -> bool:
        """Whether the worker has exited."""
        return self._child.poll() is not None

    def _exchange(self, request: Json, progress: Progress) -> Json:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
        except OSError:  # a BrokenPipeError; on Windows "Invalid argument"
            raise self._died() from None
        for line in self._child.stdout:
            message: Json = json.loads(line)
            if "event" not in message:
                return message
            progress(Event(**message["event"]))
        raise self._died()

    def close(self) -> None:
        """Stop the worker and everything it started."""
        _stop(self._child, own_session=True)
        self._drain.join(_GRACE_SECONDS)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                _close(pipe)
        if self._group is not None:
            self._group.end(self._child)

    def abandon(self) -> None:
        """Close the worker where no caller is left who could be given Stopped."""
        with suppress(Stopped):
            self.close()

    def _read_stderr(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._stderr.append(line.rstrip("\n"))

    def _died(self) -> errors.EngineError:
        status = self._child.wait(_GRACE_SECONDS)
        self._drain.join(_GRACE_SECONDS)
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        said = "\n".join(list(self._stderr)[-20:])
        return errors.EngineError(
            f"A helper process ended with {how} before it had done its work.",
            where=self._module,
            next_step=f"It printed last:\n{said}" if said else "Try again. No partial files are left.",
        )


def serve(handler: Callable[[Json, Progress], Json]) -> NoReturn:
    """Be a worker: answer one request after another from standard input, and exit when that ends.

    No exit handlers run: py-rattler sometimes crashes while the interpreter shuts down.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints goes to stderr, not between the answers
    lock = threading.Lock()

    def send(message: Json) -> None:
        with lock:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    while True:
        request = json.loads(requests.get())
        try:
            send({"result": handler(request, lambda event: send({"event": asdict(event)}))})
        except errors.MambakernelsError as error:
            send({"error": _describe(error)})
        except OSError as error:
            send({"error": _describe(errors.from_os_error(error))})
        except Exception:  # noqa: BLE001 (the parent raises it, with this traceback)
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(70)
        sys.stderr.flush()


def _read_requests(requests: queue.SimpleQueue[str]) -> None:
    """Pass on each request; when standard input ends, so has the parent: end this process and all its children."""
    for line in sys.stdin:
        requests.put(line)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _describe(error: errors.MambakernelsError) -> Json:
    return {"type": type(error).__name__, "what": error.what, "where": error.where, "next_step": error.next_step}


def _revive(described: Json) -> errors.MambakernelsError:
    kind = getattr(errors, described["type"], errors.MambakernelsError)
    revived: errors.MambakernelsError = kind(
        described["what"], where=described["where"], next_step=described["next_step"]
    )
    return revived


@contextmanager
def _running(words: list[str], *, own_session: bool = True, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Yield a child without input, known to this thread's group; stop it if the block raises."""
    with (
        _start(words, own_session=own_session, stdin=subprocess.DEVNULL, **options) as child,
        _noted(child, own_session=own_session),
    ):
        try:
            yield child
        except BaseException:
            _stop(child, own_session=own_session)
            raise


def _start(words: list[str], *, own_session: bool, **options: Any) -> subprocess.Popen[Any]:
    """Start a child, with `own_session` apart from the terminal's Ctrl-C; on Windows always in a job."""
    if sys.platform != "win32":
        return subprocess.Popen(words, start_new_session=own_session, **options)
    from mambakernels.system.job import JobPopen  # type: ignore[attr-defined]

    # In a console that is not shown it has neither the user's Ctrl-C nor the user's code page, which scripts change.
    flags = subprocess.CREATE_NO_WINDOW if own_session else 0
    return JobPopen(quoting.batch_command(words) or words, creationflags=flags, **options)


def _stop(child: subprocess.Popen[Any], *, own_session: bool) -> None:
    """End a child, and all of its session if it leads one, with SIGTERM and after a while with SIGKILL.

    On Windows, all that it has started ends at once, also if it has ended itself.
    """
    _terminate(child, own_session=own_session)
    _await_end(child, own_session=own_session)


def _terminate(child: subprocess.Popen[Any], *, own_session: bool) -> None:
    if sys.platform == "win32":
        child.terminate()
    elif child.poll() is None:
        _signal(child, signal.SIGTERM, own_session=own_session)


def _await_end(child: subprocess.Popen[Any], *, own_session: bool) -> None:
    try:
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(child, getattr(signal, "SIGKILL", signal.SIGTERM), own_session=own_session)
        child.wait()


def _signal(child: subprocess.Popen[Any], number: int, *, own_session: bool) -> None:
    try:
        if own_session and hasattr(os, "killpg"):
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
    except (ProcessLookupError, PermissionError):
        return  # it has ended already


def _close(pipe: IO[Any]) -> None:
    try:
        pipe.close()
    except OSError:  # as above
        return  # the worker ended first


def module_command(name: str, *arguments: str | os.PathLike[str]) -> list[str]:
    """Return the command that runs a module of this Python, as `-m` does, but not from the current folder."""
    return [sys.executable, "-c", _RUN, name, *(os.fspath(argument) for argument in arguments)]


def which(name: str, *, path: str | None = None) -> Path | None:
    """Return the executable of that name on `PATH`, or None."""
    import shutil

    found = shutil.which(name, path=path)
    return Path(found) if found else None


def take_over(program: Path, argv: Sequence[str], *, env: Mapping[str, str]) -> int:
    """Run a program in place of this one, with its terminal, input, output, signals and exit status.

    On POSIX it becomes this process, and nothing returns. On Windows it is a child, whose status is returned: it ends
    when this process is ended, and Ctrl-C, which reaches every program of the console there, is left to it.
    OSError if it cannot be started.
    """
    sys.stdout.flush()
    if sys.platform != "win32":
        for number in _IGNORED_BY_PYTHON & signal.valid_signals():
            signal.signal(number, signal.SIG_DFL)
        os.execve(program, list(argv), dict(env))  # noqa: S606 (no shell is wanted)
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _start([str(program), *argv[1:]], own_session=False, env=dict(env)) as child:
            return child.wait()
    finally:
        signal.signal(signal.SIGINT, previous)
