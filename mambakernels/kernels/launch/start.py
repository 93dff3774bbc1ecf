"""Runs `-m MODULE WORDS...` in this process, as `python -m` would; if that fails, becomes the stand-in kernel.

    PROGRAM start.py -m MODULE WORDS...

It is copied next to `kernel.json` and run by the environment's own Python (3.8 or later), so it relies on little: only
the standard library, and of that only modules that ipykernel loads anyway.
"""  # noqa: INP001 (no part of a package where it runs)

from __future__ import annotations

import os
import runpy
import sys

# Set for the environment; they would hide the stand-in's packages.
_HIDING = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "LD_PRELOAD")
_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_STAND_IN = (
    "import sys; sys.path[:] = filter(None, sys.path); import mambakernels.kernels.standin as kernel; kernel.main()"
)


def main() -> None:
    """Run the module that the command line names; an error before it serves as a kernel is shown in the notebook."""
    command = list(sys.argv)
    module = sys.argv[2]
    del sys.argv[1:3]
    _search_as_dash_m()
    _end_with_jupyter()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception as error:  # a broken package may raise anything when it is imported, and the user must see it
        if not _is_start(error, module):
            raise
        _become_stand_in([sys.executable, *command])


def _search_as_dash_m() -> None:
    """Put the working directory first on the path, in place of this script's folder, unless Python is in safe mode."""
    if getattr(sys.flags, "safe_path", sys.flags.isolated):
        return
    try:
        sys.path[0] = os.getcwd()  # noqa: PTH109 (pathlib is slow to import)
    except OSError:  # it is gone: `python -m` continues without it
        del sys.path[0]


def _end_with_jupyter() -> None:
    """End this kernel and its children when the process that started it is gone, however that ended.

    ipykernel notices only in some versions and under some parents, and leaves children. Where the system has no
    pidfd (macOS, Windows, Python 3.8), ipykernel's way remains.
    """
    parent = os.getppid()
    if os.environ.get("JPY_PARENT_PID") != str(parent) or not hasattr(os, "pidfd_open"):
        return
    import threading

    try:
        watched = os.pidfd_open(parent)
    except OSError:  # it has ended already, or a sandbox forbids the call
        return
    threading.Thread(target=_outlive, args=(watched,), name="ends with Jupyter", daemon=True).start()


def _outlive(parent: int) -> None:
    import select
    import signal

    select.select([parent], [], [])
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _is_start(error: Exception, module: str) -> bool:
    """Whether an error came before the kernel served; for other kernels than ipykernel, judged by its type."""
    if module != "ipykernel_launcher":
        return isinstance(error, (ImportError, SyntaxError, OSError))
    kernelapp = sys.modules.get("ipykernel.kernelapp")
    app = getattr(getattr(kernelapp, "IPKernelApp", None), "_instance", None)
    return not hasattr(app, "io_loop")


def _become_stand_in(words: list[str]) -> None:
    # The cause may be a json.py in the notebook's folder: from here on use the standard library only.
    home = sys.base_prefix if os.name == "nt" else os.path.dirname(os.__file__)  # noqa: PTH120 (Windows has DLLs, too)
    sys.path[:] = [path for path in sys.path if path.startswith(home)]
    import json
    import subprocess
    import traceback
    from pathlib import Path

    _give_back_output()
    said = traceback.format_exc()
    print(said, file=sys.__stderr__, flush=True)
    folder = Path(__file__).absolute().parent
    document = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
    stand_in = document["metadata"]["mambakernels"]["stand_in"]
    environ = {name: value for name, value in os.environ.items() if name not in _HIDING}
    if any(environ.get(name) for name in _LIBRARIES):
        test = [stand_in, "-c", "import mambakernels.kernels.standin"]
        if subprocess.call(test, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            environ = {name: value for name, value in environ.items() if name not in _LIBRARIES}
    argv = [stand_in, "-c", _STAND_IN, str(folder), said[-20000:], *words]  # one word may have 128 KiB
    if os.name == "nt":  # no exec there; it needs Jupyter's handles, and `start_windows.py` ends it with this process
        sys.exit(subprocess.call(argv, env=environ, close_fds=False))
    os.execve(stand_in, argv, environ)  # noqa: S606 (no shell is wanted)


def _give_back_output() -> None:
    """Undo ipykernel's redirection of stdout and stderr, for the process that exec starts."""
    for stream in (sys.stdout, sys.stderr):
        kept, taken = (getattr(stream, f"_original_stdstream_{end}", None) for end in ("copy", "fd"))
        if kept is not None and taken is not None:
            os.dup2(kept, taken)


if __name__ == "__main__":
    main()
