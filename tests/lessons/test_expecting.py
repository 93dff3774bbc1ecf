from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from mambakernels.lessons import LESSON_MIME_TYPE, Shape, expect

WHAT = "netlib is slower"


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [
        (Shape(WHAT, 5.0, at_least=5), "seen"),
        (Shape(WHAT, 4.9, at_least=5), "not seen"),
        (Shape(WHAT, 5.1, at_most=5), "not seen"),
        (Shape(WHAT, 0.9, at_least=0.8, at_most=1.2), "seen"),
        (Shape(WHAT, math.nan, at_least=0), "not seen"),
        (Shape(WHAT, math.inf, at_least=5), "seen"),
        (Shape(WHAT, True), "seen"),  # noqa: FBT003 (a truth value is what is seen)
        (Shape(WHAT, np.bool_(0)), "not seen"),
        (Shape.skipped(WHAT, "there is no other kernel"), "skipped"),
    ],
)
def test_what_counts_as_seen(shape: Shape, verdict: str) -> None:
    assert shape.verdict == verdict


def test_it_says_what_was_expected_and_what_was_seen_and_why_not() -> None:
    shown = expect(
        Shape(WHAT, np.float64(12.34), at_least=5, unit="times"),
        Shape("A < B", 2, at_least=3, at_most=4, otherwise="This machine is odd."),
        Shape("rate", 1783.4, at_most=0.8),
        Shape("same bits", False),  # noqa: FBT003
        Shape.skipped("others", "there is no other kernel"),
    )
    assert str(shown).splitlines() == [
        "✓ netlib is slower",
        "  expected at least 5 times; seen: 12.3 times",
        "✗ A < B",
        "  expected at least 3 and at most 4; seen: 2",
        "  This machine is odd.",
        "✗ rate",
        "  expected at most 0.8; seen: 1780",
        "✗ same bits",
        "  expected yes; seen: no",
        "- others",
        "  not checked: there is no other kernel",
    ]
    html = shown._repr_mimebundle_()["text/html"]
    rows = ET.fromstring(f"<div>{html}</div>").findall("table/tbody/tr")
    assert ["".join(row.itertext()) for row in rows][1] == "✗A < Bat least 3 and at most 42"
    assert "This machine is odd." in html


def test_programs_can_read_the_verdicts() -> None:
    shown = expect(
        Shape(WHAT, np.float32(0.5), at_least=5, unit="times"), Shape("bits", np.bool_(1)), Shape("x", math.inf)
    )
    lesson = shown._repr_mimebundle_()[LESSON_MIME_TYPE]
    assert json.loads(json.dumps(lesson, allow_nan=False)) == lesson
    assert lesson["schema"] == 1
    assert [one["verdict"] for one in lesson["shapes"]] == ["not seen", "seen", "seen"]
    assert [one["seen"] for one in lesson["shapes"]] == [0.5, 1.0, None]
