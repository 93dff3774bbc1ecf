"""The cost of `collect`: 10,000 runs in a fresh process, again, and again after 10 more; seconds and memory.

    python benchmarks/collect.py [--runs 10000]

The executed notebooks are generated: about 30 kB each, with a picture, 40 lines of text, a recorded result, a tagged
cell and two parameters. Half as many runs are read, too, to show that the time grows with their number. Each figure is
the median of `--repeats` processes, with the CPU time next to it, which other programs disturb less; the files are in
the system's cache.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mambakernels.runs.outcome_cache import FILE

PICTURE = base64.b64encode(random.Random(1).randbytes(20_000)).decode()
AN_HOUR_AGO = 1_700_000_000
MEASURED = """
import resource, sys, time
begin = time.perf_counter()
import mambakernels
frame = mambakernels.collect(sys.argv[1])
seconds, busy, used = time.perf_counter() - begin, time.process_time(), resource.getrusage(resource.RUSAGE_SELF)
print(seconds, busy, used.ru_maxrss / 1024, len(frame))
"""


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for runs in (options.runs // 2, options.runs):
            folder = Path(scratch) / str(runs)
            write(folder, range(runs))
            report(f"{runs:,} runs", [cold(folder) for _ in range(options.repeats)])
        report("again", [measure(folder) for _ in range(options.repeats)])
        after = []
        for number in range(options.repeats):
            write(folder, range(runs + 10 * number, runs + 10 * (number + 1)))
            after.append(measure(folder))
        report("again after 10 more", after)


def cold(folder: Path) -> tuple[float, float, float, int]:
    """Measure without the cache."""
    (folder / FILE).unlink(missing_ok=True)
    return measure(folder)


def measure(folder: Path) -> tuple[float, float, float, int]:
    """Return seconds, CPU seconds, the most memory in MB and the number of rows of a fresh process."""
    done = subprocess.run([sys.executable, "-c", MEASURED, folder], capture_output=True, text=True, check=True)
    seconds, busy, memory, rows = done.stdout.split()
    return float(seconds), float(busy), float(memory), int(rows)


def report(what: str, measured: list[tuple[float, float, float, int]]) -> None:
    """Print the medians."""
    seconds, busy, memory, rows = zip(*measured, strict=True)
    figures = f"{statistics.median(seconds):6.2f} s ({statistics.median(busy):.2f} s of CPU)  {max(memory):5.0f} MB"
    print(f"{what:22} {figures}  {rows[-1]:,} rows")


def write(folder: Path, numbers: range) -> None:
    """Write the executed notebooks of these numbers."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        file = folder / f"study.{number}.ipynb"
        file.write_text(json.dumps(notebook(number), indent=1), encoding="utf-8")
        os.utime(file, (AN_HOUR_AGO, AN_HOUR_AGO))


def notebook(number: int) -> dict[str, object]:
    """Return an executed notebook with a record; every 50th run has failed."""
    result = {"application/vnd.mambakernels.result+json": {"r2": number / 1e5, "rows": number}, "text/plain": "r2"}
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# A study\n", "text " * 50]},
        code("work", "work()\n" * 30, {"output_type": "stream", "name": "stdout", "text": ["a line\n"] * 40}),
        code("record", "record()", {"output_type": "display_data", "data": result, "metadata": {}}),
        code("show", "score", shown({"text/plain": repr(number / 7)}), tags=["result:score"]),
        code("plot", "plot()", shown({"image/png": PICTURE, "text/plain": "<Figure>"})),
    ]
    failure = {"ename": "ValueError", "evalue": "no", "cell": 4}
    record = {
        "schema": 1, "notebook": {"path": "/w/study.ipynb", "sha256": "0" * 64, "cells": "1" * 64},
        "kernel": {"name": f"k{number % 4}", "fingerprint": "2" * 64, "display_name": "K", "metadata": None},
        "parameters": {"n": 2 ** (number % 8), "seed": number}, "started": "2026-11-26T10:00:00.123+00:00",
        "seconds": 1.5, "status": "ok" if number % 50 else "failed", "error": None if number % 50 else failure,
        "version": "0", "host": "h", "folder": "/w",
    }  # fmt: skip
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"mambakernels": record}, "cells": cells}


def code(name: str, source: str, output: dict[str, object], *, tags: list[str] | None = None) -> dict[str, object]:
    """Return a code cell with one output."""
    cell = {"cell_type": "code", "id": name, "metadata": {"tags": tags or []}, "source": source, "execution_count": 1}
    return {**cell, "outputs": [output]}


def shown(data: dict[str, str]) -> dict[str, object]:
    """Return the output of a cell that ends in a value."""
    return {"output_type": "execute_result", "execution_count": 1, "data": data, "metadata": {}}


if __name__ == "__main__":
    main()
