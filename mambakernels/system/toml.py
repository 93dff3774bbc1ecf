"""TOML files that users write."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.system import files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(file: Path, *, next_step: str) -> Mapping[str, Any]:
    """Return a file's content; NotFoundError with the advice without one, InvalidRequestError if it is not TOML."""
    try:
        return tomllib.loads(files.read_text(file))
    except FileNotFoundError as error:
        raise NotFoundError("There is no such file.", where=str(file), next_step=next_step) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"This is not TOML: {error}.", where=str(file)) from error
