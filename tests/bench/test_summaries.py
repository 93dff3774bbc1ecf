from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.measurements import FFT, GEMM, kernel, measured, visits

from mambakernels.bench.agreement import check_controls
from mambakernels.bench.published import measurements
from mambakernels.bench.summaries import comparable, libraries, summary
from mambakernels.numeric.estimates import DISTURBED

DATA = Path(__file__).parents[1] / "data" / "measured"


@pytest.fixture
def frame() -> pd.DataFrame:
    return measurements(DATA)


def test_each_kernel_is_compared_with_the_best_of_its_group(frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    gemm = summary(frame).query("operation == 'gemm'")
    pd.testing.assert_frame_equal(frame, before)
    assert list(zip(gemm["size"], gemm["kernel"], gemm["ratio"].round(6), strict=True)) == [
        (256, "np-mkl", 1.0),
        (256, "np-openblas", 2.0),
        (512, "np-mkl", 1.0),
        (512, "np-openblas", 1.25),
    ]
    assert gemm["gflops"].iloc[2] == pytest.approx(2 * 512**3 / 0.008 / 1e9)


def test_a_wrong_result_is_neither_the_best_nor_compared(frame: pd.DataFrame) -> None:
    svd = summary(frame).query("operation == 'svd'").set_index("kernel")
    assert svd.loc["np-mkl", "seconds"] < svd.loc["np-openblas", "seconds"]
    assert not svd.loc["np-mkl", "correct"]
    assert pd.isna(svd.loc["np-mkl", "ratio"])
    assert svd.loc["np-openblas", "ratio"] == 1.0


def test_nothing_is_the_best_where_a_disturbed_time_is_smaller(frame: pd.DataFrame) -> None:
    gemm = frame[(frame["operation"] == "gemm") & (frame["size"] == 256)]
    for disturbed, ratios in (("np-mkl", [None, None]), ("np-openblas", [1.0, None])):
        names = gemm["estimator"].mask(gemm["kernel"] == disturbed, DISTURBED)
        table = summary(gemm.assign(estimator=names)).set_index("kernel")["ratio"]
        assert [None if pd.isna(table[name]) else table[name] for name in ("np-mkl", "np-openblas")] == ratios


def test_several_runs_are_put_together_by_their_median(frame: pd.DataFrame) -> None:
    slower = frame.assign(seconds=frame["seconds"] * 3)
    table = summary(pd.concat([frame, slower, slower], ignore_index=True))
    assert len(table) == len(summary(frame))
    assert table["seconds"].iloc[0] == pytest.approx(0.006)


def test_a_visit_in_which_one_thread_did_what_two_do_is_not_compared() -> None:
    one = kernel("np-mkl", 2, library={"threads": 2})
    both = [*visits(one, GEMM, [0.01] * 5, alone=False), *visits(one, GEMM, [0.02] * 2)]
    frame = measured([one], [*both, *visits(one, FFT, [0.001] * 7)]).frame
    assert list(comparable(frame)["seconds"]) == [0.01] * 5 + [0.001] * 7
    assert summary(frame)["seconds"].iloc[0] == 0.01
    mostly = frame.assign(alone=[False] * 2 + [True] * 12)
    assert len(comparable(mostly)) == len(frame)


def test_numbers_of_threads_are_kept_apart(frame: pd.DataFrame) -> None:
    one = frame.assign(threads=pd.array([1] * len(frame), dtype="Int64"), seconds=frame["seconds"] * 2)
    both = summary(pd.concat([frame, one[one["kernel"] == "np-mkl"]], ignore_index=True))
    first = both[(both["operation"] == "gemm") & (both["size"] == 256)]
    assert list(zip(first["kernel"], first["threads"], strict=True)) == [
        ("np-mkl", 1), ("np-mkl", 2), ("np-openblas", 2),
    ]  # fmt: skip
    assert list(first["ratio"]) == pytest.approx([2.0, 1.0, 2.0])


def test_unknown_numbers_of_threads_are_no_reason_to_lose_a_row(frame: pd.DataFrame) -> None:
    unknown = frame.assign(threads=pd.array([None] * len(frame), dtype="Int64"))
    assert len(summary(unknown)) == len(summary(frame))


def test_libraries_tell_what_ran_once_per_kernel(frame: pd.DataFrame) -> None:
    table = libraries(frame)
    assert list(table["kernel"]) == ["np-mkl", "np-openblas"]
    assert list(table["blas_version"]) == ["2026.2", "0.3.31"]


def test_controls_that_agree_are_said_to_with_figures(frame: pd.DataFrame) -> None:
    verdict = check_controls(frame)
    assert verdict.verdict == "agree"
    assert "4.0% at most (fft, float64, n=256: np-openblas against np-mkl)" in verdict.text
    assert verdict.spreads["spread"].iloc[0] == pytest.approx(0.04)


def test_controls_that_differ_warn_against_comparing(frame: pd.DataFrame) -> None:
    verdict = check_controls(frame, tolerance=0.03)
    assert verdict.verdict == "differ"
    assert "only 3% is allowed" in verdict.text
    assert "don't compare" in verdict.text


def test_one_kernel_alone_proves_nothing(frame: pd.DataFrame) -> None:
    assert check_controls(frame[frame["kernel"] == "np-mkl"]).verdict == "unknown"
    assert check_controls(frame[~frame["control"]]).verdict == "unknown"


def test_an_empty_frame_has_empty_answers(frame: pd.DataFrame) -> None:
    empty = frame.iloc[:0]
    assert summary(empty).empty
    assert libraries(empty).empty
