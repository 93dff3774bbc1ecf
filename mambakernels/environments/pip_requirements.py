"""The `pip:` section of an environment: requirements that pip installs into a staged folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mambakernels import errors
from mambakernels.environments import staging
from mambakernels.environments.environment import Location
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process

_LINES_QUOTED = 8


def install_with_pip(
    requirements: Sequence[str], prefix: Path, place: Location, *, cwd: Path | None = None, progress: Progress = silent
) -> None:
    """Install the requirements with the prefix's pip and the user's configuration; EngineError if pip fails.

    Files that pip writes name the final prefix. Relative paths in the requirements start at `cwd`.
    """
    if not requirements:
        return
    before = set(staging.files_in(prefix))
    python = prefix / place.python
    words: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--no-compile",
        "--no-input",
        "--disable-pip-version-check",
    ]
    for requirement in requirements:
        words += requirement.split(maxsplit=1) if requirement.startswith("-") else [requirement]
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}

    def on_line(line: str) -> None:
        progress(Event("pip", line.strip()))

    done = process.stream(words, env={**kept, "PYTHONNOUSERSITE": "1"}, cwd=cwd, on_line=on_line)
    if done.returncode != 0:
        said = "\n".join([line for line in done.lines if line.strip()][-_LINES_QUOTED:])
        raise errors.EngineError(
            f"pip could not install {' '.join(requirements)}.",
            where=str(place.prefix),
            next_step=f"Correct the `pip:` section or pip's configuration. Its last lines were:\n{said}",
        )
    fresh = sorted(set(staging.files_in(prefix)) - before)
    staging.rewrite(prefix, fresh, prefix, place.prefix)
    staging.compile_new(prefix, fresh, place)
