"""Starts a kernel on Windows, where no program can become another, and ends with it; or else starts the stand-in.

    PYTHON -I -S start_windows.py STAND_IN PROGRAM WORDS...

It is copied next to `kernel.json` and run by the Python below that of mambakernels, without its packages. The kernel
has Jupyter's handles, so that interrupts reach it directly. All that it starts ends with this process, and that ends
with the kernel or with Jupyter.
"""  # noqa: INP001 (no part of a package where it runs)

from __future__ import annotations

import os
import subprocess
import sys

assert sys.platform == "win32"

# Set for the environment; they would hide the stand-in's packages.
_HIDING = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE")
_STAND_IN = (
    "import sys; sys.path[:] = filter(None, sys.path); import mambakernels.kernels.standin as kernel; kernel.main()"
)
_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (pathlib is slow to import)


def main() -> None:
    """Start the command in a job with this process, and exit as it does."""
    sys.path.insert(0, _FOLDER)
    from job import Job

    job = Job()
    job.add()
    status = _wait(_start(*sys.argv[1:]))
    os._exit(status - (1 << 32) if status >> 31 else status)  # without dropping the job, which would end us first


def _start(stand_in: str, *words: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(words, close_fds=False)
    except OSError as error:
        sys.stderr.write(
            f"mambakernels: the program of this kernel cannot be started: {words[0]}: {error.strerror}\n"
            "If its environment was moved: mambakernels register NEW_PATH. If it was removed: mambakernels prune.\n"
        )
        sys.stderr.flush()
    environ = {name: value for name, value in os.environ.items() if name not in _HIDING}
    try:
        return subprocess.Popen([stand_in, "-c", _STAND_IN, _FOLDER, "", *words], env=environ, close_fds=False)
    except OSError:
        sys.exit(
            f"mambakernels itself is gone, so the notebook cannot show this: {stand_in}\n"
            "Install it again, then: mambakernels register NAME"
        )


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Return the exit status of the child once it or Jupyter has ended; Jupyter passes on a handle of its process."""
    import _winapi

    parent = os.environ.get("JPY_PARENT_PID", "")
    if parent.isdigit():
        handles = [int(child._handle), int(parent)]  # noqa: SLF001 (nothing else waits for two)
        try:
            _winapi.WaitForMultipleObjects(handles, False, _winapi.INFINITE)  # noqa: FBT003
        except OSError:  # it is no handle of ours
            return child.wait()
        return child.poll() or 0
    return child.wait()


if __name__ == "__main__":
    main()
