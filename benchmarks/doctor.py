"""How long `doctor`, `list` and `kernels` take with many environments and kernelspecs.

    python benchmarks/doctor.py PREFIX --environments 100 --kernels 200

PREFIX is an environment with ipykernel that mambakernels made; it is copied by hard links, each copy with records of
its own, and registered as often as asked. `--different` makes each copy's records differ in size, so that nothing read
of one is known of another. Prints the wall time of each command, the smallest and the median of `--rounds`, in seconds,
and the smallest processor time, which says more on a machine that is busy otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mambakernels import environments, kernels
from mambakernels.environments import MANIFEST
from mambakernels.kernels import registration
from mambakernels.paths import Root

_COMMANDS = (("doctor",), ("list",), ("kernels",))
_CALLS = ("conda", "mamba", "micromamba")


def main() -> None:
    """Read the command line, make the copies, measure and print."""
    options = _parse()
    source = options.prefix.absolute()
    with tempfile.TemporaryDirectory(
        prefix="doctor-", dir=source.parent
    ) as scratch:  # the same file system: hard links
        root = Root(Path(scratch) / "root")
        os.environ |= {"MAMBAKERNELS_ROOT": str(root.path), "JUPYTER_DATA_DIR": f"{scratch}/jupyter"}
        for number in range(options.environments):
            _copy(source, root.environments / f"env-{number:03}", different=options.different and number)
        _register(root, options.kernels)
        calls = _watched(Path(scratch))
        print(f"{len(environments.list_environments(root))} environments, {len(kernels.list(root=root))} kernels")
        for command in _COMMANDS:
            times = [_time(command) for _ in range(options.rounds)]
            wall, busy = zip(*times, strict=True)
            median = statistics.median(wall)
            print(
                f"{command[0]:8} {min(wall):.2f} s  (median {median:.2f} of {len(wall)}; processor {min(busy):.2f} s)"
            )
        print(f"calls of {', '.join(_CALLS)}: {calls.read_text().splitlines() if calls.exists() else 'none'}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("prefix", type=Path, help="an environment with ipykernel that mambakernels made")
    parser.add_argument("--environments", type=int, default=100)
    parser.add_argument("--kernels", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--different", action="store_true", help="no two environments share a record")
    return parser.parse_args()


def _copy(source: Path, target: Path, *, different: int) -> None:
    shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    for record in (target / "conda-meta").glob("*.json"):
        content = record.read_bytes()
        record.unlink()
        record.write_bytes(content + b" " * different)
    manifest = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    (target / MANIFEST).unlink()
    (target / MANIFEST).write_text(json.dumps({**manifest, "name": target.name}), encoding="utf-8")


def _register(root: Root, count: int) -> None:
    made = environments.list_environments(root)
    for number in range(count):
        again = number // len(made)
        registration.register_kernels(made[number % len(made)], variant=f"v{again}" if again else None)


def _watched(scratch: Path) -> Path:
    """Put programs first on PATH that write down that they were called; return the file where."""
    calls, programs = scratch / "calls", scratch / "bin"
    programs.mkdir()
    for name in _CALLS:
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{calls}"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return calls


def _time(command: tuple[str, ...]) -> tuple[float, float]:
    started, before = time.perf_counter(), os.times()
    done = subprocess.run([sys.executable, "-m", "mambakernels", *command], capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - started, os.times()
    assert "Error" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, busy


if __name__ == "__main__":
    main()
