"""Kernel processes on this machine: started as usual or forked, and ended with all that they leave running."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from mambakernels.runs.kernelspecs import Kernel

if TYPE_CHECKING:
    from mambakernels.runs.warm import Warm

UNKNOWN_STATUS = 256
"""The exit status of a kernel whose warm process ended before it, so that nobody can know it; no process has this."""
_START_TIME = 19  # of the fields of /proc/PID/stat after the name


class KernelProcess(LocalProvisioner):
    """Starts a kernel, by a fork of a warm process if that can be; what it leaves running ends with it."""

    def __init__(self, warm: Warm | None, **traits: Any) -> None:
        super().__init__(**traits)
        self._warm = warm

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """Start the kernel and return its connection."""
        kernel = None
        if self._warm is not None:
            kernel = await self._warm.fork(cmd, env=options["env"], folder=options["cwd"], log=options["stdout"].name)
        if kernel is None:
            return await super().launch_kernel(cmd, **options)
        self.process = cast("Any", kernel)  # it has the part of Popen that is used
        self.pid, self.pgid, self.cwd = kernel.pid, kernel.pid, options["cwd"]
        return self.connection_info

    async def poll(self) -> int | None:
        """Return the exit status, or None while the kernel runs."""
        before = self.process.returncode if self.process is not None else 0
        status = await super().poll()
        if before is None and status is not None and self.pgid and sys.platform != "win32":
            with contextlib.suppress(OSError):  # nothing is left, as usual
                os.killpg(self.pgid, signal.SIGKILL)
        return status


def provide_process(manager: AsyncKernelManager, kernel: Kernel, warm: Warm | None) -> None:
    """Have a manager start its kernel as a `KernelProcess`, unless the user has chosen another way."""
    if not is_local(kernel):
        return
    manager.kernel_id = str(uuid.uuid4())
    manager.provisioner = KernelProcess(warm, kernel_id=manager.kernel_id, kernel_spec=kernel.spec, parent=manager)


def is_local(kernel: Kernel) -> bool:
    """Whether a kernel is an ordinary process of this machine: no provisioner of the user's starts it."""
    chosen = kernel.spec.metadata.get("kernel_provisioner")
    return not (chosen or os.environ.get("JUPYTER_DEFAULT_PROVISIONER_NAME"))


def descendants(pid: int) -> set[tuple[int, str]]:
    """Return the processes that descend from this one, each with the time of its start; none where /proc is not."""
    return set(_descendants(pid))


def end(processes: set[tuple[int, str]]) -> None:
    """Kill those of the processes that still run."""
    for pid, started in processes:
        if _start_time(pid) == started:
            with contextlib.suppress(OSError):  # it has just ended, or belongs to another user
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[tuple[int, str]]:
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            for child in map(int, file.read_text().split()):
                if (started := _start_time(child)) is not None:
                    yield child, started
                yield from _descendants(child)


def _start_time(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[_START_TIME]
    except OSError:
        return None
