"""Our command line in a process that a signal interrupts at a line of its progress."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

_SECONDS = 120


def interrupted(*words: str | Path, at: str, number: int, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command, send it the signal once its progress shows `at`, and return what it printed and its status."""
    command = [sys.executable, "-m", "mambakernels", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, encoding="utf-8"
    ) as child:
        assert child.stderr is not None
        before = []
        for line in child.stderr:
            before.append(line)
            if at in line:
                child.send_signal(number)
                break
        out, after = child.communicate(timeout=_SECONDS)
    return subprocess.CompletedProcess(command, child.returncode, out, "".join(before) + after)


SIGNALS = ((signal.SIGINT, 130), (signal.SIGTERM, 143))
