"""The only caller of `subprocess`: commands whose output streams, and workers that report in lines of JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from mambakernels import errors
from mambakernels.progress import Event, Progress, silent

_LINES_KEPT = 400
_GRACE_SECONDS = 3.0

# The folder somebody stands in is not searched: a random.py there would take the place of Python's own.
_ALONE = "import sys; sys.path[:] = [path for path in sys.path if path]; "
_SERVE = (
    _ALONE + "from importlib import import_module; from mambakernels import process; "
    "process.serve(import_module(sys.argv[1]).work)"
)
_RUN = _ALONE + "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"

Json = dict[str, Any]
TimeoutExpired = subprocess.TimeoutExpired  # for those who call capture() with a time-out


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
    with subprocess.Popen(
        words,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except BaseException:
            _stop(child, own_session=True)
            raise
    return subprocess.CompletedProcess(words, child.returncode, out, err)


class Worker:
    """A child Python that answers with a module's `work`: one JSON request in, progress events and one result out.

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
        self._stderr: deque[str] = deque(maxlen=_LINES_KEPT)
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()

    def call(self, request: Json, *, progress: Progress = silent) -> Json:
        """Send the request and return the result; the worker's own error is raised here as it was there."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            try:
                self._child.stdin.write(json.dumps(request) + "\n")
                self._child.stdin.flush()
            except BrokenPipeError:
                raise self._died() from None
            for line in self._child.stdout:
                message = json.loads(line)
                if "event" in message:
                    progress(Event(**message["event"]))
                elif "error" in message:
                    raise _revive(message["error"])
                elif "result" in message:
                    result: Json = message["result"]
                    return result
            raise self._died()
        finally:
            self.close()

    def close(self) -> None:
        """Stop the worker and everything it started."""
        _stop(self._child, own_session=True)
        self._drain.join(_GRACE_SECONDS)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                _close(pipe)

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
    """Be a worker: answer the one request on standard input, then leave without running exit handlers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to stderr, never between our lines
    lock = threading.Lock()

    def send(message: Json) -> None:
        with lock:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_die_with_parent, daemon=True).start()
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
    os._exit(0)  # py-rattler now and then crashes while the interpreter shuts down


def _die_with_parent() -> None:
    sys.stdin.read()
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
    with subprocess.Popen(
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
    ) as child:
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
