"""How long a kernel takes from start to ready: our kernelspec against plain `python -m ipykernel_launcher`.

    python benchmarks/kernel_start.py np-openblas --rounds 20

Both start the same Python of the same environment, alternating, each pair in random order; ready is the reply to
`kernel_info`. Prints the medians, in seconds, and the median of the ratios of the pairs with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from mambakernels import environments
from mambakernels.kernels import register
from mambakernels.paths import Root

_RESAMPLES = 2000


def main() -> None:
    """Read the command line, measure and print."""
    options = _parse()
    environment = environments.get(options.environment, Root.find(options.root))
    with tempfile.TemporaryDirectory() as folder:
        ours = register(environment, data_dir=Path(folder))[0].name
        _write_plain(Path(folder), environment.python)
        pairs = _measure(Path(folder), (ours, "plain"), rounds=options.rounds)
    ratios = [one / other for one, other in pairs]
    low, high = _interval(ratios)
    for label, seconds in zip(("registered", "plain"), zip(*pairs, strict=True), strict=True):
        print(f"{label:11} {statistics.median(seconds):.3f} s  (from {min(seconds):.3f} to {max(seconds):.3f})")
    print(f"ratio       {statistics.median(ratios):.3f}  (95 %: {low:.3f} to {high:.3f}, {len(ratios)} pairs)")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", help="an environment that mambakernels made, with ipykernel")
    parser.add_argument("--rounds", type=int, default=20, help="pairs of starts")
    parser.add_argument("--root", help="the root prefix, if not the default")
    return parser.parse_args()


def _write_plain(data_dir: Path, python: Path) -> None:
    folder = data_dir / "kernels" / "plain"
    folder.mkdir()
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "plain", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _measure(data_dir: Path, names: tuple[str, str], *, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of each pair, in the order of the names; a first start of each is not counted."""
    for name in names:
        _start(data_dir, name)
    pairs = []
    for _ in range(rounds):
        seconds = {name: _start(data_dir, name) for name in random.sample(names, 2)}
        pairs.append((seconds[names[0]], seconds[names[1]]))
    return pairs


def _start(data_dir: Path, name: str) -> float:
    """Start a kernel, wait for its first reply, and shut it down; return the seconds to the reply."""
    specs = KernelSpecManager(ensure_native_kernel=False, kernel_dirs=[str(data_dir / "kernels")])
    manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
    begin = time.perf_counter()
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.client()
    try:
        client.start_channels()
        client.kernel_info()
        client.get_shell_msg(timeout=120)
        return time.perf_counter() - begin
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.context.destroy()


def _interval(ratios: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median, by bootstrap."""
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    return medians[int(0.025 * _RESAMPLES)], medians[int(0.975 * _RESAMPLES)]


if __name__ == "__main__":
    main()
