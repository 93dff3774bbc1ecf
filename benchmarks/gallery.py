"""Examples of every figure, drawn from new measurements.

    python benchmarks/gallery.py FOLDER [--kernels np-openblas,np-mkl,np-blis,np-netlib] [--budget 240] [--keep]
        [--variants np-openblas-prescott,np-openblas-haswell] [--peak 83.2]

Measures three times and keeps the measurements next to the figures: the kernels on one thread, the kernels on one
thread and more, and the variants of one library (`mambakernels register NAME --variant … --env …`). `--keep` draws
the measurements that are already there. `--peak` is the processor's, in GFLOP/s per core for float64.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from mambakernels import plots
from mambakernels.bench import interleaving
from mambakernels.bench.cases import Settings, all_cases
from mambakernels.bench.measured import Measured
from mambakernels.bench.pairs import pairs

KERNELS = "np-openblas,np-mkl,np-blis,np-netlib"
SIZES = (32, 64, 128, 256, 512, 1024)
CASES = tuple(
    dict.fromkeys(
        all_cases(["gemm"], SIZES, ["float64", "float32"])
        + all_cases(["gemv", "dot"], SIZES[1:], ["float64"])
        + all_cases(["cholesky", "solve"], SIZES[1:], ["float64"])
        + all_cases(["svd"], SIZES[1:4], ["float64"])
        + all_cases(["qr"], SIZES[3:5], ["float64"])
    )
)
ON_THREADS = all_cases(["gemm", "solve"], [768], ["float64"])
ON_PATHS = all_cases(["gemm", "solve", "svd"], [512], ["float64"])


def settings(asked: argparse.Namespace) -> Mapping[str, Settings]:
    """Return what to measure, by the name of the file it goes to."""
    kernels, variants = (tuple(filter(None, text.split(","))) for text in (asked.kernels, asked.variants))
    cores = len(os.sched_getaffinity(0))
    threads = tuple(dict.fromkeys((1, *(2**power for power in range(1, cores.bit_length() + 1)))))
    third = asked.budget / 4
    found = {
        "kernels": Settings(kernels, CASES, threads=(1,), budget=2 * third),
        "threads": Settings(kernels, ON_THREADS, threads=threads, budget=third),
    }
    return found | ({"paths": Settings(variants, ON_PATHS, threads=(1,), budget=third)} if variants else {})


def measured(asked: argparse.Namespace) -> dict[str, Measured]:
    """Measure, or read what was measured before."""
    found = {}
    for name, wanted in settings(asked).items():
        file = asked.folder / f"{name}.json"
        if not (asked.keep and file.exists()):
            print(f"measuring {name} for {wanted.budget:g} s")
            interleaving.measure_interleaved(wanted).save(file)
        found[name] = Measured.load(file)
    return found


def drawings(found: Mapping[str, Measured], peak: float | None) -> Mapping[str, Callable[[plots.Theme], Figure]]:
    """Return how each picture is drawn, by its name."""
    main, threads = found["kernels"].frame, found["threads"].frame
    several = found["paths"].frame if "paths" in found else None
    compared = pairs(main)
    some = compared[compared["size"].isin([64, 256, 512])]
    drawn: dict[str, Callable[[plots.Theme], Figure]] = {
        "gflops": lambda theme: plots.gflops_by_size(main, theme=theme, peak=peak),
        "ratios": lambda theme: plots.paired_ratios(some, main, theme=theme),
        "threads": lambda theme: plots.thread_scaling(threads, theme=theme),
        "roofline": lambda theme: plots.roofline(main, theme=theme, peak=peak),
        "accuracy": lambda theme: plots.accuracy_against_speed(main, theme=theme),
        "summary": lambda theme: plots.summary_page(
            main, compared, threads=threads, variants=several, theme=theme, peak=peak
        ),
    }
    if several is not None:
        drawn["paths"] = lambda theme: plots.code_paths(several, theme=theme)
    return drawn


def main() -> None:
    """Read the command line, measure, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where measurements and pictures go")
    parser.add_argument("--kernels", default=KERNELS)
    parser.add_argument("--variants", default="", help="kernels of one library on different code paths")
    parser.add_argument("--budget", type=float, default=240.0, help="seconds of measuring in all")
    parser.add_argument("--keep", action="store_true", help="draw what was measured before")
    parser.add_argument("--peak", type=float, help="GFLOP/s per core for float64")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for name, draw in drawings(measured(asked), asked.peak).items():
        for theme in ("light", "dark"):
            picture = plots.png(draw(theme))
            (asked.folder / f"{name}-{theme}.png").write_bytes(picture)
        draw("light").savefig(asked.folder / f"{name}.pdf")
        print(f"{name}: {len(picture) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
