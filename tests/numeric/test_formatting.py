from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from mambakernels.numeric import formatting

HEADER = ("operation", "n")
ROWS = [("gemm", "8"), ("dot", "1024")]


def test_text_is_aligned_with_numbers_to_the_right() -> None:
    assert formatting.text_table(HEADER, ROWS).splitlines() == [
        "operation     n",
        "---------  ----",
        "gemm          8",
        "dot        1024",
    ]


def test_a_table_without_rows_has_its_header() -> None:
    assert formatting.text_table(HEADER, []).splitlines() == ["operation  n", "---------  -"]
    assert "<th" in formatting.html_table(HEADER, [])


def test_html_is_well_formed_and_escaped() -> None:
    table = ET.fromstring(formatting.html_table(HEADER, [("<b>&", "1")], caption="1 < 2"))
    assert table.findtext("caption") == "1 < 2"
    assert [cell.text for cell in table.iter("td")] == ["<b>&", "1"]
    assert [cell.text for cell in table.iter("th")] == ["operation", "n"]


def test_html_needs_nothing_from_outside_and_sets_no_background() -> None:
    html = formatting.html_table(HEADER, ROWS, caption="c", marked=[0])
    assert not any(part in html for part in ("http", "url(", "<script", "<link", "background", "class="))


def test_only_marked_rows_are_coloured() -> None:
    rows = ET.fromstring(formatting.html_table(HEADER, ROWS, marked=[1])).findall("tbody/tr")
    coloured = ["color:" in (row[0].get("style") or "") for row in rows]
    assert coloured == [False, True]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 ns"),
        (1.234e-9, "1.23 ns"),
        (8.2e-7, "820 ns"),
        (1.2345e-5, "12.3 µs"),
        (1.0e-3, "1.00 ms"),
        (0.2504, "250 ms"),
        (12.34, "12.3 s"),
        (4321.0, "4321 s"),
    ],
)
def test_times_have_a_readable_unit(value: float, text: str) -> None:
    assert formatting.seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.3361, "0.336"), (39.0, "39.0"), (116.4, "116"), (12345.6, "12346")])
def test_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert formatting.three_digits(value) == text


@pytest.mark.parametrize(
    ("asked", "used", "words"),
    [(8, 2, "8 (2 used)"), (2, 2, "2"), (None, 4, "4"), (0, 4, "4"), (2, None, "2"), (None, None, "-")],
)
def test_threads_that_are_not_used_are_written(asked: int | None, used: int | None, words: str) -> None:
    assert formatting.threads_used(asked, used) == words
