"""Job objects of Windows: a process and all that it starts end together, however they end.

It is also copied next to a `kernel.json`, for `start_windows.py`: it needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from ctypes import wintypes
from types import TracebackType
from typing import Any

assert sys.platform == "win32"  # no other system has them

_EXTENDED_LIMITS = 9
_BREAKAWAY_OK = 0x0800  # what asks to be started outside of the job, and to outlive it, may
_END_WITH_LAST_HANDLE = 0x2000
_SUSPENDED = 0x4


class _Limits(ctypes.Structure):
    """`JOBOBJECT_EXTENDED_LIMIT_INFORMATION`; of it, only `flags` is used."""

    _fields_ = (
        ("times", ctypes.c_int64 * 2),
        ("flags", wintypes.DWORD),
        ("working_set", ctypes.c_size_t * 2),
        ("processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("classes", wintypes.DWORD * 2),
        ("counters", ctypes.c_uint64 * 6),
        ("memory", ctypes.c_size_t * 4),
    )


_system = ctypes.WinDLL("kernel32", use_last_error=True)
_system.CreateJobObjectW.argtypes = (ctypes.c_void_p, wintypes.LPCWSTR)
_system.CreateJobObjectW.restype = wintypes.HANDLE
_system.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD)
_system.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
_system.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
_system.CloseHandle.argtypes = (wintypes.HANDLE,)
_system.GetCurrentProcess.restype = wintypes.HANDLE
_resume = ctypes.WinDLL("ntdll").NtResumeProcess
_resume.argtypes = (wintypes.HANDLE,)


class Job:
    """A job object. The processes in it, and those that they start, end when this process does or drops the object."""

    def __init__(self) -> None:
        self._handle: int | None = None
        self._handle = _checked(_system.CreateJobObjectW(None, None))
        self._limit(_END_WITH_LAST_HANDLE | _BREAKAWAY_OK)

    def add(self, process: int | None = None) -> None:
        """Put a process in it, given by its handle; by default this one."""
        handle = _system.GetCurrentProcess() if process is None else process
        _checked(_system.AssignProcessToJobObject(self._handle, handle))

    def end(self) -> None:
        """End all processes in it."""
        _system.TerminateJobObject(self._handle, 1)

    def release(self) -> None:
        """Let the processes in it outlive this one."""
        self._limit(0)

    def _limit(self, flags: int) -> None:
        limits = _Limits(flags=flags)
        size = ctypes.sizeof(limits)
        _checked(_system.SetInformationJobObject(self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), size))

    def __del__(self) -> None:
        if self._handle is not None:
            _system.CloseHandle(self._handle)


class JobPopen(subprocess.Popen[Any]):
    """A child in a job: to end it, or this process, ends what it has started as well."""

    def __init__(self, command: str | list[str], *, creationflags: int = 0, **options: Any) -> None:
        self._job = Job()
        super().__init__(command, creationflags=creationflags | _SUSPENDED, **options)
        handle = int(self._handle)
        try:
            self._job.add(handle)
        except OSError:
            super().terminate()
            raise
        _resume(handle)

    def terminate(self) -> None:
        """End the child and all that it has started, also if it has ended itself."""
        self._job.end()

    kill = terminate

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the child; what it has started goes on, unless there was an error."""
        super().__exit__(kind, error, trace)
        if kind is None:
            self._job.release()


def _checked(result: int | None) -> int:
    if not result:
        raise ctypes.WinError(ctypes.get_last_error())
    return result
