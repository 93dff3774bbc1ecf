"""A function travels as source text, with all that it uses, and is refused with a reason where it cannot."""

from __future__ import annotations

import functools
import math as maths
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mambakernels.numeric.measuring import PreparedCall
from mambakernels.numeric.user_code import NotPortableError, UserCode, function_source, user_codes
from mambakernels.numeric.user_operation import UserOperation

SCALE, WORDS = 3, {"a": [1, 2.5, None], "b": ("x", True)}
ARRAY = np.ones(3)
DEFAULT = 2
other_name = SCALE


def twice(x: Fraction) -> Fraction:
    return DEFAULT * x


def scaled(x: Any, factor: int = DEFAULT) -> Any:
    """Use a module, something imported, constants, and another function under another name."""
    total = maths.fsum([SCALE, other_name]) + len(textwrap.dedent(WORDS["b"][0]))  # type: ignore[arg-type]
    return alias(Fraction(total)) * x * factor


alias = twice


def again(n: int) -> int:
    return 1 if n < 1 else n * again(n - 1)


def uses_array() -> Any:
    return ARRAY.sum()


def local_name(ARRAY: Any, n: int = 1) -> Any:  # noqa: N803 (as in a notebook)
    return ARRAY + n


def matrices(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, n)), rng.standard_normal((n, n))


def product(a: Any, b: Any) -> Any:
    return a @ b


def is_right(a: Any, b: Any, found: Any) -> bool:
    return np.allclose(a @ b, found)


def is_wrong(*_: Any) -> bool:
    return False


def prepared(code: UserCode, n: int = 0) -> PreparedCall:
    return PreparedCall(UserOperation(UserCode(**asdict(code))), n, "float64")


def elsewhere(function: Callable[..., Any]) -> Any:
    space: dict[str, Any] = {}
    exec(function_source(function), space)
    return space[function.__name__]


@pytest.mark.parametrize(("function", "given"), [(scaled, 5), (again, 6), (local_name, 3), (twice, 4)])
def test_a_function_gives_the_same_where_only_its_source_is(function: Callable[..., Any], given: int) -> None:
    assert elsewhere(function)(given) == function(given)


@functools.cache
def cached() -> int:
    return 1


def _closure() -> Callable[[], int]:
    inside = 1

    def inner() -> int:
        return inside

    return inner


class Callable2:
    def __call__(self) -> None: ...


def uses_class() -> Any:
    return Callable2()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: 1, "lambda has no name"),
        (_closure(), "`inner` uses `inside` of the function around it"),
        (uses_array, r"`uses_array` uses `ARRAY`, whose value \(ndarray\).*setup"),
        (np.sort, "is not a function that `def` made"),
        (cached, "is not a function that `def` made"),
        (Callable2(), "is not a function that `def` made"),
    ],
)
def test_a_function_that_cannot_travel_is_refused_with_a_reason(function: Any, words: str) -> None:
    with pytest.raises(NotPortableError, match=words):
        function_source(function)


def test_a_function_is_called_with_what_its_setup_gives() -> None:
    [code] = user_codes(product, setup=matrices, check=is_right, flops=lambda n: 2 * n**3, sizes=[4])
    call = prepared(code, 4)
    assert call.check() == 0
    assert call.operation.flop_count(4, "-") == 128
    assert np.array_equal(call.given[0], matrices(4)[0])


def test_a_wrong_result_is_found_by_its_check() -> None:
    [code] = user_codes(product, setup=matrices, check=is_wrong)
    call = prepared(code, 4)
    assert call.check() > call.operation.allowed(4, "-")


def test_without_a_setup_a_function_gets_the_size_or_nothing() -> None:
    [code] = user_codes(again)
    assert prepared(code, 5).given == (5,)
    [code] = user_codes({"an expression": "1 + 1"})
    assert prepared(code).check() == 0


@pytest.mark.parametrize(
    ("text", "setup", "result"),
    [
        ("a + n", "a = 1", 6),
        ("b = a\nb * 2", "def f(): return 4\na = f()", 8),
        ("for i in range(n):\n    last = i\nlast", None, 4),
        ('"""two\nlines"""', None, "two\nlines"),
    ],
)
def test_a_text_runs_after_its_setup_and_its_last_line_is_the_result(text: str, setup: str | None, result: Any) -> None:
    [code] = user_codes(text, setup=setup)
    operation = UserOperation(code)
    given = operation.setup(5, np.dtype("float64"), np.random.default_rng(0))
    assert operation.call(*given) == result


@pytest.mark.parametrize(
    ("code", "options", "error"),
    [
        ("a +", {}, SyntaxError),
        (" ", {}, NotPortableError),
        ("a", {"setup": matrices}, NotPortableError),
        (product, {"setup": "a = 1"}, NotPortableError),
        ("a", {"check": is_right}, NotPortableError),
    ],
)
def test_what_does_not_fit_together_is_refused(code: Any, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        user_codes(code, **options)


@pytest.mark.parametrize("result", [None, "text", {"a": 1}, [[1], [1, 2]], 1.5, np.array(["a"], object), ([], True)])
def test_a_result_of_any_kind_has_a_fingerprint(result: Any) -> None:
    from mambakernels.numeric.measuring import result_fingerprint

    assert result_fingerprint(result) == result_fingerprint(result)
