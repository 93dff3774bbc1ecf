"""A matrix of runs in a TOML file: its keys are the keywords of `run`, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from mambakernels.errors import InvalidRequestError
from mambakernels.paths import PathLike, absolute, storage_errors
from mambakernels.runs.typed import TypedValues
from mambakernels.system import decoding
from mambakernels.system.toml import read_toml

_EXAMPLE = 'notebooks = "study.ipynb"\nkernels = ["np-*"]\n\n[grid]\nn = "256:4096:log2"\ndtype = ["f4", "f8"]'

_PATHS = frozenset({"notebooks", "output", "folder", "junit"})

Duration = int | float | str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    notebooks: str | list[str] | UnsetType = UNSET
    kernels: str | list[str] | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    grid: dict[str, list[Any] | str] | UnsetType = UNSET
    zipped: list[list[str]] | UnsetType = UNSET
    exclude: list[dict[str, Any]] | UnsetType = UNSET
    repeat: int | UnsetType = UNSET
    output: str | UnsetType = UNSET
    folder: str | UnsetType = UNSET
    jobs: int | UnsetType = UNSET
    measure: bool | UnsetType = UNSET
    timeout: Duration | UnsetType = UNSET
    run_timeout: Duration | UnsetType = UNSET
    total_timeout: Duration | UnsetType = UNSET
    startup_timeout: Duration | UnsetType = UNSET
    memory: int | str | UnsetType = UNSET
    retries: int | UnsetType = UNSET
    retry_cells: bool | UnsetType = UNSET
    fail_fast: bool | UnsetType = UNSET
    fork: bool | UnsetType = UNSET
    html: bool | UnsetType = UNSET
    junit: str | UnsetType = UNSET
    executor: str | UnsetType = UNSET


_KINDS = {
    **dict.fromkeys(("notebooks", "kernels"), 'a text, or a list of texts, ["…", "…"]'),
    "parameters": "a table of values, [parameters]",
    "grid": 'a table of lists, or of texts such as "256:4096:log2", [grid]',
    "zipped": 'a list of lists of names, [["n", "m"]]',
    "exclude": 'a list of tables, [{ n = 1, kernel = "np-b" }]',
    **dict.fromkeys(("repeat", "jobs", "retries"), "a whole number"),
    **dict.fromkeys(("output", "folder", "junit", "executor"), 'a text, "…"'),
    **dict.fromkeys(("measure", "retry_cells", "fail_fast", "fork", "html"), "true or false"),
    **dict.fromkeys(("timeout", "run_timeout", "total_timeout", "startup_timeout"), 'seconds, or a text such as "10m"'),
    "memory": 'a text such as "4G"',
}


@storage_errors
def read_matrix(file: PathLike) -> dict[str, Any]:
    """Return the arguments for `run` that a TOML file gives: `run(**read_matrix("matrix.toml"))`.

    Its keys are the keywords of `run`. Relative paths start at the file. A text in `grid` is read as on the command
    line. NotFoundError without the file; InvalidRequestError, with the key, for anything unknown or unsuitable.
    """
    path = absolute(file)
    content = read_toml(path, next_step=f"Write one, such as:\n{_EXAMPLE}")
    try:
        decoded = decoding.decode(content, _File)
    except decoding.MisfitError as error:
        raise _misfit(error, content, str(path)) from error
    given: dict[str, Any] = {
        key: value for key in _File.__struct_fields__ if (value := getattr(decoded, key)) is not UNSET
    }
    for key in _PATHS & given.keys():
        places = given[key]
        is_list = isinstance(places, list)
        given[key] = [_place(path.parent, one) for one in places] if is_list else _place(path.parent, places)
    if "grid" in given:
        given["grid"] = {
            name: TypedValues(values) if isinstance(values, str) else values for name, values in given["grid"].items()
        }
    return given


def _place(folder: Path, given: str) -> str:
    """Return a path as seen from a folder; addresses stay as they are."""
    return given if "://" in given else str(absolute(folder / Path(given).expanduser()))


def _misfit(error: decoding.MisfitError, content: Mapping[str, Any], where: str) -> InvalidRequestError:
    if not error.known:
        advice = decoding.suggest(error.key, _File.__struct_fields__)
        return InvalidRequestError(f"There is no key {error.key!r}.", where=where, next_step=advice)
    return InvalidRequestError(
        f"{error.key} is {content.get(error.key)!r}, and should be {_KINDS[error.key]}.", where=where
    )
