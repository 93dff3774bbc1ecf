from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from mambakernels.bench.published import measurements
from mambakernels.errors import InvalidRequestError
from mambakernels.plots import MARKS, UNKNOWN, gflops_by_size, png

DATA = Path(__file__).parents[1] / "data" / "measured"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return measurements(DATA)


@pytest.fixture(scope="module")
def figure(frame: pd.DataFrame) -> Figure:
    """The figure of the whole frame, on a wide sheet and light paper, laid out."""
    drawn = gflops_by_size(frame)
    drawn.draw_without_rendering()
    return drawn


def lines(panel: Axes) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each kernel's line."""
    named = [line for line in panel.get_lines() if not str(line.get_label()).startswith("_")]
    return {
        str(line.get_label()).split(" (")[0]: [(x, round(float(y), 3)) for x, y in line.get_xydata()] for line in named
    }


def test_each_operation_with_a_rate_has_a_panel_and_each_kernel_a_line(figure: Figure) -> None:
    assert [panel.get_title("left") for panel in figure.axes] == ["gemm", "svd"]
    assert [panel.get_title("right") for panel in figure.axes] == ["float64", "float64, nominal"]
    assert lines(figure.axes[0]) == {
        "np-mkl": [(256, 16.777), (512, 33.554)],
        "np-openblas": [(256, 8.389), (512, 26.844)],
    }


def test_axes_start_at_zero_count_in_powers_of_two_and_name_their_units(figure: Figure) -> None:
    for panel in figure.axes:
        assert panel.get_ylim()[0] == 0
        assert panel.get_ylabel() == "GFLOP/s"
    assert [panel.get_xlabel() for panel in figure.axes] == ["n", "n = 256"]
    assert figure.axes[0].get_xscale() == "log"


def test_the_caption_names_machine_numpy_and_threads(figure: Figure) -> None:
    caption = figure.get_supxlabel()
    assert "A <Processor> · 2 cores · Linux 6 · threads: 2 · NumPy 2.4.0 · Python 3.12.1 · mkl" in caption


def test_a_blas_always_looks_the_same(frame: pd.DataFrame, figure: Figure) -> None:
    alone = frame[frame["kernel"] == "np-openblas"].assign(kernel="another")
    for each in (figure, gflops_by_size(alone)):
        drawn = [line for line in each.axes[0].get_lines() if "openblas" in str(line.get_label())]
        assert [(to_hex(str(line.get_color())).upper(), line.get_marker()) for line in drawn] == [
            (MARKS["openblas"].light, MARKS["openblas"].marker)
        ]


def test_kernels_that_share_a_blas_differ_by_their_lines(frame: pd.DataFrame) -> None:
    twin = frame[frame["kernel"] == "np-mkl"].assign(kernel="np-mkl-sse")
    drawn = gflops_by_size(pd.concat([frame, twin])).axes[0].get_lines()
    styles = {str(line.get_label()).split(" (")[0]: line.get_linestyle() for line in drawn if line.get_marker() == "o"}
    assert styles == {"np-mkl": "-", "np-mkl-sse": "--"}


def test_looks_are_distinct_in_colour_and_in_marker() -> None:
    marks = [*MARKS.values(), UNKNOWN]
    for looks in ([mark.light for mark in marks], [mark.dark for mark in marks], [mark.marker for mark in marks]):
        assert len(set(looks)) == len(marks)


def test_wrong_results_are_crossed_out(figure: Figure) -> None:
    svd = figure.axes[1]
    crosses = [line.get_xydata().tolist() for line in svd.get_lines() if line.get_marker() == "x"]
    assert [[0, pytest.approx(4e8 / 0.04625 / 1e9)]] in crosses


def test_a_blas_nobody_knows_and_a_missing_code_path_can_be_drawn(frame: pd.DataFrame) -> None:
    figure = gflops_by_size(frame.assign(blas="unknown", blas_version=None))
    assert "np-openblas (unknown)" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_narrow_sheet_has_the_panels_below_one_another(frame: pd.DataFrame, figure: Figure) -> None:
    wide, narrow = figure, gflops_by_size(frame, sheet="narrow")
    narrow.draw_without_rendering()
    assert narrow.get_figwidth() < 0.7 * wide.get_figwidth()
    assert len({round(panel.get_position().x0, 2) for panel in narrow.axes}) == 1
    assert len({round(panel.get_position().x0, 2) for panel in wide.axes}) == 2
    assert len(narrow.get_supxlabel().splitlines()) > len(wide.get_supxlabel().splitlines())
    assert narrow.get_supxlabel().split() == wide.get_supxlabel().split()


@pytest.mark.parametrize("sheet", ["wide", "narrow"])
def test_nothing_written_reaches_past_the_edge(sheet: str, frame: pd.DataFrame) -> None:
    figure = gflops_by_size(frame, sheet=sheet)  # type: ignore[arg-type]
    figure.draw_without_rendering()
    edge = figure.bbox
    for text in (*figure.legends, *figure.texts, *figure.axes):
        box = text.get_tightbbox()
        assert box is not None
        assert edge.x0 <= box.x0 < box.x1 <= edge.x1
        assert edge.y0 <= box.y0 < box.y1 <= edge.y1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_is_a_png_of_the_themes_paper(theme: str, frame: pd.DataFrame) -> None:
    picture = imread(BytesIO(png(gflops_by_size(frame, theme=theme), dpi=60)))  # type: ignore[arg-type]
    corner = picture[0, 0, :3].mean()
    assert corner > 0.9 if theme == "light" else corner < 0.2
    assert picture.std() > 0.05, "something is drawn"


def test_the_picture_is_small_and_keeps_its_colours(figure: Figure) -> None:
    full = BytesIO()
    compact = png(figure, dpi=144)
    figure.savefig(full, format="png", dpi=144)
    assert len(compact) < len(full.getvalue()) / 2
    full.seek(0)
    assert np.abs(imread(BytesIO(compact))[..., :3] - imread(full)[..., :3]).max() < 20 / 255


def test_nothing_to_draw_is_said(frame: pd.DataFrame) -> None:
    with pytest.raises(InvalidRequestError, match="nothing to draw"):
        gflops_by_size(frame[frame["operation"] == "fft"])


def test_pyplot_is_left_alone(figure: Figure) -> None:
    assert figure.axes
    assert "matplotlib.pyplot" not in sys.modules
