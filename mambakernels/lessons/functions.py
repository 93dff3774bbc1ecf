"""Plain functions in other processes: compared on kernels, called on each kernel, or called in a fresh Python.

A numeric library reads its thread count and chooses its code path once, when it loads. So a lesson that compares thread
counts, code paths or BLAS libraries needs other processes than its own kernel.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from typing import Any

from mambakernels.lessons.compared import Compared
from mambakernels.lessons.evidence import EVIDENCE, Evidence
from mambakernels.numeric.threads import THREAD_VARIABLES, thread_variables
from mambakernels.numeric.user_code import UserCode, user_codes

_LAST_LINES = 25
_STATUS_SECONDS = 0.5
_NOT_FROM_CURRENT_FOLDER = "import sys; sys.path[:] = [path for path in sys.path if path]; "
_ANSWER = _NOT_FROM_CURRENT_FOLDER + "from mambakernels.bench import on_request; on_request.main()"
_MARK = "\x1fvalue\x1f"
_CALL = f"""\
import json, linecache, sys, traceback
request = json.loads(sys.stdin.read())
space, source, file = {{"__name__": "called"}}, request["source"], "<" + request["function"] + ">"
linecache.cache[file] = len(source), None, source.splitlines(True), file
try:
    exec(compile(source, file, "exec"), space)
    value = space[request["function"]](*request["arguments"])
except Exception:
    traceback.print_exc()
    sys.exit(1)
evidence = sys.modules.get("mambakernels.lessons.evidence")
seen = [[one.controls, one.samples, one.disturbed] for one in evidence.EVIDENCE] if evidence else []
sys.stdout.write({_MARK!r} + json.dumps([value, seen], default=lambda one: one.tolist()))
"""

Function = Callable[..., Any]


class ElsewhereError(RuntimeError):
    """A function failed in another process; the message names the process and includes its last lines."""


def compare(
    functions: Function | Sequence[Function] | Mapping[str, Function],
    *,
    kernels: str | Sequence[str] = (),
    setup: Function | None = None,
    sizes: Sequence[int] = (),
    check: Function | None = None,
    flops: Callable[[int], float] | None = None,
    threads: int | Sequence[int] = (),
    budget: float = 10.0,
    margin: float = 0.05,
) -> Compared:
    """Measure functions on kernels, in turns and in rounds: `mambakernels.compare`, for notebooks on any kernel.

    `kernels` are names or patterns; by default, all that mambakernels registered. Those that cannot be measured are
    left out, and a line is printed for each. `setup` makes the arguments, one or a tuple; with `sizes`, from
    the size. `check` gets the arguments and the result, and returns whether it is right. `flops` gives a call's
    floating-point operations from the size. `budget` is seconds of measuring, after the kernels have started.

    Raises NotPortableError if a function cannot be sent, and ElsewhereError if nothing can be measured.
    """
    codes = user_codes(functions, setup=setup, check=check, flops=flops, sizes=sizes)
    answer = _ask(
        "comparison",
        codes=[asdict(code) for code in codes],
        kernels=_names(kernels),
        sizes=list(sizes),
        threads=[threads] if isinstance(threads, int) else list(threads),
        budget=budget,
        margin=margin,
    )
    found = Compared.from_dict(answer)
    for line in found.notes:
        print(line)  # noqa: T201 (in a notebook)
    return found


def on_kernels(
    function: Function,
    *arguments: Any,
    kernels: str | Sequence[str] = (),
    threads: int | None = None,
    limit: float = 60,
) -> dict[str, Any]:
    """Call a function on each kernel and return its values by kernel: NumPy's numbers and arrays as numbers and lists.

    `kernels` are names or patterns; by default, all that mambakernels registered. Kernels on which it fails or takes
    longer than `limit` seconds are left out, and a line is printed for each. `threads` is how many their libraries use
    (None: as each kernel is registered).
    """
    code = UserCode.of_function(function.__name__, function)
    answer = _ask(
        "values", code=asdict(code), arguments=arguments, kernels=_names(kernels), threads=threads, limit=limit
    )
    for line in answer["left_out"]:
        print(line)  # noqa: T201 (in a notebook)
    values: dict[str, Any] = answer["values"]
    return values


def in_fresh_process(
    function: Function,
    *arguments: Any,
    variables: Mapping[str, str] = {},
    threads: int | None = None,
    limit: float = 60,
) -> Any:
    """Call a function in a fresh process of this kernel's Python and return its value, as `on_kernels` does.

    `variables` are set before any library loads; `threads` is how many its libraries use (None: as in this kernel).
    Raises ElsewhereError, with the last lines of the process, if it fails or takes longer than `limit` seconds.
    """
    code = UserCode.of_function(function.__name__, function)
    settings = ", ".join(f"{name}={value}" for name, value in variables.items())
    where = f"{function.__name__}, called in a fresh process{f' with {settings}' * bool(settings)},"
    request = {"source": code.source, "function": code.function, "arguments": arguments}
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _CALL],
            input=json.dumps(request),
            env={**os.environ, **thread_variables(threads), **variables},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ElsewhereError(f"{where} took longer than {limit:g} seconds.") from error
    if ended.returncode:
        raise ElsewhereError(f"{where} ended with {_ending(ended.returncode)}.\n{_last_lines(ended.stderr)}")
    value, seen = json.loads(ended.stdout.rpartition(_MARK)[2])
    there = f"a fresh process {sorted(variables.items())}"
    EVIDENCE.extend(Evidence(tuple(controls), samples, disturbed, there) for controls, samples, disturbed in seen)
    return value


def _names(kernels: str | Sequence[str]) -> list[str]:
    return [kernels] if isinstance(kernels, str) else list(kernels)


def _ask(what: str, **request: Any) -> dict[str, Any]:
    """Return the answer of a process that has mambakernels; it ends with this call, however that ends."""
    folder = _kernelspec_folder()
    line = json.dumps({"what": what, "own": folder.name if folder else "python3", **request})
    command = [_python_with_mambakernels(folder), "-c", _ANSWER]
    with (
        _status() as show,
        TemporaryFile() as said,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=_variables(folder),
            encoding="utf-8",
            start_new_session=True,
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(line + "\n")
            child.stdin.flush()
            last: dict[str, Any] = {}
            for text in child.stdout:
                last = json.loads(text)
                if "step" in last:
                    show(f"{last['step']} {last['detail']}")
        finally:
            child.stdin.close()  # it ends when its input does
        if "answer" not in last:
            said.seek(0)
            raise ElsewhereError(last.get("error") or _last_lines(said.read().decode(errors="replace")))
        answer: dict[str, Any] = last["answer"]
        return answer


def _python_with_mambakernels(folder: Path | None) -> str:
    """Return the Python that registered this kernel, or this one if it has mambakernels itself."""
    document = json.loads((folder / "kernel.json").read_bytes()) if folder else {}
    found: str | None = document.get("metadata", {}).get("mambakernels", {}).get("stand_in")
    if found is not None and os.access(found, os.X_OK):
        return found
    if find_spec("mambakernels.bench") is not None:
        return sys.executable
    if found is None:
        raise ElsewhereError(
            "This kernel was not registered by mambakernels, so other kernels cannot be started from here. Choose one "
            "that it has registered, or install mambakernels in this environment: pip install mambakernels"
        )
    raise ElsewhereError(
        f"The Python that registered this kernel is gone: {found}. Register it again: mambakernels register"
    )


def _kernelspec_folder() -> Path | None:
    """Return the folder of this kernel's kernelspec if mambakernels wrote it: Python was started with its start.py."""
    words = [Path(word) for word in sys.orig_argv if Path(word).name == "start.py"]
    return next((word.parent for word in words if (word.parent / "kernel.json").is_file()), None)


def _variables(folder: Path | None) -> dict[str, str]:
    """Return this process' variables without those that its kernelspec set, and without any thread count.

    The folder of this kernel becomes part of Jupyter's path: the server may look in other folders.
    """
    variables = dict(os.environ)
    spec = json.loads((folder / "kernel.json").read_bytes()).get("env", {}) if folder else {}
    for name in {*spec, *THREAD_VARIABLES}:
        head, templated, _ = str(spec.get(name, "")).partition(f"${{{name}}}")
        kept = variables.pop(name, "")
        if templated and kept.startswith(head):
            variables[name] = kept[len(head) :]
    if folder is not None and folder.parent.name == "kernels":
        data, path = str(folder.parent.parent), variables.get("JUPYTER_PATH")
        variables["JUPYTER_PATH"] = os.pathsep.join(filter(None, (data, path)))
    return variables


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a line in place of the one before; without IPython, it shows nothing."""
    if "IPython" not in sys.modules:
        yield lambda _: None
        return
    from IPython.display import DisplayHandle

    handle: Any = DisplayHandle()  # type: ignore[no-untyped-call]
    handle.display({"text/plain": ""}, raw=True)
    shown = [-_STATUS_SECONDS]

    def show(line: str) -> None:
        if monotonic() >= shown[-1] + _STATUS_SECONDS:
            shown.append(monotonic())
            handle.update({"text/plain": line}, raw=True)

    try:
        yield show
    finally:
        handle.update({"text/plain": ""}, raw=True)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    illegal = " (this processor cannot run that code path)" if -code == signal.SIGILL else ""
    return f"{signal.Signals(-code).name}{illegal}"


def _last_lines(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-_LAST_LINES:])
