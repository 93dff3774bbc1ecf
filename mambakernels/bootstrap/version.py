"""The version of a micromamba, as its executable prints it."""

from __future__ import annotations

import re
from pathlib import Path

from mambakernels.system import process

_STARTS_WITHIN = 60.0  # seconds; virus scanners check a new executable before they let it start
_VERSION = re.compile(r"(?:micromamba: )?(\d+\.\d+\.\d+\S*)")
_ANSWER_SHOWN = 80  # characters


def printed_version(executable: Path) -> str:
    """Return what `--version` prints; ValueError, with the answer in a few words, if that is not a version."""
    try:
        answer = process.read_output([executable, "--version"], timeout=_STARTS_WITHIN)
    except process.TimeoutExpired as error:
        raise ValueError(f"nothing within {_STARTS_WITHIN:.0f} s") from error
    except OSError as error:
        raise ValueError((error.strerror or str(error)).rstrip(".")) from error
    printed = (answer.stdout.strip() or answer.stderr.strip()).decode("utf-8", "replace")
    first = next(iter(printed.splitlines()), "nothing")
    version = _VERSION.fullmatch(first.strip())
    if answer.returncode != 0 or version is None:
        status = f", and status {answer.returncode}" if answer.returncode != 0 else ""
        raise ValueError(f"{first[:_ANSWER_SHOWN]}{status}".rstrip("."))
    return version[1]
