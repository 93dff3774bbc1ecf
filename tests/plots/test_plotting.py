"""Figures as files, from whatever holds results."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from support.measurements import GEMM, kernel, measured, visits

import mambakernels
from mambakernels.bench import published
from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.plots.plotting import FIGURES

MEASURED = Path(__file__).parents[1] / "data" / "measured"


def test_all_that_can_be_drawn_of_notebooks_is_drawn(tmp_path: Path) -> None:
    drawn = mambakernels.plot(MEASURED, output=tmp_path)
    assert {"gflops", "summary"} <= drawn.files.keys()
    assert "side by side" in drawn.left_out["ratios"]
    assert drawn.files.keys() | drawn.left_out.keys() == FIGURES.keys()
    for file in drawn.files.values():
        with Image.open(BytesIO(file.read_bytes())) as picture:
            assert min(picture.size) > 200


def test_a_file_of_measurements_gives_the_same_pictures_as_its_notebooks(tmp_path: Path) -> None:
    published.save(published.measurements(MEASURED), tmp_path / "results.csv")
    first = mambakernels.plot(MEASURED, output=tmp_path / "one", figures=["gflops"]).files["gflops"]
    second = mambakernels.plot(tmp_path / "results.csv", output=tmp_path / "two", figures=["gflops"]).files["gflops"]
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_a_file_of_bench_has_ratios(tmp_path: Path, suffix: str) -> None:
    one, other = kernel("a"), kernel("b")
    rows = [*visits(one, GEMM, [0.010] * 8), *visits(other, GEMM, [0.012] * 8)]
    measured([one, other], rows).save(tmp_path / f"base{suffix}")
    drawn = mambakernels.plot(tmp_path / f"base{suffix}", output=tmp_path, figures=["ratios"], format="svg")
    assert drawn.files["ratios"].read_bytes().startswith(b"<?xml")


def test_a_figure_that_was_asked_for_and_cannot_be_drawn_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="side by side"):
        mambakernels.plot(MEASURED, output=tmp_path, figures=["ratios"])
    with pytest.raises(InvalidRequestError, match="no figure 'pie'"):
        mambakernels.plot(MEASURED, output=tmp_path, figures=["pie"])
    with pytest.raises(NotFoundError):
        mambakernels.plot(tmp_path / "missing.csv", output=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_results_that_allow_no_figure_are_explained_once(tmp_path: Path) -> None:
    frame = published.measurements(MEASURED)
    file = published.save(frame.assign(gflops=float("nan"), error=float("nan")), tmp_path / "results.csv")
    with pytest.raises(InvalidRequestError) as caught:
        mambakernels.plot(file, output=tmp_path)
    assert caught.value.what == "There is nothing to draw: no measurement has a rate."
    assert caught.value.next_step == "Measure an operation such as gemm."


def test_the_command_says_what_it_wrote(cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    done = cli("plot", MEASURED, "-o", tmp_path, "--figure", "gflops", "--theme", "dark", "--format", "pdf")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "gflops.pdf")]
    assert (tmp_path / "gflops.pdf").read_bytes().startswith(b"%PDF")
