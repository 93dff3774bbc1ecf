"""Figures as HTML: the same figures as text under the mouse, in colours that the page's theme chooses."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from matplotlib.figure import Figure
from plots.drawn import compared, measured

from mambakernels import plots
from mambakernels.plots.hover import CSS, as_html
from mambakernels.plots.style import MARKS

KERNELS = ("np-openblas", "np-mkl")


def ratios(frame: pd.DataFrame) -> Figure:
    return plots.paired_ratios(compared(KERNELS[1:], reference=KERNELS[0]), frame)


@pytest.mark.parametrize(
    "draw", [plots.gflops_by_size, ratios, plots.thread_scaling, plots.roofline, plots.accuracy_against_speed]
)
def test_every_figure_has_its_figures_under_the_mouse_and_no_colour_of_its_own(draw: Callable[..., Figure]) -> None:
    html = as_html(draw(measured(KERNELS, threads=(1, 2))), title='<this> & "that"')
    page = ET.fromstring(html)
    (svg,) = page.iter("{http://www.w3.org/2000/svg}svg")
    assert svg.get("aria-label") == '<this> & "that"'
    spans = list(page.iter("span"))
    hints = [text for span in spans for text in span.itertext()]
    assert len(hints) >= len(KERNELS) - 1
    assert all(hint.startswith(("np-mkl", "np-openblas")) and re.search(r"\d", hint) for hint in hints)
    places = [re.findall(r"([\d.]+)%", div.get("style", "")) for div in page.iter("div")][1:]
    assert len(places) == len(spans) <= len(hints)
    assert all(0 <= float(share) <= 100 for place in places for share in place)
    bare = re.sub(r"var\(--[^)]*\)", "", html)
    assert set(re.findall("#[0-9a-f]{6}", bare)) <= {"#1f77b4"}, "of lines that have one point"
    assert "<script" not in html


def test_points_in_one_place_share_a_hint() -> None:
    frame = measured(KERNELS, ("gemm",), (64, 512)).assign(gflops=5.0, seconds=1e-3, samples=[[1e-3]] * 8)
    page = ET.fromstring(as_html(plots.gflops_by_size(frame.assign(flops=5e6)), title=""))
    hints = [" ".join(span.itertext()) for span in page.iter("span")]
    assert len(hints) == 2
    assert all("np-openblas" in hint and "np-mkl" in hint for hint in hints)


def test_a_version_keeps_all_its_digits() -> None:
    html = as_html(plots.gflops_by_size(measured(KERNELS, blas_version="0.3.31.188.0")), title="")
    assert "0.3.31.188.0" in html


def test_the_style_has_every_library_in_both_themes() -> None:
    for name, mark in MARKS.items():
        assert f"--mk-{name}: {mark.light};" in CSS
        assert f"--mk-{name}: {mark.dark};" in CSS
