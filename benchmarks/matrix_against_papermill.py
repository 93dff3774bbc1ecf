"""How long a matrix of runs takes against a loop over papermill's command line: whole processes, alternating.

    python benchmarks/matrix_against_papermill.py --kernels a,b,c,d --papermill VENV/bin/papermill --rounds 5

24 runs of a notebook of five trivial cells: four kernels (any that Jupyter lists) and six values of a parameter. Each
peer should be in an environment of its own: JupyterLab next to papermill makes papermill's start several times slower,
and would flatter us. `--mambakernels` is the Python that has mambakernels, by default this one. Each round runs every
way once, in the other order than the last. Prints the median of each and its ratio to papermill's; exits with 1 if a
ratio is above its limit.

Measured on two idle cores, Python 3.11, two rounds, ratios of medians to papermill 2.7 (31.8 s): started as usual 0.26
with one job and 0.26 with two, forked 0.13 and 0.13. While other programs kept the cores busy (load 7 to 18), three
rounds: 0.24, 0.21, 0.10 and 0.09.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat

CELLS = ("import math", "total = sum(range(n))", "print(total)", "math.sqrt(total)")
VALUES = range(1, 7)
# What is given to `run` in each way, and the highest ratio to papermill's time.
WAYS = {
    "started, one job": (["--no-fork"], 0.42),
    "started, two jobs": (["--no-fork", "-j", "2"], 0.33),
    "forked, one job": ([], 0.25),
    "forked, two jobs": (["-j", "2"], 0.18),
}


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", required=True, help="four names, with commas between")
    parser.add_argument("--papermill", default="papermill")
    parser.add_argument("--mambakernels", default=sys.executable, help="the Python that has mambakernels")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    kernels = options.kernels.split(",")
    with tempfile.TemporaryDirectory() as folder:
        notebook = write_notebook(Path(folder))
        ways: dict[str, Callable[[], None]] = {
            "papermill": lambda: papermill(options.papermill, notebook, kernels),
            **{name: matrix(options.mambakernels, notebook, kernels, words) for name, (words, _) in WAYS.items()},
        }
        seconds = alternate(ways, options.rounds)
    whole = statistics.median(seconds["papermill"])
    ratios = {name: statistics.median(samples) / whole for name, samples in seconds.items()}
    for name, samples in seconds.items():
        limit = f" (limit {WAYS[name][1]})" if name in WAYS else ""
        print(f"{name:18} median {statistics.median(samples):6.2f} s, ratio {ratios[name]:.3f}{limit}, {samples}")
    return int(any(ratios[name] > limit for name, (_, limit) in WAYS.items()))


def write_notebook(folder: Path) -> Path:
    """Write the notebook, the first of its cells tagged `parameters`."""
    cells = [nbformat.v4.new_code_cell("n = 10", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in CELLS]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = folder / "trivial.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def papermill(program: str, notebook: Path, kernels: list[str]) -> None:
    """Run papermill once for each kernel and value."""
    for kernel in kernels:
        for n in VALUES:
            words = ["--no-progress-bar", "-k", kernel, "-p", "n", str(n)]
            output = notebook.with_name(f"papermill.{kernel}.{n}.ipynb")
            subprocess.run([program, *words, str(notebook), str(output)], check=True, capture_output=True)


def matrix(python: str, notebook: Path, kernels: list[str], words: list[str]) -> Callable[[], None]:
    """Return a function that makes all runs by one command."""
    grid = ["-k", ",".join(kernels), "-g", f"n={','.join(map(str, VALUES))}", "-o", str(notebook.with_name("runs"))]
    command = [python, "-m", "mambakernels", "run", str(notebook), *grid, "--force", "--quiet", *words]
    return lambda: print(end=subprocess.run(command, check=True, capture_output=True, text=True).stderr)


def alternate(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            begin = time.perf_counter()
            ways[name]()
            seconds[name].append(round(time.perf_counter() - begin, 2))
    return seconds


if __name__ == "__main__":
    sys.exit(main())
