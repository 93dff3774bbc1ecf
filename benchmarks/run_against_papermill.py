"""How long `run` takes against papermill: whole processes, the same notebook, the same kernel, alternating.

    python benchmarks/run_against_papermill.py [--rounds 11] [--kernel python3] [--limit 0.7]

Needs papermill in the same environment. Prints each program's median and quartiles and the ratio of the medians;
exits with 1 if the ratio is above the limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

CELLS = ["import math", "total = sum(range(n))", "print(total)", "math.sqrt(total)"]
OURS = """
import sys
from mambakernels.runs.execute import run
[done] = run(sys.argv[1], kernels=sys.argv[2], output=sys.argv[3], force=True)
sys.exit(done.status != "ok")
"""


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--kernel", default="python3")
    parser.add_argument("--limit", type=float, default=0.7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        notebook = write_notebook(Path(folder))
        commands = {
            "mambakernels": [sys.executable, "-c", OURS, str(notebook), options.kernel, folder],
            "papermill": [
                sys.executable, "-m", "papermill", "--no-progress-bar", "-k", options.kernel,
                str(notebook), str(Path(folder) / "papermill.ipynb"),
            ],
        }  # fmt: skip
        seconds = alternate(commands, options.rounds)
    for name, samples in seconds.items():
        low, middle, high = statistics.quantiles(samples, n=4)
        print(f"{name:13} median {middle:.3f} s, quartiles {low:.3f} and {high:.3f} s, {len(samples)} rounds")
    ratio = statistics.median(seconds["mambakernels"]) / statistics.median(seconds["papermill"])
    print(f"ratio of medians {ratio:.2f} (limit {options.limit})")
    return int(ratio > options.limit)


def write_notebook(folder: Path) -> Path:
    """Write a notebook of five trivial cells, the first tagged `parameters`."""
    cells = [nbformat.v4.new_code_cell("n = 10", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in CELLS]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = folder / "trivial.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def alternate(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Run the commands in turn, one uncounted round first, each round in the other order than the last."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name in sorted(commands, reverse=bool(number % 2)):
            elapsed = timed(commands[name])
            if number:
                seconds[name].append(elapsed)
    return seconds


def timed(command: list[str]) -> float:
    """Return how long one whole process takes, in seconds."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONNOUSERSITE": "1"})
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
