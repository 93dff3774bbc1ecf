from __future__ import annotations

from typing import Any

import pytest
from support.measurements import FFT, GEMM, SVD, kernel, measured, visits

from mambakernels.bench.measured import Measured
from mambakernels.bench.regression import LEAST_CHANGE, compare_with_saved
from mambakernels.errors import InvalidRequestError

ROUNDS = 20


def comparison(gemm: float = 1.0, svd: float = 1.0, control: float = 1.0, **changes: Any) -> Measured:
    residual = changes.pop("residual", 1e-16)
    rounds = changes.pop("rounds", ROUNDS)
    one = kernel("a", **changes)
    rows = [*visits(one, GEMM, [0.01 * gemm] * rounds, residual=residual), *visits(one, SVD, [0.1 * svd] * rounds)]
    return measured([one], [*rows, *visits(one, FFT, [0.001 * control] * rounds)])


def verdicts(now: Measured, base: Measured, **options: Any) -> dict[str, str]:
    found = compare_with_saved(now, base, **options)
    return dict(zip(found.frame["operation"], found.frame["verdict"], strict=True))


def test_each_operation_has_its_verdict() -> None:
    now = comparison(gemm=1.2, svd=0.8)
    assert verdicts(now, comparison()) == {"gemm": "slower", "svd": "faster", "fft": "equal"}
    assert list(compare_with_saved(now, comparison()).bad["operation"]) == ["gemm"]


def test_sessions_differ_by_more_than_rounds_do() -> None:
    changed = comparison(gemm=1 + LEAST_CHANGE * 0.9)
    assert verdicts(changed, comparison())["gemm"] == "undecided"
    assert verdicts(changed, comparison(), margin=0.1)["gemm"] == "equal"


def test_a_machine_that_is_slower_altogether_is_said_and_not_blamed_on_an_operation() -> None:
    found = compare_with_saved(comparison(gemm=1.2, svd=1.2, control=1.25), comparison())
    assert not found.trusted
    assert "The machine is not as it was: fft in a takes 1.25 times as long" in found.text
    assert found.bad.empty


def test_few_rounds_say_little() -> None:
    assert verdicts(comparison(gemm=1.2, rounds=2), comparison())["gemm"] == "undecided"


def test_a_wrong_result_is_wrong_however_fast() -> None:
    found = compare_with_saved(comparison(gemm=0.1, residual=0.5), comparison())
    assert list(found.bad["verdict"]) == ["wrong"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"machine": {"cpu": "Another"}}, "the processor: Another now, A processor then"),
        ({"machine": {"cores": 64}}, "cores: 64 now, 2 then"),
        ({"probe": {"numpy": "2.5.0"}}, "NumPy in a: 2.5.0 now, 2.4.0 then"),
        ({"library": {"architecture": "Haswell"}}, "code path in a: Haswell now, SkylakeX then"),
        ({"library": {"threads": 2}}, "threads used by a: 2 now, 1 then"),
        ({"library": {"name": "mkl"}}, "BLAS in a: mkl now, openblas then"),
        ({"asked": 2}, "threads of a: 2 now, 1 then"),
    ],
)
def test_what_is_not_comparable_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be compared") as caught:
        compare_with_saved(comparison(**changes), comparison())
    assert field in caught.value.what
    assert "--force" in str(caught.value.next_step)


def test_forced_it_is_compared_and_the_difference_is_kept() -> None:
    found = compare_with_saved(comparison(gemm=2.0, probe={"numpy": "2.5.0"}), comparison(), force=True)
    assert list(found.bad["operation"]) == ["gemm"]
    assert found.differences == ("NumPy in a: 2.5.0 now, 2.4.0 then",)


def test_another_version_of_the_library_is_what_one_wants_to_compare() -> None:
    assert verdicts(comparison(library={"version": "0.4"}), comparison())["gemm"] == "equal"


def test_nothing_in_common_is_said() -> None:
    other = kernel("b")
    with pytest.raises(InvalidRequestError, match="share no kernel, operation"):
        compare_with_saved(comparison(), measured([other], list(visits(other, GEMM, [0.1] * 9))))
