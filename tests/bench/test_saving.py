from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from support.measurements import FFT, GEMM, kernel, measured, visits

from mambakernels.bench.measured import COMPARISONS, Measured
from mambakernels.errors import InvalidRequestError, NotFoundError, RunError


def example() -> Measured:
    one, other = kernel("a"), kernel("NA", None, probe={"numpy": None}, failure="it died")
    rows = [*visits(one, GEMM, [0.1, 0.2, 1 / 3]), *visits(other, FFT, [0.1], others=float("nan"), flops=None)]
    return measured([one, other], rows, notes=("a note",), interrupted=True)


@pytest.mark.parametrize("name", ["käse.json", "base.parquet"])
def test_what_is_saved_comes_back(tmp_path: Path, name: str) -> None:
    before = example()
    file = before.save(tmp_path / "new folder" / name)
    after = Measured.load(file)
    pd.testing.assert_frame_equal(after.frame, before.frame)
    assert after.about() == before.about()
    assert after.settings == before.settings


def test_both_formats_hold_the_same(tmp_path: Path) -> None:
    files = [example().save(tmp_path / name) for name in ("a.json", "a.parquet")]
    pd.testing.assert_frame_equal(*(Measured.load(file).frame for file in files))


def test_json_is_json_for_everyone(tmp_path: Path) -> None:
    content = json.loads(example().save(tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert content["schema"] == COMPARISONS.schema
    assert content["rows"][-1]["others"] is None


def test_nothing_measured_is_saved_too(tmp_path: Path) -> None:
    for name in ("a.json", "a.parquet"):
        assert Measured.load(measured([], []).save(tmp_path / name)).frame.empty


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kind": "mambakernels-bench", "schema": 99}', '{"kind": "mambakernels-bench", "schema": 1}'],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(RunError, match="does not hold a comparison"):
        Measured.load(file)


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1")
    with pytest.raises(RunError):
        Measured.load(file)
    pd.DataFrame({"samples": [[1.0]]}).to_parquet(file)
    with pytest.raises(RunError, match="written by something else"):
        Measured.load(file)


def test_a_file_that_is_not_there_or_of_another_kind_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Measured.load(tmp_path / "none.json")
    with pytest.raises(InvalidRequestError, match=r"\.parquet or \.json"):
        COMPARISONS.check_target(tmp_path / "a.csv")
