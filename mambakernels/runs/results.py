"""Executed notebooks → one tidy DataFrame, a row per measurement; and that frame to a file and back."""

from __future__ import annotations

import glob
import json
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import pandas as pd

from mambakernels.errors import InvalidRequestError, NotFoundError, RunError, from_os_error, translated
from mambakernels.numeric.intervals import median_interval
from mambakernels.runs.bundle import MIME_TYPE, Bundle, BundleError, Measurement, decode
from mambakernels.runs.notebooks import Json, Notebook, outputs_of, read_notebook
from mambakernels.runs.records import METADATA_KEY
from mambakernels.system.files import write_atomically

Paths = str | os.PathLike[str]

_TEXT: Final = "string"  # not `str`: pandas 2 makes the text "None" of a missing one then
_DTYPES: Mapping[str, str] = {
    "notebook": _TEXT,
    "path": _TEXT,
    "kernel": _TEXT,
    "status": _TEXT,
    "started": _TEXT,
    "host": _TEXT,
    "parameters": _TEXT,
    "blas": _TEXT,
    "blas_version": _TEXT,
    "architecture": _TEXT,
    "threads": "Int64",
    "library": _TEXT,
    "lapack": _TEXT,
    "numpy": _TEXT,
    "python": _TEXT,
    "cpu": _TEXT,
    "cores": "Int64",
    "system": _TEXT,
    "peak_gflops": "float64",
    "code": _TEXT,
    "findings": _TEXT,
    "operation": _TEXT,
    "routine": _TEXT,
    "dtype": _TEXT,
    "size": "int64",
    "shape": _TEXT,
    "control": "bool",
    "flops": "float64",
    "flops_nominal": "bool",
    "bytes": "float64",
    "loops": "int64",
    "seconds": "float64",
    "seconds_min": "float64",
    "interval_low": "float64",
    "interval_high": "float64",
    "first_call": "float64",
    "stability": _TEXT,
    "remark": _TEXT,
    "gflops": "float64",
    "residual": "float64",
    "residual_bound": "float64",
    "error": "float64",
    "correct": "bool",
    "fingerprint": _TEXT,
    "reproduced": "boolean",
    "samples": "object",
}
COLUMNS = tuple(_DTYPES)
_LATER = ("error",)  # files that were saved before do not have it
_MAYBE_FLAGS = tuple(name for name, kind in _DTYPES.items() if kind == "boolean")


@translated
def collect(*notebooks: Paths) -> pd.DataFrame:
    """Read every measurement that executed notebooks published into one frame, a row per measurement.

    Parameters
    ----------
    notebooks
        Executed notebooks, folders (searched through, hidden ones left out) or glob patterns.

    Returns
    -------
    pandas.DataFrame
        Where it comes from: `notebook` (file name of the notebook that was run), `path` (of the executed one),
        `kernel`, `status` (`ok` or `failed`: a failed run contributes what it published before), `started`
        (UTC, ISO 8601), `host`, `parameters` (JSON).

        What ran: `blas`, `blas_version`, `architecture` (the code path the library chose), `threads`, `library`
        (path of the mapped file), `lapack`, `numpy`, `python` (versions), `cpu`, `cores`, `system`, `peak_gflops`
        (of one core, theoretical, 10⁹ flops per second), `code` (hash of the sources that measured), `findings`
        (what speaks against all of it).

        What was measured: `operation`, `routine` (of BLAS or LAPACK), `dtype`, `size` (n), `shape` (JSON), `control`
        (no BLAS takes part), `flops` (per call; NaN if not known), `flops_nominal` (a convention, no count), `bytes`
        (least traffic per call), `loops` (calls per sample), `seconds` (median of the samples, per call),
        `seconds_min`, `interval_low` and `interval_high` (of the median, 95 %), `first_call` (seconds, before any
        other), `stability` (`stable`, `noisy`, `drifting` or `too short`) with its `remark`, `gflops` (10⁹ flops
        per second, from the median), `residual` and `residual_bound` (dimensionless), `error` (of a few entries
        against exact arithmetic, relative to the sum of the absolute products, in units of the dtype's eps; NaN where
        entries are no sums of products), `correct` (the residual keeps its bound), `fingerprint` (hash of
        the result's bits), `reproduced` (a second call gave the same bits), `samples` (list of seconds per call).

    Raises
    ------
    NotFoundError
        A path matches nothing.
    RunError
        A file is no notebook, or a bundle in it does not keep the contract; names the notebook and the cell.
    """
    files = dict.fromkeys(file for path in notebooks for file in _matching(path))
    return _frame([row for file in files for row in _rows(read_notebook(file))])


def save(frame: pd.DataFrame, path: Paths) -> Path:
    """Write a frame to a `.csv` or `.parquet` file, whole or not at all, and return its path; raw samples included."""
    file = Path(path).expanduser().absolute()
    write_atomically(file, _format_of(file).write(frame))
    return file


def load(path: Paths) -> pd.DataFrame:
    """Read a frame that `save` wrote; it equals the one that was saved."""
    file = Path(path).expanduser().absolute()
    reader = _format_of(file)
    try:
        return reader.read(file)
    except FileNotFoundError as error:
        raise NotFoundError(
            "There is no such results file.",
            where=str(file),
            next_step="Write one with: mambakernels collect NOTEBOOKS -o FILE",
        ) from error
    except OSError as error:
        raise from_os_error(error) from error
    except (ValueError, KeyError) as error:
        raise RunError(f"This file does not hold results: {error}.", where=str(file)) from error


def _matching(path: Paths) -> list[Path]:
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        found = [file for file in sorted(place.rglob("*.ipynb")) if not _is_hidden(file.relative_to(place))]
    elif place.exists():
        found = [place]
    else:
        matching = glob.glob(str(place), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        found = [Path(file) for file in sorted(matching) if file.endswith(".ipynb")]
    if not found:
        raise NotFoundError(
            "No notebook is there.", where=str(path), next_step="Give executed notebooks, or their folder."
        )
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _rows(notebook: Notebook) -> Iterator[Json]:
    origin = _origin(notebook)
    for cell, output in outputs_of(notebook.content):
        content = output.get("data", {}).get(MIME_TYPE)
        if content is not None:
            bundle = _decoded(content, notebook.path, cell)
            yield from ({**origin, **_surroundings(bundle), **_figures(one, bundle)} for one in bundle.measurements)


def _decoded(content: object, path: Path, cell: int) -> Bundle:
    try:
        return decode(content)
    except BundleError as error:
        raise RunError(
            f"The measurements that cell {cell + 1} published cannot be read: {error}.",
            where=str(path),
            next_step="Run the notebook again with this version of mambakernels.",
        ) from error


def _origin(notebook: Notebook) -> Json:
    """Return what the record says of the run; of a notebook that was run by hand, what its metadata shows."""
    metadata = notebook.content.get("metadata", {})
    record = metadata.get(METADATA_KEY) or {}
    return {
        "notebook": Path(record.get("notebook", {}).get("path", notebook.path)).name,
        "path": str(notebook.path),
        "kernel": record.get("kernel", metadata.get("kernelspec", {})).get("name"),
        "status": record.get("status", _status_by_hand(notebook)),
        "started": record.get("started"),
        "host": record.get("host"),
        "parameters": json.dumps(record.get("parameters", {}), sort_keys=True),
    }


def _status_by_hand(notebook: Notebook) -> str:
    raised = any(output.get("output_type") == "error" for _, output in outputs_of(notebook.content))
    return "failed" if raised else "ok"


def _surroundings(bundle: Bundle) -> Json:
    return {**vars(bundle.probe), "code": bundle.code, "findings": "; ".join(bundle.findings) or None}


def _figures(one: Measurement, bundle: Bundle) -> Json:
    median = statistics.median(one.samples)
    interval = median_interval(one.samples)
    return {
        **vars(one),
        "threads": bundle.probe.threads if one.threads is None else one.threads,
        "shape": json.dumps(one.shape, sort_keys=True),
        "remark": one.remark or None,
        "samples": list(one.samples),
        "seconds": median,
        "seconds_min": min(one.samples),
        "interval_low": interval.low,
        "interval_high": interval.high,
        "gflops": one.flops / median / 1e9 if one.flops is not None and median > 0 else math.nan,
        "correct": _is_correct(one),
    }


def _is_correct(one: Measurement) -> bool:
    """Tell whether the result was right; an operation without a check (no bound) cannot be called wrong."""
    if one.residual_bound is None:
        return True
    return one.residual is not None and one.residual <= one.residual_bound  # False for NaN, as it should be


def _frame(rows: Sequence[Json]) -> pd.DataFrame:
    return pd.DataFrame.from_records(rows, columns=list(COLUMNS)).astype(dict(_DTYPES))


class _Csv:
    """Comma-separated values, UTF-8; samples as a JSON list."""

    @staticmethod
    def write(frame: pd.DataFrame) -> bytes:
        samples = frame["samples"].map(lambda samples: json.dumps(list(samples)))
        text: str = frame.assign(samples=samples).to_csv(index=False)
        return text.encode()

    @staticmethod
    def read(file: Path) -> pd.DataFrame:
        # All as text first: pandas' own reading of numbers is not exact in every version. And only an empty field
        # is missing: a kernel may be called `NA`.
        text = pd.read_csv(file, dtype=_TEXT, keep_default_na=False, na_values=[""], encoding="utf-8")
        samples = text["samples"].map(json.loads).astype(object)
        flags = {name: text[name] == "True" for name, kind in _DTYPES.items() if kind == "bool"}
        flags |= {name: text[name].map({"True": True, "False": False}) for name in _MAYBE_FLAGS}
        return _like_collected(text.assign(samples=samples, **flags))


class _Parquet:
    """Apache Parquet, which needs pyarrow."""

    @staticmethod
    def write(frame: pd.DataFrame) -> bytes:
        require_pyarrow(instead=".csv")
        stream = BytesIO()
        frame.to_parquet(stream, engine="pyarrow", index=False)
        return stream.getvalue()

    @staticmethod
    def read(file: Path) -> pd.DataFrame:
        require_pyarrow(instead=".csv")
        frame = pd.read_parquet(file, engine="pyarrow")
        return _like_collected(frame.assign(samples=frame["samples"].map(list)))


_FORMATS: Mapping[str, type[_Csv | _Parquet]] = {".csv": _Csv, ".parquet": _Parquet}


def _format_of(file: Path) -> type[_Csv | _Parquet]:
    try:
        return _FORMATS[file.suffix.lower()]
    except KeyError:
        raise InvalidRequestError(
            "Results are kept in .csv or .parquet files.", where=str(file), next_step="Give a name with that ending."
        ) from None


def require_pyarrow(*, instead: str) -> None:
    """Raise InvalidRequestError without pyarrow; `instead` is the ending of a file that does not need it."""
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise InvalidRequestError(
            "Parquet files need pyarrow, which is not installed.",
            next_step=f"Install it with `pip install pyarrow`, or use a name that ends in {instead}.",
        )


def _like_collected(frame: pd.DataFrame) -> pd.DataFrame:
    missing = {name: math.nan for name in _LATER if name not in frame}
    return frame.assign(**missing)[list(COLUMNS)].astype(dict(_DTYPES))
