"""Colours, markers, lines and hatches: whether people can tell them apart, on paper and on a dark screen."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from browser.logos import FACTS
from kernels.test_logo import APART, APART_RARE, EYES, GRAPHIC_CONTRAST, contrast, lab, linear
from plots.drawn import measured

from mambakernels.plots.appearance import appearances, shortened
from mambakernels.plots.style import HATCHES, MARKS, PALETTES, UNKNOWN, Theme

EVERY = {**MARKS, "unknown": UNKNOWN}
HUE = 35  # of 360 degrees: still the same colour by name


def hue(colour: str) -> float:
    _, a, b = lab(linear(colour))
    return float(np.degrees(np.arctan2(b, a)))


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("theme", PALETTES)
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(EVERY, 2)))
def test_people_tell_the_colours_of_any_two_apart(one: str, other: str, theme: Theme, eyes: str) -> None:
    seen = [lab(EYES[eyes] @ linear(PALETTES[theme].color(EVERY[name]))) for name in (one, other)]
    assert np.linalg.norm(seen[0] - seen[1]) > (APART_RARE if eyes == "tritanopia" else APART)


@pytest.mark.parametrize("theme", PALETTES)
@pytest.mark.parametrize("name", EVERY)
def test_a_line_is_seen_on_its_paper(name: str, theme: Theme) -> None:
    palette = PALETTES[theme]
    assert contrast(palette.color(EVERY[name]), palette.paper) > GRAPHIC_CONTRAST


@pytest.mark.parametrize("theme", PALETTES)
def test_what_is_written_can_be_read(theme: Theme) -> None:
    palette = PALETTES[theme]
    assert contrast(palette.ink, palette.paper) > 7
    assert contrast(palette.muted, palette.paper) > 4.5


@pytest.mark.parametrize("theme", PALETTES)
@pytest.mark.parametrize("name", sorted(set(MARKS) - {"nvpl"}))
def test_a_blas_has_the_hue_of_its_logo(name: str, theme: Theme) -> None:
    apart = abs(hue(PALETTES[theme].color(MARKS[name])) - hue(FACTS[name].tile)) % 360
    assert min(apart, 360 - apart) < HUE


def test_markers_and_hatches_tell_them_apart_without_any_colour() -> None:
    assert len({mark.marker for mark in EVERY.values()}) == len(EVERY)
    assert len({HATCHES[mark.hatch] for mark in EVERY.values()}) == len(EVERY)


@pytest.mark.parametrize("blas", ["openblas", "unknown"])
def test_eight_kernels_of_one_library_differ_without_any_colour(blas: str) -> None:
    names = [f"np-{number}" for number in range(8)]
    chosen = list(appearances(measured(names, blas=blas)).values())
    assert len({(one.line, one.filled) for one in chosen}) == 8
    assert len({one.hatch for one in chosen}) == 8


def test_a_long_name_keeps_its_ends() -> None:
    name = "np-openblas-with-a-very-long-name-that-nobody-would-type-haswell"
    assert len(shortened(name)) == 36
    assert shortened(name).startswith("np-openblas-")
    assert shortened(name).endswith("type-haswell")
    assert shortened("np-mkl") == "np-mkl"


def test_long_names_that_differ_in_the_middle_are_not_shortened() -> None:
    names = [f"{'a' * 40}{letter}{'b' * 40}" for letter in "xy"]
    assert len({one.label for one in appearances(measured(names)).values()}) == 2


def test_the_legend_gives_versions_only_where_one_library_ran_in_several() -> None:
    frame = measured(["np-mkl", "np-openblas"])
    assert appearances(frame)["np-mkl"].label == "np-mkl (mkl, avx512)"
    other = measured(["np-mkl"], kernel="np-mkl-old", blas_version="2024.1")
    labels = [one.label for one in appearances(pd.concat([frame, other])).values()]
    assert labels == [
        "np-mkl (mkl 2026.2, avx512)",
        "np-openblas (openblas, SkylakeX)",
        "np-mkl-old (mkl 2024.1, avx512)",
    ]
