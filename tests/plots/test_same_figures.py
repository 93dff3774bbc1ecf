"""One figure for one thing: tables, pictures, the report, lessons and `measurements` of the same file agree."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.measurements import GEMM, SVD, kernel, measured, visits

import mambakernels
from mambakernels.bench.comparison import evaluate
from mambakernels.bench.measured import Measured
from mambakernels.bench.published import measurements
from mambakernels.bench.side_by_side import side_by_side
from mambakernels.bench.summaries import pool, summary
from mambakernels.blas_report.html import render
from mambakernels.cli.bench import _show
from mambakernels.cli.tables import print_results
from mambakernels.lessons.compared import Compared
from mambakernels.numeric.formatting import seconds, three_digits
from mambakernels.plots import gflops_by_size, png
from mambakernels.plots.frames import points

DATA = Path(__file__).parents[1] / "data" / "measured"
KEYS = ["operation", "size", "kernel"]


def numbers(page: str) -> set[float]:
    """Return the numbers that the cells of a report's tables sort by."""
    return {float(value) for value in re.findall('data-value="([^"]*)"', page)}


def of_bench() -> pd.DataFrame:
    """Return visits of one thread, of two with undisturbed samples, and of two with visits that were all disturbed."""
    one, two = kernel("a", 1), kernel("b", 2)
    several = {"alone": False, "cpu_samples": (), "threads": 2}
    times = [0.01, 0.011, 0.013, 0.012]
    rows = [*visits(one, GEMM, times, samples=(0.02, 0.5)), *visits(one, SVD, times)]
    rows += [*visits(two, GEMM, times, **several), *visits(two, SVD, [9.0, 9.0, *times], **several)]
    for row in rows[-6:-4]:
        row |= {"disturbed": [True, True], "disturbed_samples": 2, "estimator": "disturbed samples"}
    return measured([one, two], rows).frame


def test_table_picture_and_pool_of_a_file_of_bench_agree() -> None:
    frame = of_bench()
    table = side_by_side(measured([kernel("a", 1), kernel("b", 2)], frame.to_dict("records"))).set_index(KEYS)
    drawn = points(frame, *KEYS).set_index(KEYS)
    listed = summary(frame).set_index(KEYS)
    for key, rows in frame.groupby(KEYS, sort=False):
        seconds = pool(rows).seconds
        assert seconds == pytest.approx(0.0115)
        assert table.loc[key, "seconds"] == listed.loc[key, "seconds"] == seconds
        assert drawn.loc[key, "rate"] == pytest.approx(table.loc[key, "gflops"])
        assert listed.loc[key, "gflops"] == pytest.approx(table.loc[key, "gflops"])
    assert set(table["estimator"]) == {"CPU time", "undisturbed samples"}
    assert table.loc[("svd", 256, "b"), "disturbed"] == 4


def test_all_that_shows_a_file_of_bench_shows_the_same_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    measured([kernel("a", 1), kernel("b", 2)], of_bench().to_dict("records")).save(tmp_path / "base.json")
    found = evaluate(Measured.load(tmp_path / "base.json"))
    content = json.loads(json.dumps(found.as_dict()))
    _show(found)
    printed, page = capsys.readouterr().out, render(found, [], folder=tmp_path)
    figure = gflops_by_size(found.frame)
    heights = [float(y) for axis in figure.axes for line in axis.get_lines() for y in line.get_ydata()]
    drawn = mambakernels.plot(tmp_path / "base.json", output=tmp_path, figures=["gflops"]).files["gflops"]
    assert drawn.read_bytes() == png(figure)
    lesson = Compared.from_dict(content)
    assert len(content["table"]) == len(content["ranking"]) == len(found.table) == 4
    for row, ranked in zip(content["table"], content["ranking"], strict=True):
        mine = found.frame[(found.frame["kernel"] == row["kernel"]) & (found.frame["operation"] == row["operation"])]
        assert row["seconds"] == ranked["seconds"] == pool(mine).seconds
        assert row["gflops"] == ranked["gflops"]
        case = {"size": row["size"], "threads": row["asked"]}
        assert lesson.seconds(row["operation"], **case) == {row["kernel"]: row["seconds"]}
        assert lesson.rates(row["operation"], **case) == {row["kernel"]: row["gflops"]}
        assert {row["seconds"], row["gflops"]} <= numbers(page)
        assert any(np.isclose(height, row["gflops"]) for height in heights)
        for text in (seconds(row["seconds"]), three_digits(row["gflops"])):
            assert text in printed
            assert text in page
        assert seconds(row["seconds"]) in str(lesson)


def test_table_and_picture_of_notebooks_agree_with_measurements(capsys: pytest.CaptureFixture[str]) -> None:
    frame = measurements(DATA)
    print_results(frame)
    printed = capsys.readouterr().out
    figure = gflops_by_size(frame)
    heights = np.concatenate([line.get_ydata() for axis in figure.axes for line in axis.get_lines()])
    for row in frame[frame["correct"]].itertuples():
        assert summary(frame).set_index(KEYS).loc[(row.operation, row.size, row.kernel), "seconds"] == row.seconds
        assert seconds(row.seconds) in printed
        assert pd.isna(row.gflops) or np.isclose(heights.astype(float), row.gflops).any()
    assert "Times are the lower quartile of all samples." in printed
