"""YAML by the core rules of 1.2: what is plain text there stays text, and what is written is read back."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from mambakernels.system import yaml

TEXTS = ["yes", "no", "on", "off", "1_000", "1:30", "2024-01-01", "tRue", "<<", "=", "0b11", "abc", "a b$c", "0o8"]
VALUES = {
    "true": True,
    "FALSE": False,
    "~": None,
    "Null": None,
    "010": 10,
    "+12": 12,
    "0o17": 15,
    "0x1F": 31,
    "1e3": 1000.0,
    ".5": 0.5,
    "-.Inf": -math.inf,
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_1_2_does_not_name_is_text(text: str) -> None:
    assert yaml.load(f"[{text}]") == [text]


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_plain_values_are_those_of_the_core_rules(text: str, value: Any) -> None:
    found = yaml.load(f"[{text}]")
    assert found == [value]
    assert type(found[0]) is type(value)


@pytest.mark.parametrize("value", [*TEXTS, *VALUES, *VALUES.values(), "", "- x", "a: b", "über", ["a", {"b": "no"}]])
def test_what_is_written_is_read_back(value: Any) -> None:
    assert yaml.load(yaml.dump({"key": value})) == {"key": value}


@pytest.mark.parametrize("text", ["a: [", "!!python/name:os.system ''", "a: 1\n---\nb: 2", "!!int yes"])
def test_what_is_not_yaml_is_a_value_error_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        yaml.load(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\n  b: 2", "line 2, column 4: mapping values are not allowed here"),
        ("a: [", "line 1, column 5: expected the node content"),
        ("a: 1\nb: \x07", "line 2, column 4: special characters are not allowed"),
        ("a: 1\n---\nb: 2", "line 2, column 1: but found another document"),
    ],
)
def test_what_is_not_yaml_is_named_by_line_and_column(text: str, place: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(place)}") as caught:
        yaml.load(text)
    assert "<unicode string>" not in str(caught.value)
