"""The command of the R kernel that this machine has."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

R = "r"


@pytest.fixture(scope="session")
def irkernel() -> list[str]:
    """Return the command that starts IRkernel."""
    rscript = shutil.which("Rscript")
    argv = [str(rscript), "--vanilla", "-e", 'cat(system.file("kernelspec", package = "IRkernel"))']
    found = subprocess.run(argv, check=True, capture_output=True, text=True).stdout if rscript else ""
    if not found:
        pytest.skip("This machine lacks R with IRkernel: apt-get install r-cran-irkernel.")
    argv = json.loads(Path(found, "kernel.json").read_text("utf-8"))["argv"]
    return [str(shutil.which(argv[0])), *argv[1:]]
