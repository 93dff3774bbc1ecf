"""The command line: reads arguments, calls the public functions, renders what they return. No logic of its own."""

from mambakernels.cli import activated, bench, channel, doctor, environments, kernels, micromamba, packages, runs, sync
from mambakernels.cli.app import app

__all__ = [
    "activated",
    "app",
    "bench",
    "channel",
    "doctor",
    "environments",
    "kernels",
    "micromamba",
    "packages",
    "runs",
    "sync",
]
