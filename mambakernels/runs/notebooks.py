"""Notebook files as plain JSON: found, read once, hashed, and decoded without nbformat, which is slow to import."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import msgspec

from mambakernels.errors import NotFoundError, RunError, from_os_error
from mambakernels.paths import PathLike, by_numbers
from mambakernels.runs.outputs import Place

Json = dict[str, Any]

FIRST_MINOR_WITH_IDS = 5  # of format 4

_FORMAT = 4
_ADVICE = "Give a notebook that Jupyter saved: a file ending in .ipynb."
_GRAMMAR = "rfc3987_syntax"
_FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
# `# A heading`, or one that is underlined; a list, a quotation or a table is none.
_HEADING = re.compile(
    r"^ {0,3}(?:#{1,6}[ \t]+(?P<marked>.+?)[ \t#]*|(?P<underlined>[^\s#>|*+-].*?)[ \t]*\n {0,3}(?:=+|-{2,})[ \t]*)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Notebook:
    """A notebook as it is on disk: where, the SHA-256 of its bytes, and its content in notebook format 4."""

    path: Path
    sha256: str
    content: Json

    @property
    def language(self) -> str:
        """The language of its cells, in lower case: what its metadata names, else Python."""
        metadata = self.content["metadata"]
        kernelspec, language_info = metadata.get("kernelspec") or {}, metadata.get("language_info") or {}
        return str(kernelspec.get("language") or language_info.get("name") or "python").lower()


def read_notebook(path: PathLike) -> Notebook:
    """Read a notebook of any format version; `NotFoundError` if there is none, `RunError` if it is not a notebook."""
    file = Path(path).expanduser().absolute()
    raw = _read(file)
    return Notebook(path=file, sha256=hashlib.sha256(raw).hexdigest(), content=decode_content(raw, file))


def read_content(file: Place) -> Json:
    """Return the content of a notebook at any place, in notebook format 4; errors as of `read_notebook`."""
    return decode_content(_read(file), file)


def find_notebooks(paths: Iterable[PathLike]) -> Iterator[Notebook]:
    """Read the notebooks that `notebook_files` finds."""
    for file in notebook_files(paths):
        yield read_notebook(file)


def notebook_files(paths: Iterable[PathLike]) -> list[Path]:
    """Return the notebook files that paths name, each once: files, folders (hidden ones left out) or glob patterns.

    NotFoundError if a path names none.
    """
    return list(dict.fromkeys(file for path in paths for file in _matching(path)))


def source_of(cell: Mapping[str, Any]) -> str:
    """Return a cell's source as one text (files may hold it as a list of lines)."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: Mapping[str, Any]) -> frozenset[str]:
    """Return a cell's tags."""
    return frozenset(cell["metadata"].get("tags", ()))


def heading_above(cells: Sequence[Mapping[str, Any]], index: int) -> str:
    """Return the last Markdown heading above a cell; an empty text if there is none."""
    texts = (_FENCED.sub("", source_of(cell)) for cell in reversed(cells[:index]) if cell["cell_type"] == "markdown")
    found = (list(_HEADING.finditer(text)) for text in texts)
    last = next((headings[-1] for headings in found if headings), None)
    return "" if last is None else last["marked"] or last["underlined"]


def cells_sha256(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all that a notebook's outputs may depend on: its cells without outputs and counts."""
    cells = [
        [cell["cell_type"], source_of(cell), sorted(tags_of(cell)), cell.get("attachments") or {}]
        for cell in content["cells"]
    ]
    return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()


def outputs_of(content: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Iterate over every output of a notebook with the index of its cell."""
    for index, cell in enumerate(content["cells"]):
        outputs = cell.get("outputs", ())
        yield from ((index, output) for output in outputs if isinstance(output, dict))


def _below(place: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found = (name for name in names if name.endswith(".ipynb") and not name.startswith("."))
        yield from (f"{folder}/{name}" for name in found)


def _matching(path: PathLike) -> list[Path]:
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        found = [Path(file) for file in sorted(_below(place), key=by_numbers)]
    elif place.exists():
        found = [place]
    else:
        matching = glob.glob(str(place), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        found = [Path(file) for file in sorted(matching, key=by_numbers) if file.endswith(".ipynb")]
    if not found:
        raise nothing_there(path)
    return found


def nothing_there(path: object) -> NotFoundError:
    """Return the error for a path or address without notebooks."""
    return NotFoundError(
        "No notebook is there.",
        where=str(path),
        next_step="Give a notebook, a folder that has some, or a pattern such as 'runs/*.ipynb'.",
    )


def _read(file: Place) -> bytes:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFoundError(
            "There is no such notebook.", where=str(file), next_step="Give the path of a file ending in .ipynb."
        ) from error
    except OSError as error:
        raise from_os_error(error) from error


class _CellMetadata(msgspec.Struct):
    tags: list[str] | None = None


class _Cell(msgspec.Struct):
    cell_type: Literal["code", "markdown", "raw"]
    source: str | list[str]
    metadata: _CellMetadata | None = None


class _Metadata(msgspec.Struct):
    kernelspec: dict[str, Any] | None = None
    language_info: dict[str, Any] | None = None


class _Content(msgspec.Struct):
    """What must be true of a notebook in format 4 so that it can be run; more is allowed."""

    nbformat: Literal[4]
    cells: list[_Cell]
    nbformat_minor: int | None = None
    metadata: _Metadata | None = None


def decode_content(raw: bytes, file: Place | str) -> Json:
    """Return the content of a notebook file in notebook format 4; `RunError` if it is not a notebook."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
        raise RunError(f"This file is not a notebook: {error}.", where=str(file), next_step=_ADVICE) from error
    if isinstance(content, dict) and isinstance(content.get("nbformat"), int) and content["nbformat"] != _FORMAT:
        content = _converted(raw.decode(), file)
    try:
        msgspec.convert(content, _Content)
    except msgspec.ValidationError as error:
        raise RunError(
            f"This file is JSON, but not a notebook: {error}.", where=str(file), next_step=_ADVICE
        ) from error
    return _without_nulls(content)


def _without_nulls(content: Json) -> Json:
    """Return a notebook in which what may be left out is there, and never null."""
    cells = [{**cell, "metadata": _present(cell.get("metadata") or {})} for cell in content["cells"]]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = cell.get("outputs") or []
    minor = content.get("nbformat_minor")
    return {
        **content,
        "nbformat_minor": FIRST_MINOR_WITH_IDS if minor is None else minor,
        "metadata": _present(content.get("metadata") or {}),
        "cells": cells,
    }


def _present(metadata: Json) -> Json:
    return {name: value for name, value in metadata.items() if value is not None}


def _converted(text: str, file: Place | str) -> Json:
    prepare_nbformat()
    import nbformat

    try:
        converted: Json = nbformat.reads(text, as_version=_FORMAT)  # type: ignore[no-untyped-call]
    except (ValueError, LookupError, AttributeError, TypeError, nbformat.ValidationError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise RunError(f"This notebook's format cannot be read: {why}.", where=str(file)) from error
    return converted


def prepare_nbformat() -> None:
    """Make the first import of nbformat quick where JupyterLab is installed too; elsewhere it already is.

    nbformat imports jsonschema, which imports rfc3987_syntax if it is installed (jupyter-events needs it), and that
    compiles a grammar for international addresses on import: two seconds, measured, of a run's three. A stand-in during
    this import puts that off until an address is checked, so jsonschema loses nothing.
    """
    if "jsonschema" in sys.modules or _GRAMMAR in sys.modules or find_spec(_GRAMMAR) is None:
        return
    sys.modules[_GRAMMAR] = _StandIn(_GRAMMAR)
    try:
        import_module("jsonschema")
    finally:
        del sys.modules[_GRAMMAR]


class _StandIn(ModuleType):
    """The one function that jsonschema takes from rfc3987_syntax; it imports the real one when it is called."""

    @staticmethod
    def is_valid_syntax(rule: str, text: str) -> Any:
        return import_module(_GRAMMAR).is_valid_syntax(rule, text)
