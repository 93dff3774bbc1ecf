"""The command line: reads arguments, calls the public functions, renders what they return, and has no logic."""

from mambakernels.cli import (  # noqa: F401 (each adds its commands)
    activation,
    bench,
    bootstrap,
    channel,
    demo,
    doctor,
    environments,
    kernels,
    lab,
    notebooks,
    packages,
    report,
    runs,
    sync,
)
from mambakernels.cli.app import app

__all__ = ["app"]
