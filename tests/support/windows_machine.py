"""The Windows that the try-out runs on: packages of its Python, prefixes made by hand, and its processes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from support.conda_packages import File, Package, write_channel

HERE = Path(sys.prefix)
LIBRARY = Path(HERE.anchor, "python311.zip")  # from make.py
SITE = HERE / "Lib" / "site-packages"
SHIPPED = HERE / "share" / "jupyter" / "kernels" / "python3"
_PATIENCE = 120.0
_SERVICES = {"explorer.exe", "plugplay.exe", "rpcss.exe", "services.exe", "svchost.exe", "winedevice.exe"}


@cache
def python_files() -> dict[str, File]:
    """CPython as its embeddable package has it: the standard library in one archive."""
    code = [*HERE.glob("*.exe"), *HERE.glob("*.dll"), *HERE.glob("DLLs/*")]
    return {
        **{file.relative_to(HERE).as_posix(): File(file.read_bytes()) for file in code},
        LIBRARY.name: File(LIBRARY.read_bytes()),
    }


@cache
def kernel_files() -> dict[str, File]:
    """ipykernel's kernelspec, and its packages by the folder in which they are installed here."""
    shipped = {f"share/jupyter/kernels/python3/{file.name}": File(file.read_bytes()) for file in SHIPPED.iterdir()}
    return {**shipped, "Lib/site-packages/here.pth": File(str(SITE).encode())}


def prefix_by_hand(
    prefix: Path, *, scripts: Mapping[str, str] | None = None, state: Mapping[str, Any] | None = None
) -> Path:
    """Make a prefix as conda lays it out, with these activation scripts and this `conda-meta/state`."""
    files = {name: file.content for name, file in {**python_files(), **kernel_files()}.items()}
    files["conda-meta/history"] = b""
    files |= {f"etc/conda/activate.d/{name}": text.encode() for name, text in (scripts or {}).items()}
    if state is not None:
        files["conda-meta/state"] = json.dumps(state).encode()
    for name, content in files.items():
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_bytes(content)
    return prefix


def make_channel(folder: Path) -> None:
    """Write a channel with Python, ipykernel and a package with an activation script."""
    version = ".".join(map(str, sys.version_info[:3]))
    packages = [
        Package("python", version, "h1_0", "win-64", files=python_files()),
        Package("pip", "24.0", noarch="generic"),  # python depends on it, by the engine's doing; nothing runs it
        Package("ipykernel", "6.0", subdir="win-64", depends=("python",), files=kernel_files()),
        Package(
            "tool",
            subdir="win-64",
            files={
                "Scripts/tool.bat": File(b'@"%~dp0..\\python.exe" -c "import sys; print(ascii(sys.argv[1:]))" %*\r\n'),
                "etc/conda/activate.d/tool.bat": File(b'@set "TOOL_HOME=%CONDA_PREFIX%\\tool"\r\n'),
            },
        ),
    ]
    write_channel(packages, folder)


def run_in(client: BlockingKernelClient, code: str) -> str:
    """Return what a cell prints, or the traceback of what it raises."""
    said: list[str] = []

    def note(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            said.append(content["text"])
        elif message["msg_type"] == "error":
            said.extend(content["traceback"])

    client.execute_interactive(code, timeout=_PATIENCE, output_hook=note, allow_stdin=False)
    return "".join(said)


def below(pid: int) -> list[int]:
    """Return the processes that descend from one. psutil's own way relies on start times, which Wine lacks."""
    parents = {process.pid: process.ppid() for process in psutil.process_iter()}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one and child not in found]
    return found[1:]


def gone(pids: Iterable[int]) -> bool:
    """Whether all these processes end within the patience of these tests."""
    end = time.monotonic() + _PATIENCE
    left = set(pids)
    while left and time.monotonic() < end:
        left = {pid for pid in left if psutil.pid_exists(pid)}
        time.sleep(0.1)
    return not left


def running() -> dict[int, str]:
    """Return the commands of this Windows by their numbers outside of it, without its services.

    Inside, Wine shows no commands of other processes.
    """
    mark = f"WINEPREFIX={os.environ['WINEPREFIX']}".encode()
    found = {}
    for process in Path("Z:/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            ours = words[0].lower().endswith(b".exe") and mark in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is another user's
        if ours and words[0].decode().lower().rpartition("\\")[2] not in _SERVICES:
            found[int(process.name)] = b" ".join(words).decode(errors="replace")
    return found


def left_over(before: Iterable[int]) -> list[str]:
    """Return what still runs, and did not before, when the patience of these tests is at its end."""
    end = time.monotonic() + _PATIENCE
    while left := [command for number, command in running().items() if number not in before]:
        if time.monotonic() > end:
            break
        time.sleep(0.5)
    return left
