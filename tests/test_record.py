"""`record`: what it takes, what it refuses, and what it shows; it stands alone in any Python."""

from __future__ import annotations

import ast
import datetime as dt
import decimal
import enum
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mambakernels
from mambakernels.record import MIME_TYPE, MOST_CHARACTERS, MOST_VALUES, encode, record
from mambakernels.runs import values
from mambakernels.runs.results import collect, rows

SOURCE = Path(mambakernels.__file__).with_name("record.py")
NAN = {"$numberDouble": "NaN"}


class Colour(enum.Enum):
    RED = "red"


def table(columns: list[Any], index: list[Any], data: list[list[Any]]) -> Any:
    return {"$table": {"columns": columns, "index": index, "data": data}}


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (True, True),
        (2**70, 2**70),
        (-np.inf, {"$numberDouble": "-Infinity"}),
        (np.float32(1.5), 1.5),
        (np.int64(3), 3),
        (np.bool_(True), True),  # noqa: FBT003 (NumPy's way to write it)
        (np.str_("a"), "a"),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array(1.0), 1.0),
        (np.datetime64("2026-01-01T12:00"), {"$date": "2026-01-01T12:00:00"}),
        (pd.Timestamp("2026-01-01", tz="UTC"), {"$date": "2026-01-01T00:00:00+00:00"}),
        (dt.date(2026, 1, 1), {"$date": "2026-01-01"}),
        (dt.timedelta(minutes=1), 60.0),
        (pd.NaT, None),
        (pd.NA, None),
        (decimal.Decimal("0.5"), 0.5),
        (Colour.RED, "red"),
        (Path("a/b"), "a/b"),
        ({"a": (1, float("nan")), 2: {3}}, {"a": [1, NAN], "2": [3]}),
        (pd.Series([1.0, None], name="s", index=["x", "y"]), table(["s"], ["x", "y"], [[1.0], [NAN]])),
        (pd.Index([1, 2]), [1, 2]),
        (
            pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.Categorical(["u", "v"])}),
            table(["a", "b"], [0, 1], [[1, "u"], [None, "v"]]),
        ),
        (pd.DataFrame({("a", "b"): [1]}), table([["a", "b"]], [0], [[1]])),
        (pa.table({"a": [1, 2], "b": ["x", None]}), table(["a", "b"], [0, 1], [[1, "x"], [2, None]])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_encoded_as_strict_json(value: Any, encoded: Any) -> None:
    assert encode(value) == encoded
    assert json.loads(json.dumps(encode(value), allow_nan=False)) == encoded


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (object(), TypeError, "'loss' is of type object"),
        ([1, {"a": 1j}], TypeError, "'loss' is of type complex"),
        (b"x", TypeError, "bytes"),
        (np.zeros((1000, 200)), ValueError, "'loss' is of 1,000 by 200 values, and at most 100,000"),
        (pd.DataFrame({"a": range(MOST_VALUES + 1)}), ValueError, "save it to a file and record the file's path"),
        ("x" * MOST_CHARACTERS, ValueError, "characters as JSON"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_recorded_is_refused_by_name_with_advice(value: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        record(fine=1, loss=value)


def test_a_reader_sees_short_values_and_the_head_of_tables(capsys: pytest.CaptureFixture[str]) -> None:
    record({"R²": 0.93}, name="x" * 500, frame=pd.DataFrame({"a": range(100)}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "R² = 0.93"
    assert lines[1] == f"name = {'x' * 200}…"
    assert lines[2:5] == ["frame:", "     a", "0    0"]
    assert lines[-1] == "…"
    assert len(lines) < 20


def test_it_needs_nothing_else_and_an_old_python() -> None:
    ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 8))
    code = f"import runpy; runpy.run_path({str(SOURCE)!r})['record'](r2=0.93)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("r2 = 0.93\n", "")


def test_parameters_and_results_hold_what_json_lacks_in_the_same_way() -> None:
    assert values.encode_value(float("nan")) == encode(float("nan")) == NAN


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda key: not key.startswith("$"))
TIMES = st.datetimes().map(lambda time: time.replace(fold=0))  # which ISO 8601 lacks
NESTED = st.recursive(
    SCALARS | TIMES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=NESTED)
def test_any_nested_value_arrives_equal(value: Any, tmp_path: Path) -> None:
    output = {"output_type": "display_data", "metadata": {}, "data": {MIME_TYPE: {"x": encode(value)}}}
    cell = {"cell_type": "code", "metadata": {}, "source": "", "execution_count": 1, "outputs": [output]}
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]}))
    (row,) = rows(file)
    assert repr(row["x"]) == repr(value), "NaN is not equal to itself"
    assert len(collect(file)) == 1
