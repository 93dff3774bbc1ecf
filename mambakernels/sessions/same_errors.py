"""Errors that are the same in several kernels, which a reader needs to see once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeGuard

from mambakernels.sessions.shown import Json, Printed, Results, Shown

_CELL_LINE = re.compile(r"^-+> (\d+) ", re.MULTILINE)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def same_errors(results: Results) -> dict[str, str]:
    """Return the kernels whose error is shown elsewhere, each with the kernel that shows it.

    That is the first with this error; if all kernels have it, the empty text, and it is shown below them.
    """
    first: dict[tuple[str, ...], str] = {}
    same = {}
    for one in results.failed:
        shown_by = first.setdefault(_key(one), one.kernel)
        if shown_by != one.kernel:
            same[one.kernel] = shown_by
    if len(first) == 1 and len(results.failed) == len(results) > 1:
        return dict.fromkeys(results, "")
    return same


def _key(shown: Shown) -> tuple[str, ...]:
    """Return what makes an error the same in another kernel: its type, its text, and the line of the cell."""
    error = shown.error
    assert error is not None
    line = _CELL_LINE.search(error.traceback)
    text = re.sub(rf"\b{re.escape(shown.kernel)}\b", "", _ADDRESS.sub("", error.evalue))
    return error.ename, text, line[1] if line else ""


def shown_once(results: Results, same: Mapping[str, str]) -> Shown | None:
    """Return the first of all kernels if all have the same error."""
    return next(iter(results.values())) if "" in same.values() else None


def is_error(item: Printed | Json) -> TypeGuard[Json]:
    """Whether an output is an error."""
    return not isinstance(item, Printed) and item["output_type"] == "error"
