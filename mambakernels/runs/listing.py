"""The index of a folder of records: `runs.csv` for programs, `index.html` for people; without pandas."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mambakernels.errors import NotFoundError, StorageError
from mambakernels.paths import PathLike
from mambakernels.runs import outputs, results
from mambakernels.runs.logs import log_of
from mambakernels.runs.outputs import Place

TABLE, PAGE = "runs.csv", "index.html"

_BEGINS = {TABLE: ",".join(results.FIXED[:4]), PAGE: '<meta name="generator" content="mambakernels'}
_BEGINNING = 400  # bytes in which those are
_FIRST = ("failed", "unreadable", "interrupted", "running")  # the order of rows by status
_SHOWN = ("status", "notebook", "kernel")
_LAST = ("repeat", "blas", "seconds", "started", "error")
_MOST_COLUMNS = 12  # of parameters and results on the page
_SECONDS = 3.0  # between two writes
_PAUSE_PER_WRITE = 20  # pause at least so many times as long as the last write took


def write_listing(folder: Place) -> list[Place]:
    """Write the index of all records in a folder or at an address, each file whole, and return the files.

    A file of that name that is not ours stays as it is. No file is written where there is no record.
    """
    try:
        rows = results.rows(str(folder))
    except NotFoundError:
        return []
    contents = {TABLE: lambda: _csv(rows, folder), PAGE: lambda: _page(rows, folder)}
    files = [folder / name for name in contents if rows and _is_ours(folder / name)]
    for file in files:
        outputs.write(file, contents[file.name]())
    return files


def index_of(folder: PathLike) -> Place | None:
    """Return the page of a folder's index, if one was written."""
    page = outputs.place(folder) / PAGE
    return page if page.exists() and _is_ours(page) else None


@contextmanager
def indexed(folder: Place, *, live: bool) -> Iterator[Callable[[], None]]:
    """Yield a function to call when records change: the index follows within seconds if `live`, and in the end."""
    index = _Index(folder)
    thread = threading.Thread(target=index.follow, name="mambakernels index", daemon=True)
    if live:
        thread.start()
    try:
        yield index.changed.set
    finally:
        index.over.set()
        index.changed.set()
        if live:
            thread.join()
        write_listing(folder)


class _Index:
    """An index that is written again every few seconds while records change."""

    def __init__(self, folder: Place) -> None:
        self.changed = threading.Event()
        self.over = threading.Event()
        self._folder = folder

    def follow(self) -> None:
        """Write the index after changes until it is over."""
        pause = _SECONDS
        while not self.over.wait(pause):
            self.changed.wait()
            self.changed.clear()
            if not self.over.is_set():
                begin = time.perf_counter()
                with contextlib.suppress(StorageError, OSError):  # the last write says what is wrong
                    write_listing(self._folder)
                pause = max(_SECONDS, _PAUSE_PER_WRITE * (time.perf_counter() - begin))


def _is_ours(file: Place) -> bool:
    """Whether a file may be replaced: an index, or nothing yet."""
    return not file.exists() or _BEGINS[file.name].encode() in file.read_bytes()[:_BEGINNING]


def _csv(rows: Sequence[Mapping[str, Any]], folder: Place) -> str:
    """Return the table with paths relative to the folder; tables and lists are JSON in it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(map(_as_text, {**row, "path": _relative(row, folder)}.values()))
    return text.getvalue().encode(errors="replace").decode()


def _as_text(value: Any) -> Any:
    plain = results.as_json(value)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, dict | list) else plain


def _page(rows: Sequence[Mapping[str, Any]], folder: Place) -> str:
    own = [name for name in rows[0] if name not in results.FIXED][:_MOST_COLUMNS]
    last = [name for name in _LAST if any(row[name] not in {None, 1} for row in rows)]
    columns = [*_SHOWN, *own, *last]
    there = _other_files(folder)
    ordered = sorted(rows, key=_turn)
    listed = [[*(_shown(row[name]) for name in columns), _links(_relative(row, folder), there)] for row in ordered]
    data = json.dumps({"columns": [*columns, "files"], "rows": listed}).replace("<", "\\u003c")
    before, _, after = Path(__file__).with_suffix(".html").read_text(encoding="utf-8").partition("RUNS</script>")
    return f"{before}{data}</script>{after}"


def _turn(row: Mapping[str, Any]) -> int:
    """Return what sorts failures first; rows are in the order of their files already."""
    return _FIRST.index(row["status"]) if row["status"] in _FIRST else len(_FIRST)


def _shown(value: Any) -> Any:
    """Return a value as a cell of the page has it; a table or a list as a short text, a time as people write it."""
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "seconds").replace("+00:00", " UTC")
    if isinstance(value, results.Table):
        return f"{len(value.data)} by {len(value.columns)}"
    plain = results.as_json(value)
    return plain if plain is None or isinstance(plain, str | int | float) else json.dumps(plain)[:100]


def _relative(row: Mapping[str, Any], folder: Place) -> str:
    return str(row["path"]).removeprefix(str(folder)).lstrip("/")


def _other_files(folder: Place) -> set[str]:
    """Return the logs and pages in a folder; those at an address are not looked for."""
    if not isinstance(folder, Path):
        return set()
    return {path.relative_to(folder).as_posix() for end in ("html", "log") for path in folder.rglob(f"*.{end}")}


def _links(record: str, there: set[str]) -> list[tuple[str, str]]:
    """Return the texts and addresses of links to a record and the files that belong to it."""
    files = {"notebook": record, "log": log_of(record), "page": f"{record.removesuffix('.ipynb')}.html"}
    return [(text, quote(file)) for text, file in files.items() if text == "notebook" or file in there]
