"""Four BLAS environments, warm cache, bytecode included: ours side by side against plain micromamba calls in a loop.

    MAMBA_EXE=micromamba python benchmarks/create_four.py --channel FOLDER_OR_URL [--rounds 7]

Three ways, alternating, each with its own package cache, which the first round fills: `mambakernels sync` on the
embedded engine, the same on micromamba (MAMBA_EXE), and four `micromamba create` one after the other. Figures are
medians of wall-clock seconds of whole processes; compare the ratios, which are taken round by round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from create import report, timed

from mambakernels.system import process

BLAS = ("openblas", "mkl", "blis", "netlib")
WAYS = ("sync, rattler", "sync, micromamba", "four micromamba create")


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channel", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    channel = arguments.channel if "://" in arguments.channel else Path(arguments.channel).absolute().as_uri()
    with tempfile.TemporaryDirectory() as folder:
        rounds = [one_round(Path(folder), channel) for _ in range(arguments.rounds + 1)][1:]
    columns = list(zip(*rounds, strict=True))
    for way, seconds in zip(WAYS, columns, strict=True):
        report(way, list(seconds))
    for number in (0, 1):
        ratios = [seconds[number] / seconds[2] for seconds in rounds]
        report(f"{WAYS[number]} / four", ratios)


def one_round(folder: Path, channel: str) -> list[float]:
    """Make the four environments in each of the ways; return the seconds."""
    seconds = [sync(folder / "rattler", channel, "rattler"), sync(folder / "micromamba", channel, "micromamba")]
    root = folder / "plain"
    shutil.rmtree(root / "envs", ignore_errors=True)
    return [*seconds, sum(timed(plain(root, name, channel)) for name in BLAS)]


def sync(root: Path, channel: str, engine: str) -> float:
    """Make them with `mambakernels sync`, kernels not included, as micromamba makes none."""
    shutil.rmtree(root / "envs", ignore_errors=True)
    root.mkdir(exist_ok=True)
    tables = [f"[environments.np-{name}]\nspecs = {list(specs(name))!r}\nkernel = false\n" for name in BLAS]
    file = root / "kernels.toml"
    file.write_text(f'channels = ["{channel}"]\nengine = "{engine}"\n' + "".join(tables), encoding="utf-8")
    spent = timed(process.module("mambakernels", "sync", file, "--root", root, "--quiet"))
    made = [path for path in (root / "envs").iterdir() if not path.name.startswith(".")]
    assert len(made) == len(BLAS), made
    return spent


def plain(root: Path, name: str, channel: str) -> list[str]:
    """Return the plain call."""
    words = [os.environ["MAMBA_EXE"], "create", "--no-rc", "--override-channels", "--yes", "-r", str(root)]
    return [*words, "-p", str(root / "envs" / name), *specs(name), "-c", channel]


def specs(name: str) -> tuple[str, ...]:
    """Return what the environment of a BLAS is asked to be."""
    return ("python", "numpy", f"libblas=*=*{name}", "threadpoolctl", "ipykernel")


if __name__ == "__main__":
    main()
