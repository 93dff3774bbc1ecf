"""The only caller of `subprocess`: commands whose output streams, and workers that report in lines of JSON."""

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
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from mambakernels import errors
from mambakernels.progress import Event, Progress, silent

_LINES_KEPT = 400
_GRACE_SECONDS = 3.0
# Python ignores these from its start, and a program that takes over would inherit that: `yes | head` never ended.
_IGNORED_BY_PYTHON = {getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)}

# The folder somebody stands in is not searched: a random.py there would take the place of Python's own.
_ALONE = "import sys; sys.path[:] = [path for path in sys.path if path]; "
_SERVE = (
    _ALONE + "from importlib import import_module; from mambakernels.system import process; "
    "process.serve(import_module(sys.argv[1]).work)"
)
_RUN = _ALONE + "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"

Json = dict[str, Any]
TimeoutExpired = subprocess.TimeoutExpired  # for those who call capture() with a time-out


class Stopped(SystemExit):
    """The group that this thread belongs to was stopped; nothing that expects errors takes it for one."""


class Group:
    """What several threads have running, so that another thread can end it: it hears of Ctrl-C, they do not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[subprocess.Popen[Any], bool] = {}
        self._stopped = False

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Count what this thread starts meanwhile among the group's."""
        token = _GROUP.set(self)
        try:
            yield
        finally:
            _GROUP.reset(token)

    def stop(self) -> None:
        """End everything that runs; from now on the threads that joined get Stopped where they start or wait for it."""
        with self._lock:
            self._stopped = True
            running = dict(self._running)
        for child, own_session in running.items():
            _signal(child, signal.SIGTERM, own_session=own_session)
        for child, own_session in running.items():
            _stop(child, own_session=own_session)

    def begin(self, child: subprocess.Popen[Any], *, own_session: bool) -> None:
        """Take note of a child that was just started; one that is too late is ended."""
        with self._lock:
            self._running[child] = own_session
            stopped = self._stopped
        if stopped:
            _stop(child, own_session=own_session)

    def end(self, child: subprocess.Popen[Any]) -> None:
        """Forget a child that has ended; Stopped if the group was stopped."""
        with self._lock:
            self._running.pop(child, None)
            stopped = self._stopped
        if stopped:
            raise Stopped


_GROUP: ContextVar[Group | None] = ContextVar("group", default=None)


@contextmanager
def _noted(child: subprocess.Popen[Any], *, own_session: bool) -> Iterator[None]:
    """Let this thread's group, if it has one, know of a child while it runs."""
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
        """What it printed last, as one text."""
        return "\n".join(self.lines)


def stream(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    on_line: Callable[[str], None] | None = None,
    own_session: bool = True,
) -> Completed:
    """Run a command to its end and hand over each line of its output (stdout and stderr) as it comes.

    An exception here, Ctrl-C included, stops the command and whatever it started before it goes on.
    """
    words = [os.fspath(word) for word in argv]
    kept: deque[str] = deque(maxlen=_LINES_KEPT)
    with _spawn(words, env=env, cwd=cwd, own_session=own_session, stderr=subprocess.STDOUT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        for line in child.stdout:
            kept.append(line.rstrip("\n"))
            if on_line:
                on_line(kept[-1])
        returncode = child.wait()
    return Completed(tuple(words), returncode, tuple(kept))


def capture(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a short command and return its status, stdout and stderr as bytes; TimeoutExpired if late."""
    words = [os.fspath(word) for word in argv]
    with (
        subprocess.Popen(
            words,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as child,
        _noted(child, own_session=True),
    ):
        try:
            out, err = child.communicate(timeout=timeout)
        except BaseException:
            _stop(child, own_session=True)
            raise
    return subprocess.CompletedProcess(words, child.returncode, out, err)


class Worker:
    """A child Python that answers with a module's `work`: a JSON request in, progress events and one result out.

    It starts at once, so that its imports go on while the caller does something else. It ends with us, even if
    we are killed: its standard input then closes. How it exits after its result does not matter.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._child = subprocess.Popen(
            [sys.executable, "-c", _SERVE, module],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._group = _GROUP.get()
        if self._group is not None:
            self._group.begin(self._child, own_session=True)
        self._stderr: deque[str] = deque(maxlen=_LINES_KEPT)
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()

    def call(self, request: Json, *, progress: Progress = silent) -> Json:
        """Send the only request, return the result, and end the worker."""
        try:
            return self.ask(request, progress=progress)
        finally:
            self.close()

    def ask(self, request: Json, *, progress: Progress = silent) -> Json:
        """Send a request and return the result; the worker's own error is raised here as it was there.

        The worker stays for the next request, unless something else goes wrong, as an interruption does.
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
        """Whether it can be asked no more."""
        return self._child.poll() is not None

    def _exchange(self, request: Json, progress: Progress) -> Json:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
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
        """Close the worker where nobody is left to hear that its group was stopped."""
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
            next_step=f"It said last:\n{said}" if said else "Try again; nothing half-made was left.",
        )


def serve(handler: Callable[[Json, Progress], Json]) -> NoReturn:
    """Be a worker: answer one request after another on standard input; when that ends, so do we, at once.

    No exit handlers are run: py-rattler now and then crashes while the interpreter shuts down.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to stderr, never between our lines
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
        except Exception:  # noqa: BLE001 (handed over whole to the parent, which raises it)
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(70)
        sys.stderr.flush()


def _read_requests(requests: queue.SimpleQueue[str]) -> None:
    """Hand over each request; at the end of standard input, whoever started us is gone: end with all we started."""
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
def _spawn(
    words: list[str],
    *,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    own_session: bool,
    stderr: int,
) -> Iterator[subprocess.Popen[str]]:
    with (
        subprocess.Popen(
            words,
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            start_new_session=own_session,
        ) as child,
        _noted(child, own_session=own_session),
    ):
        try:
            yield child
        except BaseException:
            _stop(child, own_session=own_session)
            raise


def _stop(child: subprocess.Popen[Any], *, own_session: bool) -> None:
    """End a child, and all of its session if it leads one: politely first, then for certain."""
    if child.poll() is None:
        _signal(child, signal.SIGTERM, own_session=own_session)
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
        return  # already gone, which is what was wanted


def _close(pipe: IO[Any]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # the worker left first; there is nothing to deliver


def module(name: str, *arguments: str | os.PathLike[str]) -> list[str]:
    """Return the command that runs a module of this Python, as `-m` does but for the present folder."""
    return [sys.executable, "-c", _RUN, name, *(os.fspath(argument) for argument in arguments)]


def which(name: str, *, path: str | None = None) -> Path | None:
    """Return the executable of that name on `PATH`, or None."""
    import shutil

    found = shutil.which(name, path=path)
    return Path(found) if found else None


def take_over(program: Path, argv: Sequence[str], *, env: Mapping[str, str]) -> int:
    """Run a program in place of this one: terminal, input, output, signals and exit status are its own.

    On POSIX it becomes this process, and nothing returns. On Windows it is a child, whose status is returned; Ctrl-C
    there reaches every program of the console, and this one leaves the answer to the child (written, not yet run).
    Raises OSError if it cannot be started.
    """
    sys.stdout.flush()
    if os.name != "nt":
        for number in _IGNORED_BY_PYTHON & signal.valid_signals():
            signal.signal(number, signal.SIG_DFL)
        os.execve(program, list(argv), dict(env))  # noqa: S606 (no shell is wanted)
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(list(argv), executable=program, env=dict(env), check=False).returncode
    finally:
        signal.signal(signal.SIGINT, previous)
