"""Parameter values as valid JSON: records hold NaN and the infinities as MongoDB's Extended JSON writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NUMBER_KEY = "$numberDouble"
"""`{"$numberDouble": "NaN"}`, or "Infinity" or "-Infinity": JSON has no such numbers, and a text could be a text."""


def encode_value(value: Any) -> Any:
    """Return a parameter's value, or a mapping of values, as JSON has it: tuples as lists, NaN under `NUMBER_KEY`.

    Two values are the same parameter if and only if this returns equal values for them: NaN is not equal to itself.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {NUMBER_KEY: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, Mapping):
        return {str(key): encode_value(item) for key, item in value.items()}
    return [encode_value(item) for item in value] if isinstance(value, list | tuple) else value


def decode_value(value: Any) -> Any:
    """Return the value that `encode_value` wrote: NaN and the infinities are floats again."""
    if isinstance(value, Mapping):
        if value.keys() == {NUMBER_KEY}:
            return float(value[NUMBER_KEY])
        return {key: decode_value(item) for key, item in value.items()}
    return [decode_value(item) for item in value] if isinstance(value, list) else value
