"""One row per run: of our records, and of notebooks that others executed."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import nbformat
import pandas as pd
import papermill
import pytest
from pandas.testing import assert_frame_equal

from mambakernels.errors import InvalidRequestError, NotFoundError, RunError
from mambakernels.numeric import mime_bundle, probe
from mambakernels.record import MIME_TYPE
from mambakernels.runs import outcome_cache
from mambakernels.runs.execute import run
from mambakernels.runs.results import FIXED, Table, collect, rows

GLUED = Path(__file__).parents[1] / "data" / "glued.ipynb"
UTC = dt.timezone.utc
POLARS = (
    '<div><style>\n.dataframe > thead</style>\n<small>shape: (2, 2)</small><table border="1" class="dataframe"><thead>'
    "<tr><th>a</th><th>b</th></tr><tr><td>i64</td><td>str</td></tr></thead><tbody><tr><td>{}</td><td>{}</td></tr>"
)
POLARS_END = "<tr><td>null</td><td>&quot;x &lt;y&gt;&quot;</td></tr></tbody></table></div>"
Json = dict[str, Any]


def shown(data: Json, *, tags: tuple[str, ...] = (), **output: Any) -> Json:
    """A code cell that displayed one output."""
    filled = {"output_type": "display_data", "data": data, "metadata": {}, **output}
    return {
        "cell_type": "code", "id": f"c{abs(hash(str(data)))}", "metadata": {"tags": list(tags)}, "source": "",
        "execution_count": 1, "outputs": [filled],
    }  # fmt: skip


def recorded(**results: Any) -> Json:
    return shown({MIME_TYPE: results, "text/plain": "…"})


def record_of(**changes: Any) -> Json:
    """The metadata of one of our records."""
    return {
        "mambakernels": {
            "schema": 1,
            "notebook": {"path": "/w/study.ipynb", "sha256": "0", "cells": "1"},
            "kernel": {
                "name": "k", "fingerprint": "2", "display_name": "K", "metadata": {"environment": "env"},
                "packages": None,
            },
            "parameters": {}, "started": "2026-11-26T10:00:00.123+00:00", "seconds": 1.5, "status": "ok",
            "error": None, "version": "0", "host": "h", "folder": "/w", **changes,
        }
    }  # fmt: skip


@pytest.fixture
def write_executed(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an executed notebook; without `metadata` it was run by hand."""
    (tmp_path / "runs").mkdir()

    def written(*cells: Json, metadata: Json | None = None, name: str = "a.ipynb") -> Path:
        file = tmp_path / "runs" / name
        content = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata or {}, "cells": list(cells)}
        file.write_text(json.dumps(content), encoding="utf-8")
        return file

    return written


def test_a_row_says_what_ran_where_and_how_it_ended(write_executed: Any) -> None:
    error = {"ename": "ValueError", "evalue": "two\n lines", "cell": 3}
    write_executed(recorded(r2=0.5), metadata=record_of(parameters={"n": 2}, status="failed", error=error, repeat=2))
    file = write_executed(recorded(r2=0.93), metadata=record_of(parameters={"n": 3}), name="b.ipynb")
    frame = collect(file.parent)
    assert list(frame.columns) == [*FIXED, "n", "r2"]
    failed, ok = frame.to_dict(orient="records")
    started = pd.Timestamp("2026-11-26T10:00:00.123Z")
    assert ok == {
        "notebook": "study.ipynb", "kernel": "k", "environment": "env", "status": "ok", "error": None, "seconds": 1.5,
        "started": started, "host": "h", "path": str(file), "repeat": 1, "blas": None, "n": 3, "r2": 0.93,
    }  # fmt: skip
    assert (failed["status"], failed["error"], failed["repeat"]) == ("failed", "cell 3: ValueError: two lines", 2)
    assert failed["r2"] == 0.5, "what a failed run had recorded counts"
    assert [row["started"] for row in rows(file)] == [started.to_pydatetime()]


def test_columns_have_the_types_of_their_values_and_keep_them_where_some_are_missing(write_executed: Any) -> None:
    parameters = {"n": 2, "lr": 1.5, "fast": True, "name": "x", "many": [1, 2]}
    write_executed(metadata=record_of(parameters=parameters))
    results = {"count": 7, "when": {"$date": "2026-11-26T12:00:00+01:00"}, "bad": {"$numberDouble": "NaN"}, "mixed": 1}
    write_executed(recorded(**results), metadata=record_of(parameters={"n": None, "lr": 2}), name="b.ipynb")
    big = 2**70
    last = write_executed(recorded(mixed="one", big=big, bad=1), metadata=record_of(), name="c.ipynb")
    frame = collect(last.parent)
    assert {name: str(kind) for name, kind in frame.dtypes.items() if name not in FIXED} == {
        "n": "Int64", "lr": "float64", "fast": "boolean", "name": "string", "many": "object", "count": "Int64",
        "when": "datetime64[us, UTC]", "bad": "float64", "mixed": "object", "big": "object",
    }  # fmt: skip
    assert frame["when"][1] == dt.datetime(2026, 11, 26, 11, tzinfo=UTC)
    assert frame["big"][2] == big
    assert math.isnan(rows(last.parent)[1]["bad"])
    assert str(frame["started"].dtype) == "datetime64[us, UTC]"


def test_only_names_that_clash_get_a_prefix(write_executed: Any) -> None:
    given = {"n": 2, "status": "mine"}
    file = write_executed(recorded(n=3, status=4, r2=5, blas="?"), metadata=record_of(parameters=given))
    (row,) = rows(file)
    assert row["n"] == 2
    assert (row["status"], row["parameter.status"], row["result.status"]) == ("ok", "mine", 4)
    assert (row["result.n"], row["r2"], row["result.blas"], row["blas"]) == (3, 5, "?", None)


def test_a_blas_that_was_proven_counts_more_than_one_that_was_loaded(write_executed: Any) -> None:
    proven = shown(mime_bundle([], probe()))
    file = write_executed(proven, metadata=record_of(blas="loaded"))
    write_executed(metadata=record_of(blas="loaded"), name="b.ipynb")
    assert [row["blas"] for row in rows(file.parent)] == [probe().blas.name, "loaded"]


def test_the_last_result_of_a_name_counts(write_executed: Any) -> None:
    file = write_executed(recorded(loss=3, first=1), recorded(loss=2), metadata=record_of())
    assert [rows(file)[0][name] for name in ("loss", "first")] == [2, 1]


def test_a_recorded_table_is_a_frame_and_json_in_files(write_executed: Any, tmp_path: Path) -> None:
    table = {"$table": {"columns": ["a", "b"], "index": ["x", "y"], "data": [[1, None], [2, {"$date": "2026-01-01"}]]}}
    file = write_executed(recorded(table=table, pairs={"k": [1]}), metadata=record_of())
    frame = collect(file, to=tmp_path / "t.csv")
    when = dt.datetime(2026, 1, 1)  # noqa: DTZ001 (a day has no zone)
    assert_frame_equal(frame["table"][0], pd.DataFrame({"a": [1, 2], "b": [None, when]}, index=["x", "y"]))
    assert rows(file)[0]["table"] == Table(["a", "b"], ["x", "y"], [[1, None], [2, when]])
    written = pd.read_csv(tmp_path / "t.csv")
    assert json.loads(written["table"][0]) == {
        "columns": ["a", "b"], "index": ["x", "y"], "data": [[1, None], [2, "2026-01-01T00:00:00"]],
    }  # fmt: skip
    assert json.loads(written["pairs"][0]) == {"k": [1]}


TAGGED = {
    "a number of Python": ({"text/plain": "0.93"}, 0.93),
    "one of NumPy": ({"text/plain": "np.float64(0.93)"}, 0.93),
    "a text": ({"text/plain": "'it\\'s'"}, "it's"),
    "nan": ({"text/plain": "nan"}, math.nan),
    "words": ({"text/plain": ["12 of", " 13"]}, "12 of 13"),
    "a list": ({"text/plain": "[1, (2.5, None), {'a': inf}]"}, [1, [2.5, None], {"a": math.inf}]),
    "an array": ({"text/plain": "array([[1., 2.],\n       [3., nan]])"}, [[1.0, 2.0], [3.0, math.nan]]),
    "a shortened array": ({"text/plain": "array([0, 1, ..., 9], shape=(10,))"}, "array([0, 1, ..., 9], shape=(10,))"),
    "JSON": ({"application/json": {"a": [1]}, "text/plain": "<JSON object>"}, {"a": [1]}),
    "a number of R": ({"text/html": "0.93", "text/plain": "[1] 0.93"}, 0.93),
    "all digits of R": ({"text/html": "123456789.123", "text/plain": "[1] 123456789"}, 123456789.123),
    "all digits of a vector": (
        {
            "text/html": "<style/><ol class=list-inline><li>0.123456789</li><li>&lt;NA&gt;</li><li>2</li></ol>",
            "text/plain": "[1] 0.1234568 NA 2",
        },
        [0.123456789, None, 2],
    ),
    "a vector of texts": (
        {"text/html": "<ol class=list-inline><li>'a'</li><li>'b'</li></ol>", "text/plain": '[1] "a" "b"'},
        ["a", "b"],
    ),
    "a matrix of R": (
        {"text/html": '<table class="dataframe"><tbody>\n<tr><td>1</td><td>3</td></tr></tbody></table>'},
        [[1, 3]],
    ),
    "a text of R": ({"text/html": "'a b'", "text/plain": '[1] "a b"'}, "a b"),
    "a vector of R": ({"text/plain": " [1]  1  2\n[18] NA  4"}, [1, 2, None, 4]),
    "no value of R": ({"text/plain": "NULL"}, None),
    "a truth of Julia": ({"text/plain": "true"}, True),
    "a vector of Julia": ({"text/plain": "2-element Vector{Float64}:\n 1.0\n NaN"}, [1.0, math.nan]),
    "CSV": ({"text/csv": "a,b\n1,x y\n", "text/plain": "…"}, Table(["a", "b"], [0], [[1, "x y"]])),
    "a frame": (
        {"text/html": pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": ["007", "NaN"]})._repr_html_()},
        Table(["a", "b", "c"], [0, 1], [[1, 0.5, "007"], [2, math.nan, math.nan]]),
    ),
    "a frame of polars": (
        {"text/html": POLARS.format(1, "&quot;1&quot;") + POLARS_END},
        Table(["a", "b"], [0, 1], [[1, "1"], [None, "x <y>"]]),
    ),
    "a shortened text of polars": (
        {"text/html": POLARS.format(1, "&quot;zzz…") + POLARS_END, "text/plain": "cut"},
        "cut",
    ),
    "a frame with a named index": (
        {"text/html": pd.DataFrame({"k": ["x"], "v": [1]}).set_index("k")._repr_html_()},
        Table(["v"], ["x"], [[1]]),
    ),
    "a shortened frame": (
        {"text/html": pd.DataFrame({"a": range(99)})._repr_html_(), "text/plain": "many"},
        "many",
    ),
    "a frame of R": (
        {
            "text/html": '<table class="dataframe">\n<caption>A data.frame</caption>\n<thead>\n'
            "\t<tr><th scope=col>a</th><th scope=col>b</th></tr>\n"
            "\t<tr><th scope=col>&lt;dbl&gt;</th><th scope=col>&lt;chr&gt;</th></tr>\n"
            "</thead>\n<tbody>\n\t<tr><td>1.5</td><td>x</td></tr>\n</tbody>\n</table>\n"
        },
        Table(["a", "b"], [0], [[1.5, "x"]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "value"), TAGGED.values(), ids=TAGGED)
def test_a_tagged_cell_gives_the_value_it_shows(write_executed: Any, data: Json, value: Any) -> None:
    file = write_executed(shown({"text/plain": "earlier"}), shown(data, tags=("x", "result:score")))
    (row,) = rows(file)
    assert repr(row["score"]) == repr(value), "NaN is not equal to itself"


def test_what_a_tagged_cell_prints_counts_if_it_is_one_line(write_executed: Any) -> None:
    line = {"output_type": "stream", "name": "stdout", "text": ["0.", "5\n"]}
    lines = {"output_type": "stream", "name": "stdout", "text": "1\n2\n"}
    cells = [shown({}, tags=("result:one",)), shown({}, tags=("result:two",))]
    cells[0]["outputs"], cells[1]["outputs"] = [line], [lines]
    (row,) = rows(write_executed(*cells))
    assert row["one"] == 0.5
    assert "two" not in row


def test_what_only_looks_like_ours_stays_what_it_is(write_executed: Any) -> None:
    odd = {
        "day": {"$date": "soon"}, "zulu": {"$date": "2026-01-01T00:00:00Z"}, "number": {"$numberDouble": "x"},
        "table": {"$table": {"columns": ["a"], "index": [0], "data": [[1, 2]]}}, "none": {"$table": None},
    }  # fmt: skip
    cells = [
        recorded(**odd), shown({MIME_TYPE: '{"text": 1}'}), shown({MIME_TYPE: [1, 2]}),
        shown({"application/scrapbook.scrap.json+json": 3}), shown({"application/papermill.record+json": None}),
        shown({"application/scrapbook.scrap.pandas+json": {"name": "t", "data": "AAAA"}}),
    ]  # fmt: skip
    (row,) = rows(write_executed(*cells, metadata=record_of()))
    results = {name: value for name, value in row.items() if name not in FIXED}
    assert results == {**odd, "zulu": dt.datetime(2026, 1, 1, tzinfo=UTC), "text": 1, "result": [1, 2]}
    assert len(collect(Path(row["path"]))) == 1


def test_what_scrapbook_glued_is_recorded() -> None:
    (row,) = rows(GLUED)
    results = {name: value for name, value in row.items() if name not in FIXED}
    assert math.isnan(results.pop("nan"))
    assert results == {
        "r2": 0.93, "word": "hello", "numtext": "1.5", "flag": True, "lst": [1, 2, 3], "d": {"a": 1, "b": None},
        "df": Table(["a", "b"], [0, 1], [[1, "x"], [2, None]]), "both": 3, "jtext": {"a": 1}, "np": 1.5,
    }  # fmt: skip


def test_what_papermill_recorded_before_scrapbook_counts_too(write_executed: Any) -> None:
    (row,) = rows(write_executed(shown({"application/papermill.record+json": {"loss": 0.5}})))
    assert row["loss"] == 0.5


@pytest.mark.parametrize("written", [[1], {"duration": "long"}, None, "x"])
def test_what_papermill_did_not_write_hides_no_results(write_executed: Any, written: Any) -> None:
    cell = shown({"application/papermill.record+json": {"loss": 0.5}})
    (row,) = rows(write_executed(cell, metadata={"papermill": written}))
    assert (row["status"], row["loss"]) == ("ok", 0.5)


def test_notebooks_run_by_papermill_are_rows(install: Any, write: Any, tmp_path: Path) -> None:
    install("known")
    source = write("m = n + 1\nm", "m", "raise ValueError('no')", parameters="n = 1\nword = 'a'")
    notebook = nbformat.read(source, 4)
    notebook.cells[3].metadata["tags"] = ["result:m"]
    nbformat.write(notebook, source)
    with pytest.raises(papermill.PapermillExecutionError):
        papermill.execute_notebook(
            source, tmp_path / "done.ipynb", parameters={"n": 4}, kernel_name="known", progress_bar=False
        )
    (row,) = rows(tmp_path / "done.ipynb")
    known = ("notebook", "kernel", "environment", "status", "error", "repeat", "n", "m")
    assert [row[name] for name in known] == [
        source.name, "python3", None, "failed", "ValueError: no", None, 4, 5,
    ]  # fmt: skip
    assert row["seconds"] > 0
    assert dt.timedelta(0) < dt.datetime.now(UTC) - row["started"] < dt.timedelta(minutes=5)


def test_notebooks_run_by_hand_are_rows_and_those_never_run_are_none(write_executed: Any) -> None:
    times = {"iopub.execute_input": "2026-11-26T10:00:00.123456Z", "shell.execute_reply": "2026-11-26T10:00:02.123456Z"}
    raised = {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": []}
    expected, failing = shown({}, tags=("raises-exception",)), shown({})
    expected["outputs"] = failing["outputs"] = [raised]
    expected["metadata"]["execution"] = times
    by_hand = {"kernelspec": {"name": "python3"}}
    file = write_executed(expected, metadata=by_hand)
    write_executed(expected, failing, metadata=by_hand, name="b.ipynb")
    never = {"cell_type": "code", "id": "x", "metadata": {}, "source": "1", "execution_count": None, "outputs": []}
    write_executed(never, metadata=by_hand, name="c.ipynb")
    good, bad = rows(file.parent)
    assert (good["notebook"], good["kernel"], good["status"], good["seconds"]) == ("a.ipynb", "python3", "ok", 2.0)
    assert good["started"] == dt.datetime(2026, 11, 26, 10, 0, 0, 123456, tzinfo=UTC)
    assert (bad["status"], bad["error"]) == ("failed", "KeyError: 'a'")


def test_files_that_cannot_be_read_are_rows_that_say_so(write_executed: Any) -> None:
    file = write_executed(recorded(x=1))
    (file.parent / "b.ipynb").write_text("{")
    cell = {"cell_type": "code", "source": "", "outputs": 3}
    (file.parent / "c.ipynb").write_text(json.dumps({"nbformat": 4, "cells": [cell]}))
    frame = collect(file.parent)
    assert list(frame["status"]) == ["ok", "unreadable", "unreadable"]
    assert list(frame["notebook"]) == ["a.ipynb", "b.ipynb", "c.ipynb"]
    assert frame["error"].str.contains("not a notebook|cannot be read").sum() == 2


def test_notebooks_that_are_not_strictly_json_are_read(write_executed: Any) -> None:
    file = write_executed(recorded(x=float("nan"), half="\ud83d"), metadata=record_of(parameters={"n": math.inf}))
    (row,) = rows(file)
    assert math.isnan(row["x"])
    assert (row["half"], row["n"]) == ("?", math.inf)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert rows(file)[0]["n"] == math.inf


def test_a_path_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        collect(tmp_path / "nothing")


def test_every_way_to_record_survives_a_rerun(install: Any, write: Any, tmp_path: Path) -> None:
    install("known", mark={"environment": "env"})
    source = write(
        "from mambakernels.record import record\nimport numpy as np\nrecord(r2=np.float64(n) / 2, size=n)",
        "n * 2",
        "assert n < 3",
        parameters="n = 1",
    )
    notebook = nbformat.read(source, 4)
    notebook.cells[3].metadata["tags"] = ["result:double"]
    nbformat.write(notebook, source)
    first = run(source, kernels="known", output=tmp_path / "one", grid={"n": [1, 3]})
    frame = collect(tmp_path / "one").sort_values("n")
    assert list(frame["environment"]) == ["env"] * 2
    expected = [["ok", 1, 0.5, 1, 2], ["failed", 3, 1.5, 3, 6]]
    assert frame[["status", "n", "r2", "size", "double"]].to_numpy().tolist() == expected
    assert [str(frame[name].dtype) for name in ("n", "r2", "size", "double")] == ["Int64", "float64", "Int64", "Int64"]
    run(first[0].path, kernels="known", output=tmp_path / "two", parameters={"n": 2})
    (row,) = rows(tmp_path / "two")
    assert row["blas"] == (probe().blas.name if sys.platform == "linux" else None)
    assert [row[name] for name in ("status", "n", "r2", "size", "double")] == ["ok", 2, 1.0, 2, 4]


@pytest.fixture
def many(write_executed: Any) -> Path:
    """A folder of enough notebooks for a cache, written a while ago."""
    folder = Path()
    for number in range(60):
        file = write_executed(recorded(x=number), metadata=record_of(), name=f"{number:02}.ipynb")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        folder = file.parent
    return folder


def test_what_was_read_is_not_read_again(many: Path, write_executed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = collect(many)
    read: list[str] = []
    original = outcome_cache.outcome_of
    monkeypatch.setattr(
        outcome_cache, "outcome_of", lambda raw, path: (read.append(Path(path).name), original(raw, path))[1]
    )
    assert_frame_equal(collect(many), before)
    assert_frame_equal(collect(many / "*.ipynb"), before)
    assert read == []
    write_executed(recorded(x=-7), metadata=record_of(), name="07.ipynb")
    write_executed(recorded(x=60), metadata=record_of(), name="60.ipynb")
    (many / "11.ipynb").unlink()
    assert sorted(collect(many)["x"]) == sorted({*range(61), -7} - {7, 11})
    assert read == ["07.ipynb", "60.ipynb"]


def test_a_notebook_that_has_just_changed_is_read_again_even_if_time_and_size_are_the_same(
    many: Path, write_executed: Any
) -> None:
    file = write_executed(recorded(x=100), metadata=record_of(), name="00.ipynb")
    now = file.stat().st_mtime_ns
    assert collect(many)["x"].max() == 100
    write_executed(recorded(x=200), metadata=record_of(), name="00.ipynb")
    os.utime(file, ns=(now, now))
    assert collect(many)["x"].max() == 200


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"code": "other", "entries": {}}', b'{"entries": 3}'])
def test_a_damaged_or_foreign_cache_is_replaced(many: Path, content: bytes) -> None:
    before = collect(many)
    cache = many / outcome_cache.FILE
    cache.write_bytes(content)
    assert_frame_equal(collect(many), before)
    assert len(cache.read_bytes()) > len(content)
    cache.unlink()
    assert_frame_equal(collect(many), before)


def test_where_no_cache_can_be_written_nothing_is_said(many: Path) -> None:
    (many / outcome_cache.FILE).mkdir()  # root may write everywhere, but not a file in place of a folder
    assert len(collect(many)) == 60
    assert not [file for file in many.iterdir() if file.name.endswith(".part")]


def test_a_few_notebooks_get_no_cache(write_executed: Any) -> None:
    file = write_executed(recorded(x=1))
    collect(file.parent)
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_two_at_a_time_do_no_harm(many: Path) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(len(rows(many)) for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [60] * 20


def test_files_of_each_kind_hold_the_table(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = collect(many, to="csv")
    assert list(pd.read_csv("results.csv")["x"]) == list(range(60))
    collect(many, to="new folder/runs.parquet")
    assert_frame_equal(pd.read_parquet("new folder/runs.parquet"), frame)
    with duckdb.connect("runs.duckdb") as database:
        database.execute("CREATE TABLE mine AS SELECT 1 AS one")
    for _ in range(2):
        collect(many, to="runs.duckdb")
    with duckdb.connect("runs.duckdb") as database:
        found = database.execute("SELECT count(*), sum(x), min(epoch_ms(started)) FROM runs").fetchall()
        assert found == [(60, sum(range(60)), int(frame["started"][0].timestamp() * 1000))]
        assert database.execute("SELECT one FROM mine").fetchall() == [(1,)], "other tables stay"
    with pytest.raises(InvalidRequestError, match=r"\.csv, \.parquet or \.duckdb"):
        collect(many, to="results.xlsx")


def test_a_database_that_is_none_or_a_missing_duckdb_is_said(
    write_executed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_executed(recorded(x=1))
    (tmp_path / "other.duckdb").write_bytes(b"x" * 5000)
    with pytest.raises(RunError, match=r"other\.duckdb"):
        collect(file, to=tmp_path / "other.duckdb")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InvalidRequestError, match="pip install duckdb"):
        collect(file, to=tmp_path / "a.duckdb")
    assert not (tmp_path / "a.duckdb").exists()


def test_the_cache_is_for_anyone_who_may_read_the_notebooks(many: Path) -> None:
    collect(many)
    plain = many / "plain"
    plain.touch()
    assert stat.S_IMODE((many / outcome_cache.FILE).stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_records_at_an_address_are_collected_with_a_cache_there(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, folder = fsspec.filesystem("memory"), "memory://collected/runs"
    names = [f"{file.stem}[{{*}}].ipynb" for file in sorted(many.iterdir())]
    for name, file in zip(names, sorted(many.iterdir()), strict=True):
        system.pipe_file(f"/collected/runs/{name}", file.read_bytes())
    try:
        frame = collect(folder)
        assert list(frame["x"]) == list(range(60))
        assert list(frame["path"])[:2] == [f"{folder}/{name}" for name in names[:2]]
        assert system.exists(f"/collected/runs/{outcome_cache.FILE}")
        assert list(collect([many, f"{folder}/{names[7]}"])["x"]) == [*range(60), 7]
        monkeypatch.setattr(outcome_cache, "outcome_of", pytest.fail)
        assert_frame_equal(collect(folder), frame)
        with pytest.raises(NotFoundError, match="memory://collected/none"):
            collect("memory://collected/none")
    finally:
        system.rm("/collected", recursive=True)


def test_the_command_line_shows_writes_and_prints_json(
    many: Path, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_cache, "_REPORTED", 20)
    shown_table = cli("collect", many).stdout
    assert shown_table.split()[:6] == ["notebook", "kernel", "environment", "status", "seconds", "x"]
    assert "host" not in shown_table
    printed = json.loads(cli("collect", many, "--json").stdout)
    assert [row["x"] for row in printed] == list(range(60))
    assert printed[0]["started"] == "2026-11-26T10:00:00.123000+00:00"
    assert "60 runs in " in cli("collect", many, "--to", tmp_path / "all.parquet").stdout
    assert len(pd.read_parquet(tmp_path / "all.parquet")) == 60
    assert ".duckdb" in cli("collect", many, "--to", "a.xls").stderr
    (many / outcome_cache.FILE).unlink()
    reported: list[Any] = []
    collect(many, progress=reported.append)
    assert [(event.step, event.done, event.total) for event in reported] == [
        ("read", 20, 60), ("read", 40, 60), ("read", 60, 60),
    ]  # fmt: skip
