"""Whole-process times of creating environments and of the channel, side by side, alternating.

    python benchmarks/create.py create --root ROOT [--rounds 11]     our create against micromamba's (MAMBA_EXE)
    python benchmarks/create.py overhead --root ROOT [--rounds 11]   ours on micromamba against plain micromamba
    python benchmarks/create.py channel [--rounds 3]                 the channel built cold, and with nothing to do

`create` uses the channel and the warm package cache under ROOT. Figures are medians of wall-clock seconds; compare the
ratios, which are taken pair by pair. Use a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mambakernels.channels import wheels
from mambakernels.paths import Root

SPECS = ("python", "numpy", "libblas=*=*openblas", "threadpoolctl", "ipykernel")


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("create", "overhead", "channel"))
    parser.add_argument("--root", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.what != "channel":
        engine = "rattler" if arguments.what == "create" else "micromamba"
        create(Root.find(arguments.root), engine, arguments.rounds)
    else:
        channel(arguments.rounds)


def create(root: Root, engine: str, rounds: int) -> None:
    """Our `create`, whole process, against micromamba's on the same channel, each with its own warm cache.

    Ours on micromamba as well registers the kernel: what is measured then is all that we add.
    """
    wheels.ensure(root, SPECS)
    ours = [sys.executable, "-m", "mambakernels", "create", "bench", *SPECS, "--quiet"]
    ours += ["--channel", wheels.url(root), "--engine", engine, "--root", str(root.path)]
    ours += ["--no-register"] if engine == "rattler" else []
    theirs = None
    scratch = Path(tempfile.mkdtemp())
    os.environ["JUPYTER_DATA_DIR"] = str(scratch / "jupyter")
    if executable := os.environ.get("MAMBA_EXE"):
        theirs = [executable, "create", "--no-rc", "--override-channels", "--yes", "-q", "-r", str(scratch)]
        theirs += ["-p", str(scratch / "envs" / "bench"), *SPECS, "-c", wheels.url(root)]
    pairs = []
    for number in range(rounds + 1):
        shutil.rmtree(root.environments / "bench", ignore_errors=True)
        shutil.rmtree(scratch / "envs", ignore_errors=True)
        pair = (timed(ours), timed(theirs) if theirs else float("nan"))
        if number:  # the first fills the caches
            pairs.append(pair)
    packages = len(list((root.environments / "bench" / "conda-meta").glob("*.json")))
    shutil.rmtree(root.environments / "bench")
    shutil.rmtree(scratch)
    report(f"create, {packages} packages", [pair[0] for pair in pairs])
    if theirs:
        report("micromamba create, the same", [pair[1] for pair in pairs])
        report("ratio, pair by pair", [pair[0] / pair[1] for pair in pairs])
        report("difference, pair by pair", [pair[0] - pair[1] for pair in pairs])


def channel(rounds: int) -> None:
    """`channel build` with MKL and OpenBLAS from nothing (pip's cache warm after the first), then nothing to do."""
    cold, idle = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "mambakernels", "channel", "build", "--quiet", "--root", folder]
            command += ["libblas=*=*openblas", "libblas=*=*mkl"]
            cold.append(timed(command))
            idle.append(timed(command))
    report("channel build, cold", cold)
    report("channel build, nothing to do", idle)


def timed(command: list[str]) -> float:
    """Run a command to its end and return the seconds it took."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def report(what: str, values: list[float]) -> None:
    """Print one line: median, and from lowest to highest."""
    print(f"{what:32} {statistics.median(values):7.3f}   {min(values):7.3f} … {max(values):.3f}   {len(values)} rounds")


if __name__ == "__main__":
    main()
