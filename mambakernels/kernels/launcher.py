"""The command of a kernelspec, which starts the environment's program, or else a kernel that explains its absence.

On POSIX a shell becomes the program (`exec`): nothing stays between Jupyter and the kernel. On Windows, which has no
such step, a small Python stays, and all that the kernel starts ends with it. Where the program or its module is gone,
`mambakernels.kernels.standin` takes its place, in the Python that mambakernels runs in.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mambakernels.kernels.specs import LAUNCHERS
from mambakernels.system import process

FILES = Path(__file__).parent / "launch"
_JOB = FILES.parents[1] / "system" / "job.py"
_BASH = ("/bin/bash", "/usr/bin/bash")
SHELL_FILE, PYTHON_FILE, WINDOWS_FILE = LAUNCHERS
_IPYKERNEL = "ipykernel_launcher"
_DYLD = re.compile(r"DYLD_\w+", re.ASCII)


@dataclass(frozen=True)
class Forking:
    """A kernel's command, for a process of its program that forks kernels: `command` starts that process.

    `orig_argv` and `argv` are what `sys` has in the kernel, `argv` without the name of the program; `shell` says
    whether a shell starts the program.
    """

    command: list[str]
    orig_argv: list[str]
    argv: list[str]
    shell: bool


def command(words: Sequence[str], folder: Path) -> list[str]:
    """Return the `argv` of a kernelspec in `folder` whose process becomes the command `words`."""
    words = list(words)
    if runs_module(words):
        words.insert(words.index("-m"), str(folder / PYTHON_FILE))
    if os.name == "nt":
        # Not a virtual environment's Python, which would itself start this one, and is gone sooner.
        python = getattr(sys, "_base_executable", sys.executable)
        return [python, "-I", "-S", str(folder / WINDOWS_FILE), sys.executable, *words]
    return [*_shell(), str(folder / SHELL_FILE), sys.executable, *words]


def program(argv: Sequence[str]) -> list[str]:
    """Return the command that an `argv` from `command` starts: the inverse of `command`."""
    names = [Path(word).name for word in argv]
    first = next((names.index(name) + 2 for name in (SHELL_FILE, WINDOWS_FILE) if name in names), 0)
    return [word for word in argv[first:] if Path(word).name != PYTHON_FILE]


def forking(argv: Sequence[str]) -> Forking | None:
    """Return how kernels of this complete command are forked; None if it does not start ipykernel in the usual way."""
    names = [Path(word).name for word in argv]
    shell = SHELL_FILE in names
    first = names.index(SHELL_FILE) + 2 if shell else 0
    if not runs_module(program(argv)) or not Path(argv[first]).is_absolute():
        return None
    end = argv.index("-m")
    if list(argv[end + 1 : end + 2]) != [_IPYKERNEL]:
        return None
    options = [word for word in argv[:end] if Path(word).name != PYTHON_FILE]
    return Forking([*options, str(FILES / "fork.py")], list(argv[first:]), list(argv[end + 2 :]), shell=shell)


def with_dyld_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return a kernelspec's `env` with its DYLD_* a second time, for `start.sh`: macOS takes them from the shell."""
    lost = [f"{name}={shlex.quote(value)}" for name, value in env.items() if _DYLD.fullmatch(name)]
    return {**env, "MAMBAKERNELS_DYLD": " ".join(lost)} if lost else {**env}


def files(words: Sequence[str]) -> dict[str, Path]:
    """Return the files that this command needs in the kernelspec's folder, by name."""
    needed = [WINDOWS_FILE if os.name == "nt" else SHELL_FILE, *([PYTHON_FILE] if runs_module(words) else [])]
    return {name: FILES / name for name in needed} | ({_JOB.name: _JOB} if os.name == "nt" else {})


def runs_module(words: Sequence[str]) -> bool:
    """Whether the command is a Python that runs a module: options, then `-m`."""
    options = words[1 : words.index("-m")] if "-m" in words else []
    is_python = Path(words[0]).name.startswith("python")
    return is_python and "-m" in words and all(word.startswith("-") for word in options)


@cache
def _shell() -> tuple[str, ...]:
    """Return the shell: bash, which passes on variables of any name; with -p it reads no file of the user's.

    The system's bash comes first: one on PATH may belong to an environment, and be removed with it.
    """
    bash = next((path for path in _BASH if os.access(path, os.X_OK)), None) or process.which("bash")
    return (str(bash), "-p") if bash else ("/bin/sh",)
