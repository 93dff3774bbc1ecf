"""What a cell on four kernels costs, and 200 MB sent to them, next to ipyparallel: in one notebook kernel, alternating.

    VENV/bin/python benchmarks/sessions.py --kernels a,b,c,d --rounds 30

This Python needs mambakernels, ipyparallel and NumPy, the kernels need NumPy. One kernel of it holds both, at once: a
session of the four kernels, and a cluster of four engines. A client executes cells there as JupyterLab does and waits
until the kernel is idle again. Each round runs every way once, in the other order than the last. Memory is the sum of
the proportional set sizes of all processes of both, sampled while the array is sent and then read in every kernel.
Exits with 1 if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.manager import start_new_kernel

CELL = "1 + 1"
SETUP = """\
import numpy as np, ipyparallel as ipp
%load_ext mambakernels
cluster = ipp.Cluster(n=4, log_level=40)
view = cluster.start_and_connect_sync()[:]
view.block = True
view.activate()
A = np.random.default_rng(0).random(25_000_000)
"""
MORE_MILLISECONDS = 20
PUSH_SECONDS = 0.5
PUSH_MEGABYTES = 300


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", required=True, help="four names, with commas between")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pushes", type=int, default=3)
    options = parser.parse_args()
    names = options.kernels.replace(",", " ")
    with notebook_kernel() as notebook:
        notebook.run(SETUP)
        notebook.run(f"%%kernels {names}\nimport numpy as np")
        notebook.run("%px import numpy as np")
        cells = {"plain": CELL, "%%kernels": f"%%kernels {names}\n{CELL}", "%%px": f"%%px\n{CELL}"}
        took = alternate({name: lambda code=code: notebook.run(code) for name, code in cells.items()}, options.rounds)
        middle = {name: 1000 * statistics.median(samples) for name, samples in took.items()}
        for name, samples in took.items():
            print(f"{name:10} median {middle[name]:6.1f} ms, least {1000 * min(samples):6.1f} ms")
        pushed = pushes(notebook, options.pushes)
    more = middle["%%kernels"] - middle["plain"]
    seconds, megabytes = (statistics.median(values) for values in zip(*pushed["%kernels --push"], strict=True))
    print(f"more than the plain cell: {more:.1f} ms (limit {MORE_MILLISECONDS})")
    for name, values in pushed.items():
        print(f"{name:16} " + ", ".join(f"{second:.2f} s {size:.0f} MB" for second, size in values))
    return int(more > MORE_MILLISECONDS or seconds > PUSH_SECONDS or megabytes > PUSH_MEGABYTES)


def pushes(notebook: Notebook, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds that sending the array takes, and the most memory (MB) until all have read it."""
    ways = {
        "%kernels --push": ("%kernels --push A", "%%kernels\nA.sum()", "%%kernels\ndel A"),
        "view.push": ('view.push({"A": A})', "%%px\nA.sum()", "%%px\ndel A"),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            push, read, forget = ways[name]
            with memory(notebook.pid) as more:
                seconds = notebook.run(push)
                notebook.run(read)
            found[name].append((seconds, more()))
            notebook.run(forget)
    return found


def alternate(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every way once a round, in turn forwards and backwards; return the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            took = ways[name]()
            if number:  # the first round is a warm-up
                seconds[name].append(took)
    return seconds


class Notebook:
    """A kernel as a front end uses it."""

    def __init__(self, client: Any, pid: int) -> None:
        self._client = client
        self.pid = pid

    def run(self, code: str) -> float:
        """Execute a cell; return the seconds until the kernel is idle again."""
        begin = time.perf_counter()
        reply = self._client.execute_interactive(code, timeout=300, output_hook=lambda _: None)
        seconds = time.perf_counter() - begin
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"]["traceback"]))
        return seconds


@contextmanager
def notebook_kernel() -> Iterator[Notebook]:
    """Start a kernel of this Python."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        yield Notebook(client, manager.provisioner.pid)
    finally:
        client.execute_interactive("cluster.stop_cluster_sync()", timeout=60, output_hook=lambda _: None)
        manager.shutdown_kernel()


@contextmanager
def memory(pid: int) -> Iterator[Callable[[], float]]:
    """Yield a function that returns how many megabytes more a process and all below it had at most meanwhile."""
    before, most, over = settled(pid), 0.0, threading.Event()

    def sample() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, total(pid))
            over.wait(0.02)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield lambda: max(most, total(pid)) - before
    finally:
        over.set()
        sampler.join()


def settled(pid: int) -> float:
    """Return the memory once it does not shrink any more."""
    last, now = float("inf"), total(pid)
    while now < last - 1:
        time.sleep(0.5)
        last, now = now, total(pid)
    return now


def total(pid: int) -> float:
    """Return the proportional set sizes of a process and all below it, in megabytes."""
    kernel = psutil.Process(pid)
    kilobytes = 0
    for process in [kernel, *kernel.children(recursive=True)]:
        with contextlib.suppress(OSError, psutil.Error), Path(f"/proc/{process.pid}/smaps_rollup").open() as sizes:
            kilobytes += sum(int(line.split()[1]) for line in sizes if line.startswith("Pss:"))
    return kilobytes / 1000


if __name__ == "__main__":
    sys.exit(main())
