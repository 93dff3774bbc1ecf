"""How long a kernel takes from start to ready: as registered, as plain `ipykernel_launcher`, and by `micromamba run`.

    python benchmarks/kernel_start.py np-openblas --rounds 20 --micromamba ~/bin/micromamba

All start the same Python of the same environment, one after the other in rounds of random order; ready is the reply to
`kernel_info`. Prints what was registered, the median of each in seconds, and the median of the ratios within the rounds
with its 95 % interval. Without `--micromamba` and MAMBA_EXE that way is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from mambakernels import environments
from mambakernels.environments import Environment
from mambakernels.kernels.registration import register_kernels
from mambakernels.paths import Root

_RESAMPLES = 2000


def main() -> None:
    """Read the command line, measure and print."""
    options = _parse()
    environment = environments.get(options.environment, Root.find(options.root))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JUPYTER_DATA_DIR"] = folder  # the user's own stays as it is
        spec = register_kernels(environment)[0]
        ways = {"registered": spec.name, **_write_others(Path(folder), environment, options.micromamba)}
        rounds = _measure(Path(folder), list(ways.values()), rounds=options.rounds)
        print(f"registered as {shlex.join(spec.argv)}")
    for way, name in ways.items():
        seconds = [each[name] for each in rounds]
        print(f"{way:16} {statistics.median(seconds):.3f} s  (from {min(seconds):.3f} to {max(seconds):.3f})")
    for way, name in list(ways.items())[1:]:
        ratios = [each[ways["registered"]] / each[name] for each in rounds]
        low, high = _interval(ratios)
        middle = statistics.median(ratios)
        print(f"registered / {way}: {middle:.3f}  (95 %: {low:.3f} to {high:.3f}, {len(ratios)} rounds)")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", help="an environment that mambakernels made, with ipykernel")
    parser.add_argument("--rounds", type=int, default=20, help="starts of each")
    parser.add_argument("--root", help="the root prefix, if not the default")
    parser.add_argument("--micromamba", default=os.environ.get("MAMBA_EXE"), help="the micromamba to compare with")
    return parser.parse_args()


def _write_others(data_dir: Path, environment: Environment, micromamba: str | None) -> dict[str, str]:
    """Write a kernelspec for each way to compare with; return their names."""
    launcher = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    _write(data_dir, "plain", [str(environment.python), *launcher])
    if not micromamba:
        return {"plain": "plain"}
    run = [micromamba, "run", "-r", str(environment.root.path), "-p", str(environment.prefix)]
    _write(data_dir, "micromamba-run", [*run, "python", *launcher])
    return {"plain": "plain", "micromamba run": "micromamba-run"}


def _write(data_dir: Path, name: str, argv: Sequence[str]) -> None:
    folder = data_dir / "kernels" / name
    folder.mkdir()
    spec = {"argv": list(argv), "display_name": name, "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _measure(data_dir: Path, names: Sequence[str], *, rounds: int) -> list[dict[str, float]]:
    """Return the seconds of each kernel in each round; a first start of each is not counted."""
    for name in names:
        _start(data_dir, name)
    return [{name: _start(data_dir, name) for name in random.sample(names, len(names))} for _ in range(rounds)]


def _start(data_dir: Path, name: str) -> float:
    """Start a kernel, wait for its first reply, and shut it down; return the seconds to the reply."""
    specs = KernelSpecManager(ensure_native_kernel=False, kernel_dirs=[str(data_dir / "kernels")])
    file = str(data_dir / "connection.json")
    manager = KernelManager(kernel_name=name, kernel_spec_manager=specs, connection_file=file)
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
