"""The command line: reads arguments, calls the public functions, renders what they return. No logic of its own."""

from mambakernels.cli import activated, channel, environments, kernels, micromamba, packages, runs, sync
from mambakernels.cli.app import app

__all__ = ["activated", "app", "channel", "environments", "kernels", "micromamba", "packages", "runs", "sync"]
