"""Executed notebooks, read for what came out of them: status, parameters and recorded results; nothing else is decoded.

Results are what `mambakernels.record` recorded, what cells tagged `result:NAME` show, and what scrapbook glued.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mambakernels.errors import RunError
from mambakernels.record import MIME_TYPE, encode
from mambakernels.runs.notebooks import Json, decode_content
from mambakernels.runs.records import Record

RESULT_TAG = "result:"
PROOF_MIME_TYPE = "application/vnd.mambakernels.proof+json"
"""The output with which code inside a kernel states which BLAS it has proven: `{"blas": "mkl"}`."""

_ALLOWED_TO_RAISE = "raises-exception"
_FORMAT = 4
_LONGEST_ERROR = 300
_NOTHING = msgspec.Raw()
READABLE = frozenset(
    {"application/json", "application/vnd.dataresource+json", "text/csv", "text/html", "text/plain", "text/markdown"}
)
"""The MIME types that `shown_values` reads a value from."""


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one run; None for what is not.

    `started` is in ISO 8601; `parameters` and `results` hold values as JSON has them (`mambakernels.record`).
    """

    notebook: str
    kernel: str | None = None
    environment: str | None = None
    status: str = "ok"
    error: str | None = None
    seconds: float | None = None
    started: str | None = None
    host: str | None = None
    repeat: int | None = None
    blas: str | None = None
    parameters: dict[str, Any] = {}
    results: dict[str, Any] = {}


class _Data(msgspec.Struct):
    """An output's data by MIME type, each as it is in the file; those that hold no result are skipped."""

    result: msgspec.Raw = msgspec.field(default=_NOTHING, name=MIME_TYPE)
    proof: msgspec.Raw = msgspec.field(default=_NOTHING, name=PROOF_MIME_TYPE)
    scrap: msgspec.Raw = msgspec.field(default=_NOTHING, name="application/scrapbook.scrap.json+json")
    scrap_text: msgspec.Raw = msgspec.field(default=_NOTHING, name="application/scrapbook.scrap.text+json")
    scrap_table: msgspec.Raw = msgspec.field(default=_NOTHING, name="application/scrapbook.scrap.pandas+json")
    papermill: msgspec.Raw = msgspec.field(default=_NOTHING, name="application/papermill.record+json")
    json: msgspec.Raw = msgspec.field(default=_NOTHING, name="application/json")
    resource: msgspec.Raw = msgspec.field(default=_NOTHING, name="application/vnd.dataresource+json")
    csv: msgspec.Raw = msgspec.field(default=_NOTHING, name="text/csv")
    html: msgspec.Raw = msgspec.field(default=_NOTHING, name="text/html")
    plain: msgspec.Raw = msgspec.field(default=_NOTHING, name="text/plain")
    markdown: msgspec.Raw = msgspec.field(default=_NOTHING, name="text/markdown")


class _Output(msgspec.Struct):
    output_type: str = ""
    data: _Data | None = None
    ename: str = ""
    evalue: str = ""
    name: str = ""
    text: msgspec.Raw = _NOTHING


class _CellMetadata(msgspec.Struct):
    tags: list[str] | None = None
    execution: dict[str, Any] | None = None


class _Scrap(msgspec.Struct):
    """What scrapbook's `glue` displays."""

    name: str
    data: Any


class _Cell(msgspec.Struct):
    cell_type: str
    metadata: _CellMetadata | None = None
    outputs: list[_Output] | None = None
    execution_count: int | str | None = None

    @property
    def tags(self) -> list[str]:
        return (self.metadata and self.metadata.tags) or []

    @property
    def times(self) -> dict[str, Any]:
        """When its messages came, if the program that executed it kept that."""
        return (self.metadata and self.metadata.execution) or {}


class _Kernelspec(msgspec.Struct):
    name: str | None = None


class _Papermill(msgspec.Struct):
    parameters: dict[str, Any] | None = None
    input_path: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    duration: float | None = None
    exception: bool | None = None


class _Metadata(msgspec.Struct):
    mambakernels: msgspec.Raw = _NOTHING
    papermill: msgspec.Raw = _NOTHING
    kernelspec: _Kernelspec | None = None


class _Executed(msgspec.Struct):
    nbformat: int
    cells: list[_Cell]
    metadata: _Metadata | None = None


_SHOWN = {field.encode_name: field.name for field in msgspec.structs.fields(_Data) if field.encode_name in READABLE}
_DECODER = msgspec.json.Decoder(_Executed)
_RECORD = msgspec.json.Decoder(Record)
_BUNDLE = msgspec.json.Decoder(Json)
_SCRAP = msgspec.json.Decoder(_Scrap)


def outcome_of(raw: bytes, path: str) -> Outcome | None:
    """Return the outcome of the executed notebook with this content; None for a notebook that was never executed.

    Raises RunError if it is not a notebook, or what it recorded cannot be read.
    """
    try:
        return _outcome(path, _decode(raw, path))
    except msgspec.DecodeError as error:
        raise RunError(f"This notebook's outputs cannot be read: {error}.", where=path) from error


def _outcome(path: str, executed: _Executed) -> Outcome | None:
    metadata = executed.metadata or _Metadata()
    record = _record(metadata)
    papermill = _papermill(metadata)
    if record is None and papermill is None and not any(map(_was_executed, executed.cells)):
        return None
    results, proof = dict(_results(executed.cells)), _proof(executed.cells)
    if record is not None:
        return _of_record(record, results, proof)
    return _of_others(executed, metadata, papermill or _Papermill(), Path(path).name, results=results, proof=proof)


def _decode(raw: bytes, path: str) -> _Executed:
    try:
        executed = _DECODER.decode(raw)
        if executed.nbformat == _FORMAT:
            return executed
    except msgspec.DecodeError:
        pass  # NaN, half an emoji, a byte order mark, or not a notebook at all
    content = encode(decode_content(raw, path))
    return _DECODER.decode(json.dumps(content, ensure_ascii=False).encode(errors="replace"))


def _record(metadata: _Metadata) -> Record | None:
    try:
        return _RECORD.decode(metadata.mambakernels)
    except msgspec.DecodeError:
        return None


def _papermill(metadata: _Metadata) -> _Papermill | None:
    """Return what papermill wrote; None if it wrote nothing, or something of another form stands there."""
    try:
        return msgspec.json.decode(metadata.papermill, type=_Papermill | None)
    except msgspec.DecodeError:
        return None


def _of_record(record: Record, results: Json, proof: str | None) -> Outcome:
    return Outcome(
        notebook=Path(record.notebook.path).name,
        kernel=record.kernel.name,
        environment=(record.kernel.metadata or {}).get("environment"),
        status=record.status,
        error=None if record.error is None else _short(str(record.error)),
        seconds=record.seconds,
        started=record.started,
        host=record.host,
        repeat=record.repeat,
        blas=proof or record.blas,
        parameters=dict(record.parameters),
        results=results,
    )


def _of_others(
    executed: _Executed, metadata: _Metadata, papermill: _Papermill, name: str, *, results: Json, proof: str | None
) -> Outcome:
    """Return what is known of a run by papermill, by another program or by hand."""
    error = next(_errors(executed.cells), None)
    finished = papermill.start_time is None or papermill.end_time is not None
    status = "failed" if error or papermill.exception else "ok" if finished else "running"
    begin, end = _span(executed.cells)
    seconds = None if begin is None or end is None else (end - begin).total_seconds()
    return Outcome(
        notebook=Path(papermill.input_path).name if papermill.input_path else name,
        kernel=metadata.kernelspec.name if metadata.kernelspec else None,
        status=status,
        error=error,
        seconds=papermill.duration if papermill.duration is not None else seconds,
        started=papermill.start_time or (begin.isoformat() if begin else None),
        blas=proof,
        parameters=papermill.parameters or {},
        results=results,
    )


def _was_executed(cell: _Cell) -> bool:
    return bool(cell.execution_count or cell.outputs)


def _errors(cells: list[_Cell]) -> Iterator[str]:
    for cell in cells:
        if _ALLOWED_TO_RAISE not in cell.tags:
            raised = (output for output in cell.outputs or () if output.output_type == "error")
            yield from (_short(f"{output.ename}: {output.evalue}") for output in raised)


def _span(cells: list[_Cell]) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return when the first cell began and when the last one ended."""
    begun = [time for cell in cells if (time := as_time(cell.times.get("iopub.execute_input")))]
    ended = [time for cell in cells if (time := as_time(cell.times.get("shell.execute_reply")))]
    return min(begun, default=None), max(ended, default=None)


def as_time(text: Any) -> dt.datetime | None:
    """Return a time in ISO 8601 as UTC, which it is in if it does not say; None for anything else."""
    try:
        time = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        return None
    return time.astimezone(dt.timezone.utc) if time.tzinfo else time.replace(tzinfo=dt.timezone.utc)


def _proof(cells: list[_Cell]) -> str | None:
    proofs = (output.data.proof for cell in cells for output in cell.outputs or () if output.data)
    return next((_BUNDLE.decode(proof).get("blas") for proof in proofs if proof), None)


def _results(cells: list[_Cell]) -> Iterator[tuple[str, Any]]:
    """Yield each result with its name, in the order of the notebook: of one name, the last counts."""
    for cell in cells:
        for output in cell.outputs or ():
            if output.data is not None:
                yield from _recorded(output.data)
        names = [tag.removeprefix(RESULT_TAG).strip() for tag in cell.tags if tag.startswith(RESULT_TAG)]
        if names and (shown := _shown(cell)):
            yield from ((name, shown[0]) for name in names if name)


def _recorded(data: _Data) -> Iterator[tuple[str, Any]]:
    if data.result:
        yield from _bundle(data.result).items()
    with contextlib.suppress(ValueError, TypeError):  # what is not as scrapbook or papermill write it is not theirs
        if data.papermill:
            yield from _BUNDLE.decode(data.papermill).items()
        for name, reader in _SCRAPS.items():
            if raw := getattr(data, name):
                scrap = _SCRAP.decode(raw)
                yield scrap.name, reader(scrap.data)


def _bundle(raw: msgspec.Raw) -> Json:
    """Return results by name; what is not an object has the name `result`."""
    content = msgspec.json.decode(raw)
    if isinstance(content, str):  # where a kernel's language has no objects in outputs, their text
        with contextlib.suppress(msgspec.DecodeError):
            content = msgspec.json.decode(content)
    return content if isinstance(content, dict) else {"result": content}


def _as_number(value: Any) -> Any:
    """Return what scrapbook's JSON stands for: Jupyter writes NaN and the infinities as texts."""
    return encode(float(value)) if isinstance(value, str) and value in {"nan", "inf", "-inf"} else value


def _table_of_parquet(text: str) -> Any:
    """Return a table that scrapbook wrote as Parquet."""
    import base64

    from pyarrow import BufferReader, parquet

    return encode(parquet.read_table(BufferReader(base64.b64decode(text))))


_SCRAPS: Mapping[str, Callable[[Any], Any]] = {
    "scrap": _as_number,
    "scrap_text": str,
    "scrap_table": _table_of_parquet,
}


def _shown(cell: _Cell) -> tuple[Any] | None:
    """Return the value that a cell shows: its last output, else what it printed if that is one line."""
    from mambakernels.runs import shown_values

    outputs = cell.outputs or []
    for output in reversed(outputs):
        if output.output_type in {"execute_result", "display_data"} and output.data is not None:
            there = {kind: getattr(output.data, name) for kind, name in _SHOWN.items()}
            with contextlib.suppress(LookupError):
                return (
                    shown_values.read_output({kind: msgspec.json.decode(raw) for kind, raw in there.items() if raw}),
                )
    texts = (msgspec.json.decode(output.text) for output in outputs if output.name == "stdout")
    printed = "".join("".join(text) for text in texts).strip()
    return (shown_values.read_printed(printed),) if printed and "\n" not in printed else None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]}…"
