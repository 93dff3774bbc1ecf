"""The `pip:` part of an environment: a requirements file, which pip installs into a staged folder."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pip

from mambakernels import errors
from mambakernels.environments import staging
from mambakernels.environments.environment import Location
from mambakernels.progress import Event, Progress, silent
from mambakernels.system import process

_LINES_QUOTED = 8
# An option that names another file, relative to the file that it stands in.
_NAMES_A_FILE = re.compile(r"(\s*(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?=\S)))(?!\$|[a-z+]+://)(\S.*)")


def install_with_pip(
    requirements: Sequence[str],
    prefix: Path,
    place: Location,
    *,
    cwd: Path | None = None,
    complete: bool = False,
    progress: Progress = silent,
) -> None:
    """Install lines of requirements as `pip install -r` does in the folder `cwd`; EngineError if pip fails.

    `complete` requirements name all that they depend on. Files that pip writes name the final prefix. An environment
    without pip is served by the one of mambakernels.
    """
    if not any(line.strip() for line in requirements):
        return
    before = set(staging.files_in(prefix))
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}

    def on_line(line: str) -> None:
        progress(Event("pip", line.strip()))

    with _requirements_file(requirements, cwd or Path.cwd()) as file:
        words = [*_pip(prefix, prefix / place.python), "install", "--no-compile", "--no-input"]
        words += ["--disable-pip-version-check", *(["--no-deps"] if complete else []), "-r", file]
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


def _pip(prefix: Path, python: Path) -> list[str | Path]:
    """Return the command for the environment's own pip, else for ours run by its Python, which sees no more of ours."""
    own = [*prefix.glob("lib/python*/site-packages/pip/__main__.py"), *prefix.glob("Lib/site-packages/pip/__main__.py")]
    return [python, "-m", "pip"] if own else [python, Path(pip.__file__).with_name("__pip-runner__.py")]


@contextmanager
def _requirements_file(requirements: Sequence[str], folder: Path) -> Iterator[Path]:
    """Yield a file with these lines in the folder, as the files they name are relative to it.

    Where the folder cannot be written to, it is elsewhere, and names those files by their whole paths.
    """
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as spare:
        try:
            number, name = tempfile.mkstemp(".txt", ".mambakernels-", folder)
            lines = list(requirements)
        except OSError:
            number, name = tempfile.mkstemp(".txt", dir=spare)
            lines = [_with_whole_path(line, folder) for line in requirements]
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def _with_whole_path(line: str, folder: Path) -> str:
    match = _NAMES_A_FILE.match(line)
    if match is None or Path(match[2].lstrip("'\"")).is_absolute():
        return line
    return f"{match[1]}{shlex.quote(f'{folder}{os.sep}')}{match[2]}"  # pip reads the words of options as a shell does
