"""Every figure: what is in it, that it can be read, and what it says to odd input."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from plots.drawn import compared, crossed, cut_off, forget, measured, outside, overlapping, words

from mambakernels import plots
from mambakernels.errors import InvalidRequestError

pytestmark = pytest.mark.slow

PATHS = {f"np-{name.lower()}": name for name in ("Prescott", "Nehalem", "Haswell", "SkylakeX")}
LIBRARY = {"blas": "openblas", "blas_version": "0.3.31"}
LONG = [f"np-openblas-for-the-second-semester-with-{name}-and-more" for name in ("intel", "amd", "arm")]
EIGHT = [f"np-kernel-{number}" for number in range(8)]


def variants(**changed: Any) -> pd.DataFrame:
    """Return a frame of one library on four code paths."""
    parts = [measured([kernel], **LIBRARY, architecture=path, **changed) for kernel, path in PATHS.items()]
    frame = pd.concat(parts, ignore_index=True)
    slower = frame["kernel"].map({kernel: 4 - number for number, kernel in enumerate(PATHS)})
    return frame.assign(gflops=frame["gflops"] / slower, seconds=frame["seconds"] * slower)


def ratios(frame: pd.DataFrame, **how: Any) -> Figure:
    kernels = [str(name) for name in frame["kernel"].unique()]
    pairs = compared(kernels[1:] or kernels, reference=kernels[0])
    return plots.paired_ratios(pairs, frame, **how)


def page(frame: pd.DataFrame, **how: Any) -> Figure:
    kernels = [str(name) for name in frame["kernel"].unique()]
    pairs = compared(kernels[1:], reference=kernels[0]) if kernels[1:] else None
    return plots.summary_page(frame, pairs, threads=measured(threads=(1, 2, 4)), variants=variants(), **how)


DRAW: dict[str, Callable[..., Figure]] = {
    "gflops": plots.gflops_by_size,
    "ratios": ratios,
    "threads": plots.thread_scaling,
    "roofline": plots.roofline,
    "accuracy": plots.accuracy_against_speed,
    "paths": plots.code_paths,
    "page": page,
}
FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "usual": measured,
    "several": lambda: measured(threads=(1, 2, 4)),
    "one kernel": lambda: measured(["np-mkl"], threads=(1, 2)),
    "one size": lambda: measured(sizes=[512], threads=(1, 2)),
    "one operation": lambda: measured(operations=["gemm"], sizes=[64, 512], threads=(1, 2)),
    "unknown BLAS": lambda: measured(["mine"], threads=(1, 2), blas=None, architecture=None),
    "eight kernels": lambda: measured(EIGHT, threads=(1, 2), blas="openblas", architecture="SkylakeX"),
    "long names": lambda: measured(LONG, threads=(1, 2), blas="openblas", architecture="SkylakeX"),
    "many sizes": lambda: measured(sizes=[2**power for power in range(2, 13)], threads=(1, 2)),
    "wrong results": lambda: measured(threads=(1, 2), correct=False, residual=np.nan),
    "exact results": lambda: measured(threads=(1, 2), residual=0.0, residual_bound=np.nan),
    "nonsense": lambda: measured(threads=(1, 2), correct=False, residual=sys.float_info.max),
    "variants": lambda: variants(threads=(1, 2)),
}


@functools.cache
def drawn(figure: str, name: str, **how: Any) -> Figure:
    """Draw a figure of one of `FRAMES`, once for all tests: they only look at it."""
    frame = FRAMES[name]()
    return DRAW[figure](variants() if figure == "paths" and frame["architecture"].nunique() < 4 else frame, **how)


@pytest.fixture(scope="module", autouse=True)
def figures() -> Iterator[None]:
    """Keep these tests on one worker, as they share what is drawn, and forget it when they are done."""
    yield
    drawn.cache_clear()
    forget()


def shaded(axis: Axes) -> list[set[tuple[float, float]]]:
    """Return the corners of each shaded area beyond a limit."""
    areas = [area for area in axis.collections if area.get_label() == "_beyond"]
    return [{(float(x), float(y)) for x, y in path.vertices} for area in areas for path in area.get_paths()]


def intervals(axis: Axes) -> int:
    """Return how many intervals are drawn that have a length."""
    containers = [each for each in axis.containers if isinstance(each, ErrorbarContainer)]
    segments = [segment for each in containers for bar in each.lines[2] for segment in bar.get_segments()]
    return sum(bool(np.ptp(segment, axis=0).max() > 0) for segment in segments)


@pytest.mark.parametrize(
    ("figure", "frame"),
    [
        *itertools.product(sorted({*DRAW} - {"paths"}), ("eight kernels", "long names")),
        ("paths", "variants"),
        ("threads", "several"),
        # Fewer kernels than the eight, and no more panels.
        *(
            pytest.param(name, "several", marks=pytest.mark.exhaustive)
            for name in sorted({*DRAW} - {"paths", "threads"})
        ),
        *itertools.product(("gflops", "roofline"), ("one size", "many sizes", "wrong results", "unknown BLAS")),
        *itertools.product(("accuracy",), ("exact results", "wrong results", "nonsense", "one kernel")),
        *itertools.product(("page",), ("one kernel", "one operation", "unknown BLAS", "variants")),
        ("ratios", "one kernel"),
        ("threads", "one size"),
    ],
)
def test_all_that_is_written_can_be_read(figure: str, frame: str) -> None:
    seen = drawn(figure, frame)
    assert cut_off(seen) == []
    assert overlapping(seen) == []
    assert crossed(seen) == []
    assert outside(seen) == []


@pytest.mark.parametrize("figure", sorted({*DRAW} - {"page"}))
def test_a_narrow_sheet_can_be_read_too(figure: str) -> None:
    seen = drawn(figure, "long names", sheet="narrow")
    assert seen.get_figwidth() < 5
    assert cut_off(seen) == []
    assert overlapping(seen) == []
    assert crossed(seen) == []
    assert outside(seen) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("figure", DRAW)
def test_the_caption_names_machine_and_versions(figure: str, theme: str) -> None:
    seen = drawn(
        figure, "one operation" if figure == "page" else "one size", **({} if theme == "light" else {"theme": theme})
    )
    caption = " ".join(seen.get_supxlabel().split())
    for fact in ("A <Processor>", "2 cores", "Linux 6", "NumPy 2.4.0", "Python 3.12.1", "openblas 0.3.31"):
        assert fact in caption
    assert to_hex(seen.get_facecolor()) == {"light": "#ffffff", "dark": "#15191e"}[theme]


@pytest.mark.parametrize("figure", DRAW)
def test_nothing_at_all_is_said_to_be_missing(figure: str) -> None:
    draw_it = {"ratios": plots.paired_ratios, "page": plots.summary_page}.get(figure, DRAW[figure])
    with pytest.raises(InvalidRequestError, match=r"nothing to draw: .* needs the columns .*kernel"):
        draw_it(pd.DataFrame())


@pytest.mark.parametrize("figure", ["gflops", "roofline", "accuracy", "paths", "page"])
@pytest.mark.parametrize("rate", [np.nan, 0.0, np.inf])
def test_without_a_rate_there_is_nothing_to_draw(figure: str, rate: float) -> None:
    with pytest.raises(InvalidRequestError, match="no measurement has a rate"):
        DRAW[figure](measured(gflops=rate, flops=np.nan))


def test_rows_without_flops_are_left_out() -> None:
    frame = pd.concat([measured(operations=["gemm"]), measured(operations=["dot"], flops=np.nan, gflops=np.nan)])
    assert [axis.get_title("left") for axis in plots.gflops_by_size(frame).axes] == ["gemm"]


@pytest.mark.parametrize("figure", ["gflops", "roofline"])
def test_the_peak_is_a_limit_where_it_is_known(figure: str) -> None:
    assert "theoretical peak: 83.2" in words(DRAW[figure](measured(), peak=83.2))
    assert "peak" not in words(DRAW[figure](measured()))


def test_the_peak_counts_cores_and_twice_for_single_precision() -> None:
    frame = measured(operations=["gemm"], threads=[4], dtype="float32")
    frame = frame.assign(gflops=frame["gflops"] * 4, seconds=frame["seconds"] / 4)
    assert "theoretical peak: 200 (2 cores)" in words(plots.gflops_by_size(frame, peak=50))


def test_an_axis_of_slow_operations_ends_above_the_best_of_them() -> None:
    figure = plots.gflops_by_size(measured(operations=["dot"]), peak=100)
    assert figure.axes[0].get_ylim()[1] < 3
    assert "peak" not in words(figure)


def test_kernels_with_one_size_are_drawn_next_to_one_another() -> None:
    [axis] = plots.gflops_by_size(measured(operations=["gemm"], sizes=[512], threads=(1, 2))).axes
    marks = [each.lines[0] for each in axis.containers if isinstance(each, ErrorbarContainer)]
    assert [float(mark.get_xdata()[0]) for mark in marks] == list(range(8))
    assert axis.get_xlabel() == "n = 512"
    assert len({(mark.get_marker(), mark.get_markerfacecolor()) for mark in marks}) == 8


def test_ratios_have_a_bar_each_with_interval_line_at_one_and_verdict() -> None:
    pairs = compared()
    seen = plots.paired_ratios(pairs, measured())
    assert [axis.get_title("left") for axis in seen.axes] == ["gemm", "gemv"]
    for axis in seen.axes:
        assert axis.get_xlabel() == "time relative to np-openblas"
        assert axis.get_xscale() == "log"
        mine = pairs[pairs["operation"] == axis.get_title("left")]
        assert [1, 1] in [list(line.get_xdata()) for line in axis.get_lines()]
        filled = [bar for bar in axis.patches if isinstance(bar, Rectangle) and bar.get_hatch()]
        decided = mine[mine["verdict"].isin(["faster", "slower"]) & (mine["kernel"] != "np-mkl")]
        assert len(filled) == len(decided), "only differences are filled, and MKL has no hatch"
        assert intervals(axis) == (mine["ratio"] <= 4).sum(), "beyond the axis there is an arrow"
    text = words(seen)
    assert "= 1.01" in text
    assert "? 1.10" in text
    assert "wrong 1.20" in text
    assert "12.00" in text
    assert "0.80" in text


def test_ratios_can_be_drawn_without_the_measurements() -> None:
    seen = plots.paired_ratios(compared())
    assert "np-mkl (unknown)" in words(seen)
    assert overlapping(seen) == []


def test_everyone_against_everyone_names_both() -> None:
    pairs = pd.concat([compared(["np-mkl"]), compared(["np-mkl"], reference="np-blis")])
    text = words(plots.paired_ratios(pairs, measured()))
    assert "np-mkl against np-blis" in text
    assert "time relative to the other" in text


def test_controls_are_no_ratios() -> None:
    with pytest.raises(InvalidRequestError, match="no two kernels were compared"):
        plots.paired_ratios(compared(control=True, ratio=1.0, low=0.99, high=1.01))


def test_where_controls_differ_nothing_is_ranked() -> None:
    apart = compared(operations=["fft"], control=True, ratio=1.5, low=1.4, high=1.6)
    with pytest.raises(InvalidRequestError, match="no kernel can be compared"):
        plots.paired_ratios(pd.concat([compared(), apart]))
    controls = variants(operations=["gemv"], control=True).drop(columns="round")
    frame = pd.concat([variants(operations=["gemm"]).drop(columns="round"), controls], ignore_index=True)
    seen = plots.code_paths(frame)
    assert "The controls differ by" in seen.get_supxlabel()
    assert "(100%)" not in words(seen)
    assert "(100%)" in words(plots.code_paths(frame[~frame["control"]]))


def test_the_caption_says_that_the_machine_was_busy_and_what_is_not_drawn() -> None:
    quiet = measured(["np-mkl", "np-blis"], ["gemm"], disturbed_samples=0, estimator="CPU time")
    busy = measured(["np-netlib"], ["gemm"], disturbed_samples=3, estimator="disturbed samples")
    figure = plots.gflops_by_size(pd.concat([quiet, busy]))
    caption = " ".join(figure.get_supxlabel().split())
    assert "The machine was busy: other programs disturbed 33% of the samples." in caption
    assert "Not drawn where they disturbed every sample: np-netlib." in caption
    assert "np-netlib" not in [text.get_text().split(" ")[0] for text in figure.legends[0].get_texts()]
    assert "busy" not in plots.gflops_by_size(quiet).get_supxlabel()
    with pytest.raises(InvalidRequestError, match="other programs disturbed every sample"):
        plots.gflops_by_size(busy)


def test_scaling_is_shown_as_speedup_and_efficiency_with_the_ideal_up_to_the_cores() -> None:
    speedup, efficiency, *others = plots.thread_scaling(measured(operations=["gemm"], threads=(1, 2, 4))).axes
    assert others == []
    assert (speedup.get_xlabel(), speedup.get_ylabel()) == ("threads", "speed-up over 1 thread")
    assert efficiency.get_ylabel() == "efficiency (%)"
    assert speedup.get_title("right") == "float64, n = 512"
    [limits] = shaded(speedup)
    assert {(1, 1), (2, 2), (4, 2)} <= limits
    assert "more than the ideal" in words(speedup.figure)  # type: ignore[arg-type]
    curves = [each for each in speedup.containers if isinstance(each, ErrorbarContainer)]
    assert [each.get_label().split(" (")[0] for each in curves] == ["np-openblas", "np-mkl", "np-blis", "np-netlib"]
    assert curves[0].lines[0].get_ydata() == pytest.approx([1, 2**0.5, 2])
    assert intervals(speedup) == 4 * 3


def test_scaling_takes_the_threads_that_were_asked_for_where_the_library_does_not_tell() -> None:
    frame = measured(operations=["gemm"], threads=(1, 2))
    unreported = frame.assign(asked=frame["threads"], threads=pd.NA)
    assert len(plots.thread_scaling(unreported).axes) == 2


def test_scaling_needs_several_numbers_of_threads() -> None:
    with pytest.raises(InvalidRequestError, match="several numbers of threads"):
        plots.thread_scaling(measured(threads=[2]))


def test_the_roofline_places_each_operation_at_its_intensity_below_the_roof() -> None:
    (axis,) = plots.roofline(measured(), bandwidth=20, peak=80).axes
    assert axis.get_xlabel() == "arithmetic intensity (flop/byte)"
    assert axis.get_ylabel() == "GFLOP/s"
    marks = axis.get_lines()
    assert len(marks) == 3 * 4
    assert max(float(line.get_xdata()[0]) for line in marks) == pytest.approx(2 * 512 / 24)
    [limits] = shaded(axis)
    assert (4, 80) in limits, "where memory is as fast as arithmetic"
    assert "memory: 20 GB/s" in words(axis.figure)  # type: ignore[arg-type]


def test_the_roofline_measures_bandwidth_where_it_is_not_given() -> None:
    assert "memory: 24 GB/s (dot, n = 512, 6.29 MB)" in words(plots.roofline(measured(["np-mkl"], ["gemm", "dot"])))


def test_a_roofline_without_a_streaming_operation_has_no_slope() -> None:
    (axis,) = plots.roofline(measured(operations=["gemm"]), peak=80).axes
    [limits] = shaded(axis)
    assert {height for _, height in limits} == {80, axis.get_ylim()[1]}


@pytest.mark.parametrize("operations", [["gemm"], ["dot", "gemv"]])
def test_a_roofline_needs_a_limit_that_is_not_what_is_drawn(operations: list[str]) -> None:
    with pytest.raises(InvalidRequestError, match=r"nothing to draw: .*(peak|limit)"):
        plots.roofline(measured(operations=operations))


def test_a_roofline_needs_bytes() -> None:
    with pytest.raises(InvalidRequestError, match="flops and bytes"):
        plots.roofline(measured(bytes=np.nan))


def test_accuracy_has_a_mark_per_kernel_and_dtype_and_their_bounds() -> None:
    frame = pd.concat(
        [measured(["np-mkl", "np-blis"]), measured(["np-mkl", "np-blis"], dtype="float32", residual=1e-7)]
    )
    gemm = plots.accuracy_against_speed(frame).axes[0]
    assert (gemm.get_xlabel(), gemm.get_ylabel(), gemm.get_yscale()) == ("GFLOP/s", "residual (relative)", "log")
    marks = [each for each in gemm.containers if isinstance(each, ErrorbarContainer)]
    assert len(marks) == 4
    assert {float(each.lines[0].get_ydata()[0]) for each in marks} == {1e-15, 2e-15, 1e-7}
    assert {text.get_text() for text in gemm.texts if text.get_visible()} == {"float64: bound", "float32: bound"}


def test_wrong_results_are_crossed_out_wherever_rates_are_drawn() -> None:
    for figure in ("gflops", "roofline", "accuracy"):
        axes = drawn(figure, "wrong results").axes
        assert all(any(line.get_marker() == "x" for line in axis.get_lines()) for axis in axes)


def test_accuracy_needs_residuals() -> None:
    with pytest.raises(InvalidRequestError, match="no measurement was checked"):
        plots.accuracy_against_speed(measured(residual=np.nan))


def test_code_paths_have_a_bar_each_with_their_share_of_the_best() -> None:
    seen = drawn("paths", "several")
    for axis in seen.axes:
        assert axis.get_xlabel() == "GFLOP/s"
        named = [label.get_text().split("\n")[0] for label in axis.get_yticklabels()]
        assert named == list(PATHS.values())
        assert len(axis.patches) == 4
        assert intervals(axis) > 0
    assert "(100%)" in words(seen)
    assert "(25%)" in words(seen)


@pytest.mark.parametrize(("blas", "said"), [(None, "no library ran on several"), ("mkl", "mkl ran on one code path")])
def test_code_paths_need_several(blas: str | None, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        plots.code_paths(measured(), blas)


def test_the_page_is_a4_and_has_six_panels_and_a_table() -> None:
    seen = drawn("page", "usual")
    assert seen.get_size_inches() == pytest.approx([297 / 25.4, 210 / 25.4], abs=0.01)
    titles = [axis.get_title("left") for axis in seen.axes if axis.get_title("left")]
    assert titles == ["gemm: rate", "ratios", "gemm: threads", "roofline", "gemm: accuracy", "gemm: code paths"]
    text = words(seen)
    for fact in ("code path", "LAPACK", "np-netlib", "SkylakeX", "0.3.31", "wrong results"):
        assert fact in text


def test_the_page_leaves_out_what_cannot_be_drawn_and_says_why() -> None:
    seen = plots.summary_page(measured(operations=["gemm"]))
    text = " ".join(words(seen).split())
    assert [axis.get_title("left") for axis in seen.axes if axis.axison] == ["gemm: rate", "gemm: accuracy"]
    assert "Without threads: no kernel ran with several numbers of threads." in text
    assert "Without code paths: no library ran on several code paths." in text
    assert cut_off(seen) == []
    assert overlapping(seen) == []


def test_the_page_of_another_operation() -> None:
    assert "dot: rate" in words(plots.summary_page(measured(), operation="dot"))
    with pytest.raises(InvalidRequestError, match="qr was not measured"):
        plots.summary_page(measured(), operation="qr")


def test_frames_of_notebooks_can_be_drawn_too() -> None:
    from plots.drawn import DATA

    from mambakernels.bench.published import measurements

    frame = measurements(DATA)
    for figure in ("gflops", "accuracy", "page"):
        assert cut_off(DRAW[figure](frame)) == []
    assert cut_off(plots.roofline(frame, bandwidth=10)) == []


def test_pyplot_is_left_alone() -> None:
    assert drawn("page", "usual").axes
    assert "matplotlib.pyplot" not in sys.modules
