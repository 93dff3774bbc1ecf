"""Why something was not seen: the control, which was measured next to it, shows whether the machine was busy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mambakernels.lessons import Shape, expect, race, seconds_of
from mambakernels.lessons.evidence import EVIDENCE, Evidence

SMALL = "`size` is too small."


@pytest.fixture(autouse=True)
def _nothing_measured() -> Iterator[None]:
    EVIDENCE.clear()
    yield
    EVIDENCE.clear()


def why(shape: Shape) -> str:
    return expect(shape).shapes[0].remark


@pytest.mark.parametrize(
    ("evidence", "begins", "ends"),
    [
        ([], SMALL, SMALL),
        ([Evidence((1.0, 1.02), 100, 3)], "The machine is not the reason", SMALL),
        ([Evidence((1.0, 1.02), 100, 3), Evidence((2.1,), 10, 0)], "The machine was busy: ", "less is going on."),
        ([Evidence((1.0, 1.02), 9, 0), Evidence((2.1,), 9, 0, "the kernels")], "The machine is not the reason", SMALL),
        ([Evidence((1.0, 1.3), 100, 40)], "The machine was busy, but that does not explain it: ", SMALL),
        ([Evidence((1.0, 1.0), 100, 80)], "The machine was busy: other programs disturbed 80%", "less is going on."),
    ],
)
def test_a_busy_machine_is_distinguished_from_too_small_a_size(
    evidence: list[Evidence], begins: str, ends: str
) -> None:
    EVIDENCE.extend(evidence)
    said = why(Shape("gain", 1.0, at_least=2, otherwise=SMALL))
    assert said.startswith(begins)
    assert said.endswith(ends)


def test_a_busy_machine_is_no_reason_for_what_does_not_depend_on_time() -> None:
    EVIDENCE.append(Evidence((1.0, 9.0), 10, 10))
    assert why(Shape("error", 1.0, at_most=0, otherwise=SMALL, timed=False)) == SMALL
    assert why(Shape("same bits", False, otherwise=SMALL)) == SMALL  # noqa: FBT003
    assert not why(Shape("gain", 3.0, at_least=2, otherwise=SMALL))


def test_each_measurement_has_a_control_next_to_it() -> None:
    taken = seconds_of(np.sort, np.ones(100), budget=0.01)
    raced = race({"one": lambda: np.sort(np.ones(10)), "two": lambda: None}, budget=0.01)
    assert taken > 0
    assert raced["one"] > raced["two"] > 0
    assert [len(one.controls) for one in EVIDENCE] == [2, 2]
    assert all(control > 0 for one in EVIDENCE for control in one.controls)
