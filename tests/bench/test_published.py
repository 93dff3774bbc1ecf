from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from mambakernels.bench.published import COLUMNS, load, measurements, save
from mambakernels.errors import InvalidRequestError, NotFoundError, RunError, StorageError
from mambakernels.numeric import measure, mime_bundle, probe
from mambakernels.numeric.bundle import MIME_TYPE
from mambakernels.runs.execute import run

DATA = Path(__file__).parent.parent / "data" / "measured"
MKL = DATA / "blas.np-mkl.ipynb"

Change = Callable[[Any], object]


def changed(folder: Path, change: Change) -> Path:
    """Write a copy of the hand-made notebook whose bundle was changed."""
    content = json.loads(MKL.read_text(encoding="utf-8"))
    change(content["cells"][1]["outputs"][1]["data"][MIME_TYPE])
    path = folder / "changed.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_every_measurement_is_a_row_with_where_it_comes_from() -> None:
    frame = measurements(DATA)
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["kernel"]) == ["np-mkl"] * 4 + ["np-openblas"] * 4
    row = frame.iloc[0]
    expected = {
        "notebook": "blas.ipynb", "path": str(MKL), "status": "ok", "host": "testhost",
        "parameters": '{"sizes": [256, 512]}',
        "blas": "mkl", "blas_version": "2026.2", "architecture": "avx512", "threads": 2,
        "library": "/envs/x/lib/libmkl.so",
        "lapack": "mkl", "numpy": "2.4.0", "python": "3.12.1", "cpu": "A <Processor>", "cores": 2, "code": "c0de" * 16,
        "operation": "gemm", "routine": "dgemm", "dtype": "float64", "size": 256, "shape": '{"n": 256}', "loops": 1,
        "samples": [0.002, 0.003, 0.002], "cpu_samples": [], "disturbed": [],
        "seconds": 0.002, "estimator": "all samples", "flops": 2.0 * 256**3,
        "gflops": pytest.approx(2 * 256**3 / 0.002 / 1e9), "residual": 1e-16, "residual_bound": 1e-12,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_what_is_not_known_is_missing_and_correctness_follows_the_residual() -> None:
    frame = measurements(MKL)
    fft = frame[frame["operation"] == "fft"].iloc[0]
    assert fft["threads"] == 2, "the library's number stands in for the operation's"
    assert math.isnan(fft["gflops"])
    assert pd.isna(fft["routine"])
    assert list(frame["correct"]) == [True, True, False, True]
    assert pd.isna(measurements(DATA / "blas.np-openblas.ipynb")["architecture"]).all()


@pytest.mark.parametrize(
    "paths",
    [
        [str(DATA)],
        [DATA],
        [str(DATA / "*.ipynb")],
        [str(DATA.parent / "**" / "blas.*")],
        [MKL, DATA, MKL],
        list(DATA.iterdir()),
    ],
)
def test_notebooks_folders_and_patterns_are_found_once(paths: Any) -> None:
    assert len(measurements(paths)) == 8


def test_hidden_folders_are_left_out(tmp_path: Path) -> None:
    for folder in (tmp_path / "deep" / "er", tmp_path / ".ipynb_checkpoints"):
        folder.mkdir(parents=True)
        (folder / MKL.name).write_bytes(MKL.read_bytes())
    assert len(measurements(tmp_path)) == 4


@pytest.mark.parametrize("path", ["missing.ipynb", "*.ipynb", ""])
def test_a_path_that_matches_nothing_is_an_error(path: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No notebook is there"):
        measurements([DATA, tmp_path / path])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda b: b.update(schema=2), "schema 2 is not known"),
        (lambda b: b.pop("schema"), "schema None is not known"),
        (lambda b: b.pop("probe"), r"bundle must contain \['probe'\] properties"),
        (lambda b: b["probe"].update(numpy=2), "probe.numpy must be string, not 2"),
        (lambda b: b["probe"]["blas"].pop("name"), r"probe.blas must contain \['name'\] properties"),
        (lambda b: b["probe"].update(nmupy="2"), r"probe must not contain {'nmupy'} properties"),
        (lambda b: b["probe"].update(blas=[]), "probe.blas must be object"),
        (lambda b: b.update(measurements={}), "bundle.measurements must be array"),
        (lambda b: b["measurements"].append(3), r"measurements\[4\] must be object"),
        (lambda b: b["measurements"][1].pop("residual"), r"measurements\[1\] must contain \['residual'\] properties"),
        (lambda b: b["measurements"][1].update(size=True), r"measurements\[1\]\.size must be integer, not True"),
        (lambda b: b["measurements"][1].update(size=1.5), r"measurements\[1\]\.size must be integer"),
        (lambda b: b["measurements"][1].update(flops="many"), r"flops must be number or null"),
        (lambda b: b["measurements"][1].update(samples=[]), r"samples must contain at least 1 items"),
        (lambda b: b["measurements"][1].update(samples=[1, "2"]), r"samples\[1\] must be number"),
        (lambda b: b["measurements"][1].update(samples=[-1]), r"samples\[0\] must be bigger than or equal to 0"),
    ],
)
def test_a_bundle_that_breaks_the_contract_is_named_by_notebook_and_cell(
    change: Change, field: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=rf"cell 2 (.|\n)*{field}(.|\n)*changed\.ipynb"):
        measurements(changed(tmp_path, change))


def test_a_residual_that_is_missing_though_it_has_a_bound_is_not_correct(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda bundle: bundle["measurements"][0].update(residual=None))
    assert not measurements(path)["correct"].iloc[0]


def test_a_notebook_run_by_hand_counts_too(tmp_path: Path) -> None:
    content = json.loads(MKL.read_text(encoding="utf-8"))
    del content["metadata"]["mambakernels"]
    (tmp_path / "by hand.ipynb").write_text(json.dumps(content), encoding="utf-8")
    frame = measurements(tmp_path)
    assert list(frame[["notebook", "kernel", "status"]].iloc[0]) == ["by hand.ipynb", "np-mkl", "ok"]
    assert frame["started"].isna().all()


def test_a_failed_run_contributes_what_it_published(install: Any, write: Any, output: Path) -> None:
    install("known")
    bundle = json.loads(MKL.read_text(encoding="utf-8"))["cells"][1]["outputs"][1]["data"][MIME_TYPE]
    publish = (
        "import json\nfrom IPython.display import display\n"
        f"display({{{MIME_TYPE!r}: json.loads({json.dumps(bundle)!r})}}, raw=True)"
    )
    run(write(publish, "raise ValueError"), kernels="known", output=output)
    frame = measurements(output)
    assert list(frame["status"]) == ["failed"] * 4
    assert frame["gflops"].notna().sum() == 3


def test_no_measurements_make_an_empty_frame_of_the_same_columns(write: Any) -> None:
    frame = measurements(write("1"))
    assert frame.empty
    assert_frame_equal(frame, measurements(DATA).iloc[:0])


def test_csv_gives_the_same_frame_back(tmp_path: Path) -> None:
    frame = measurements(DATA)
    path = save(frame, tmp_path / "new folder" / "resülts.csv")
    assert_frame_equal(load(path), frame)
    assert [file.name for file in path.parent.iterdir()] == ["resülts.csv"]


def test_a_kernel_called_na_survives_csv(tmp_path: Path) -> None:
    frame = measurements(MKL).assign(kernel=pd.array(["NA"] * 4, dtype="string"))
    assert_frame_equal(load(save(frame, tmp_path / "results.csv")), frame)


def test_an_empty_frame_survives_csv(tmp_path: Path) -> None:
    frame = measurements(DATA).iloc[:0]
    assert_frame_equal(load(save(frame, tmp_path / "results.csv")), frame)


def test_errors_are_collected(tmp_path: Path) -> None:
    published = mime_bundle(measure(["gemv", "exp"], [6], repeats=1, min_sample=1e-4), probe())[MIME_TYPE]
    content = json.loads(MKL.read_text(encoding="utf-8"))
    content["cells"][1]["outputs"][1]["data"][MIME_TYPE] = published
    (tmp_path / "new.ipynb").write_text(json.dumps(content), encoding="utf-8")
    frame = measurements(tmp_path)
    assert frame["error"].iloc[0] == published["measurements"][0]["error"]
    assert math.isnan(frame["error"].iloc[1])
    assert_frame_equal(load(save(frame, tmp_path / "results.csv")), frame)


def test_parquet_gives_the_same_frame_back(tmp_path: Path) -> None:
    frame = measurements(DATA)
    assert_frame_equal(load(save(frame, tmp_path / "results.parquet")), frame)


def test_other_formats_and_missing_or_foreign_files_are_refused(tmp_path: Path) -> None:
    frame = measurements(DATA)
    with pytest.raises(InvalidRequestError, match=r"\.csv or \.parquet"):
        save(frame, tmp_path / "results.xlsx")
    with pytest.raises(NotFoundError):
        load(tmp_path / "results.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(RunError, match="does not hold results"):
        load(tmp_path / "other.csv")


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        save(measurements(DATA), tmp_path / "file" / "results.csv")
