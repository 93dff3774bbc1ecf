"""The command line: reads arguments, calls the public functions, renders what they return. No logic of its own."""

from mambakernels.cli import channel, environments, kernels, runs
from mambakernels.cli.app import app

__all__ = ["app", "channel", "environments", "kernels", "runs"]
