from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from mambakernels.lessons import Chart, bars, lines
from mambakernels.lessons.drawing import blas_style, series_styles
from mambakernels.lessons.scales import measured, number, scale
from mambakernels.plots import MARKS

SVG = "{http://www.w3.org/2000/svg}"
RATES = {"np-mkl": 58.2, "np-openblas": 51.04, "np-blis": 49.9, "np-netlib": 2.71}


def drawn(chart: Chart) -> ET.Element:
    return ET.fromstring(chart.svg)


def words(chart: Chart) -> list[str]:
    return [text.text or "" for text in drawn(chart).iter(f"{SVG}text")]


def rectangles(chart: Chart) -> list[tuple[float, str]]:
    """The widths and colours of the bars, top to bottom."""
    found = list(drawn(chart).iter(f"{SVG}rect"))[1:]  # the first is the paper
    return [(float(one.attrib["width"]), one.attrib["fill"]) for one in found]


def test_bars_are_as_long_as_their_values() -> None:
    widths = [width for width, _ in rectangles(bars(RATES, title="gemm", unit="GFLOP/s"))]
    assert [width / widths[0] for width in widths] == pytest.approx([v / 58.2 for v in RATES.values()], abs=2e-3)


def test_bars_are_named_and_labelled_with_their_values_and_unit() -> None:
    chart = bars(RATES, title="A < B & C", unit="GFLOP/s", reference=76.8, reference_label="peak")
    said = words(chart)
    assert {*RATES, "58.2", "51.0", "2.71", "GFLOP/s", "A < B & C", "peak: 76.8"} <= set(said)
    assert str(chart).splitlines() == [
        "A < B & C",
        "             GFLOP/s",
        "-----------  -------",
        "np-mkl          58.2",
        "np-openblas     51.0",
        "np-blis         49.9",
        "np-netlib       2.71",
        "peak: 76.8 GFLOP/s",
    ]


def test_each_blas_has_its_colour_as_in_the_plots() -> None:
    shown = bars({"np-mkl": 1, "my OpenBLAS": 1, "blis-2": 1, "netlib": 1, "other": 1}, title="", unit="s")
    expected = [MARKS[name].light for name in ("mkl", "openblas", "blis", "netlib")]
    assert [color for _, color in rectangles(shown)][:4] == expected
    assert blas_style("other") is None


def test_markers_differ_even_where_colours_do_not() -> None:
    names = ["np-mkl", "np-mkl avx2", "np-mkl sse", "np-blis", "ideal"]
    looks = series_styles(names)
    assert len({look.marker for look in looks.values()}) == len(names)
    assert {looks[name].color for name in names[:3]} == {MARKS["mkl"].light}


def test_a_logarithmic_axis_has_its_decades_labelled_and_no_bars() -> None:
    chart = bars({"f4": 1.7, "f8": 3.6, "longdouble": 394}, title="", unit="ms", log=True)
    assert rectangles(chart) == []
    assert {"1", "10", "100", "ms (logarithmic)"} <= set(words(chart))


def test_what_cannot_be_drawn_is_named() -> None:
    chart = bars({"a": 0.0, "b": math.nan, "c": 10.0, "d": math.inf}, title="", unit="ms", log=True)
    assert {"a", "0", "b", "-", "c", "10", "d", "inf"} <= set(words(chart))
    assert "nan" not in chart.svg


@pytest.mark.parametrize("log", [False, True])
def test_numbers_do_not_touch_the_reference(*, log: bool) -> None:
    """Bars that end left of the line, at it, and right of it; 8 is a digit's width at most."""
    values = {str(number): float(number) for number in (50, 88, 90, 92, 95, 99, 100, 101, 120)}
    picture = drawn(bars(values, title="", unit="ms", log=log, reference=100))
    [dashed] = [path.attrib["d"] for path in picture.iter(f"{SVG}path") if "stroke-dasharray" in path.attrib]
    line = float(dashed[1:].split()[0])
    numbers = [one for one in picture.iter(f"{SVG}text") if one.text in map(measured, values.values())]
    starts = [float(one.attrib["x"]) for one in numbers if one.attrib["text-anchor"] == "start"]
    assert len(starts) == len(values)
    assert not [start for start in starts if line - 2 * 8 < start < line + 4]


def test_lines_end_in_their_names_which_do_not_touch() -> None:
    series = {name: [(4.0, rate / 100), (64.0, rate), (1024.0, 60.0)] for name, rate in RATES.items()}
    texts = [one for one in drawn(lines(series, title="", x="n", y="GFLOP/s")).iter(f"{SVG}text") if one.text in RATES]
    heights = sorted(float(one.attrib["y"]) for one in texts)
    assert len(heights) == 4
    assert min(after - before for before, after in pairwise(heights)) > 12


def test_lines_are_labelled_at_what_was_measured_and_end_at_the_peak() -> None:
    chart = lines({"np-mkl": [(1, 33.0), (2, 60.0)]}, title="", x="threads", y="GFLOP/s", top=76.8, top_label="peak")
    assert {"1", "2", "threads (logarithmic)", "GFLOP/s (logarithmic)", "peak: 76.8"} <= set(words(chart))
    across = [path.attrib["d"] for path in drawn(chart).iter(f"{SVG}path") if "stroke-dasharray" in path.attrib]
    assert [re.findall(r" (\S+?)(?:L|$)", one) for one in across] == [["0.0", "0.0"]]


def test_what_nobody_measured_is_dashed_and_has_no_markers() -> None:
    """A marker is filled, a line is not."""
    chart = lines({"a": [(1, 3.0), (2, 5.0)]}, references={"ideal": [(1, 3.0), (2, 6.0)]}, title="", x="n", y="ms")
    paths = [path.attrib for path in drawn(chart).iter(f"{SVG}path")]
    assert len([path for path in paths if "stroke-dasharray" in path]) == 1
    assert len([path for path in paths if path["fill"] != "none"]) == 2
    assert "ideal" in words(chart)
    assert str(chart).splitlines()[2].split() == ["n", "a", "ideal"]


def test_lines_as_text_are_a_table_with_a_column_for_each() -> None:
    chart = lines({"a": [(2, 20.0), (1, 10.0)], "b": [(2, 0.5)]}, title="both", x="n", y="ms")
    assert str(chart) == "both\nms by n\nn   a      b\n-  --  -----\n1  10      -\n2  20  0.500"


def test_nothing_to_show_is_still_a_picture() -> None:
    for chart in (
        bars({}, title="none", unit="s"),
        lines({}, title="none", x="x", y="y"),
        lines({"a": []}, title="none", x="x", y="y"),
    ):
        assert drawn(chart).tag == f"{SVG}svg"
        assert "none" in words(chart)


def test_a_chart_needs_nothing_from_outside() -> None:
    chart = bars(RATES, title="gemm", unit="GFLOP/s")
    assert set(chart._repr_mimebundle_()) == {"text/plain", "image/svg+xml"}
    assert not re.search(r"href|url\(|<style|<script|<image", chart.svg)


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([0.05, 76.0], True),
        ([3.0], True),
        ([1e-320, 1e300], True),
        ([0.999], True),
        ([5.0, 58.2], False),
        ([-3.0, 5.0], False),
        ([0.0], False),
        ([-2.0], False),
    ],
)
def test_an_axis_holds_its_values_and_their_places(values: list[float], *, log: bool) -> None:
    axis = scale(values, log=log, start=0, end=500)
    assert all(0 <= axis.place(value) <= 500 for value in values)
    assert len(axis.ticks) >= 2
    assert all(axis.low * (1 - 1e-9) <= value <= axis.high * (1 + 1e-9) for value, _ in axis.ticks) or axis.low < 0
    assert log or axis.low <= 0 <= axis.high


@pytest.mark.parametrize(
    ("value", "exact", "with_three_digits"),
    [
        (0.0, "0", "0"),
        (0.25, "0.25", "0.250"),
        (1024.0, "1024", "1024"),
        (51.04, "51.04", "51.0"),
        (10000.0003, "10000", "10000"),
        (1e-7, "10⁻⁷", "10⁻⁷"),
        (2.1e-7, "2.1·10⁻⁷", "2.1·10⁻⁷"),
        (2e6, "2·10⁶", "2·10⁶"),
        (-3.2, "-3.2", "-3.20"),
        (math.inf, "inf", "inf"),
    ],
)
def test_how_numbers_are_written(value: float, exact: str, with_three_digits: str) -> None:
    assert number(value) == exact
    assert measured(value) == with_three_digits
