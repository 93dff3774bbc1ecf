from __future__ import annotations

import pandas as pd
import pytest
from support.measurements import FFT, GEMM, as_json, kernel, measured, visits

from mambakernels.bench.cases import Case
from mambakernels.bench.comparison import evaluate
from mambakernels.bench.side_by_side import side_by_side

SINGLE = Case("gemm", "float32", 256)


def test_time_rate_and_shares() -> None:
    a, b = kernel("a"), kernel("b")
    rows = [*visits(a, GEMM, [0.001, 0.002, 0.003]), *visits(b, GEMM, [0.004] * 3, fingerprint="f2")]
    rows += [*visits(a, FFT, [0.001] * 3), *visits(b, FFT, [0.001] * 3)]
    table = side_by_side(measured([a, b], rows))
    assert table["kernel"].tolist() == ["a", "b", "a", "b"]
    assert table["seconds"].tolist() == pytest.approx([0.002, 0.004, 0.001, 0.001])
    rate = 2 * 256**3 / 0.002 / 1e9
    assert table["gflops"].iloc[0] == pytest.approx(rate)
    assert table["of_peak"].iloc[0] == pytest.approx(rate / 100)
    assert table["of_best"].iloc[:2].tolist() == pytest.approx([1.0, 0.5])
    assert table["of_best"].iloc[2:].isna().all()
    assert table["same_bits"].tolist() == [True, False, True, True]
    assert table["reproducible"].tolist() == [True] * 4
    assert (table["low"].iloc[0], table["high"].iloc[0]) == (0.001, 0.003)


def test_the_peak_is_that_of_the_threads_and_twice_as_high_in_single_precision() -> None:
    two = kernel("a", 2, library={"threads": 2})
    rows = [*visits(two, GEMM, [0.001] * 3, threads=2), *visits(two, SINGLE, [0.001] * 3, threads=2)]
    table = side_by_side(measured([two], rows))
    rate = 2 * 256**3 / 0.001 / 1e9
    assert table["of_peak"].tolist() == pytest.approx([rate / 200, rate / 400])
    assert table["eps"].iloc[0] == pytest.approx(1e-16 / 2**-52)


def test_without_a_peak_no_share_is_made_up() -> None:
    one = kernel("a", machine={"peak": {"gflops_per_core": None, "how": "unknown"}})
    table = side_by_side(measured([one], list(visits(one, GEMM, [0.001]))))
    assert table["of_peak"].isna().all()
    assert table["reproducible"].tolist() == [None]


def test_a_wrong_result_is_marked_with_its_worst_residual() -> None:
    one = kernel("a")
    rows = [*visits(one, GEMM, [0.001]), *visits(one, GEMM, [0.001], residual=0.5)]
    table = side_by_side(measured([one], rows))
    assert as_json(table)[0]["correct"] is False
    assert table["residual"].iloc[0] == 0.5


def test_the_error_is_the_worst_and_missing_where_it_is_not_defined() -> None:
    one = kernel("a")
    rows = [*visits(one, GEMM, [0.001]), *visits(one, GEMM, [0.001], error=3.5), *visits(one, FFT, [0.001])]
    table = side_by_side(measured([one], rows))
    assert [row["error"] for row in as_json(table)] == [3.5, None]


def test_a_comparison_of_one_kernel_or_of_nothing_is_no_error() -> None:
    one = kernel("a")
    assert evaluate(measured([one], list(visits(one, GEMM, [0.001] * 3)))).ok
    empty = evaluate(measured([], []))
    assert empty.ok
    assert empty.table.empty
    assert empty.controls.verdict == "unknown"
    assert isinstance(empty.as_dict()["pairs"], list)


def test_the_first_kernel_that_was_asked_for_is_the_reference() -> None:
    a, b = kernel("a"), kernel("b")
    rows = [*visits(b, GEMM, [0.001] * 9), *visits(a, GEMM, [0.002] * 9)]
    found = evaluate(measured([a, b], rows))
    assert found.pairs["reference"].tolist() == ["a"]
    assert isinstance(found.frame, pd.DataFrame)
